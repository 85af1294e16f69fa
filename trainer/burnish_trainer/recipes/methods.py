"""Choose what a training changes: LoRA and its variants, all weights, or any other configuration of PEFT.

`make_peft_config` gives PEFT's configuration, `serving_form` says before training how the result can be served, and
`quantization_of` how the base model is loaded.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from burnish.errors import TrainingError
from burnish_trainer.recipes.layers import (
    layers_of_full_training,
    linear_layers,
    match_other_towers,
)

if TYPE_CHECKING:
    from burnish_trainer.recipes.train_recipe import TrainRecipe


@dataclass(frozen=True, slots=True)
class TrainingMethod:
    """A way of changing a base model.

    Attributes:
        settings: Settings of PEFT's `LoraConfig` beside rank, alpha, dropout and layers.
        four_bit: The base model is loaded in 4 bits (nf4).
        merged_because: Reason why no engine swaps its adapters; empty if engines do.
    """

    settings: dict[str, Any]
    four_bit: bool = False
    merged_because: str = ""


_DORA = "DoRA scales the whole weight of a layer, which engines that swap LoRA matrices cannot do"
METHODS = {
    "lora": TrainingMethod({}),
    "rslora": TrainingMethod({"use_rslora": True}),
    "dora": TrainingMethod({"use_dora": True}, merged_because=_DORA),
    "qlora": TrainingMethod({}, four_bit=True),
    "qdora": TrainingMethod({"use_dora": True}, four_bit=True, merged_because=_DORA),
    "full": TrainingMethod(
        {}, merged_because="all weights change, and there is no adapter to swap"
    ),
}
# Settings of a LoRA configuration that engines serve, with the values that they accept.
_SWAPPABLE: dict[str, tuple[Any, ...]] = {
    "use_dora": (False, None),
    "bias": ("none", None),
    "lora_bias": (False, None),
    "modules_to_save": (None, []),
    "target_parameters": (None, []),
    "trainable_token_indices": (None, [], {}),
    "layer_replication": (None, []),
    "alora_invocation_tokens": (None, []),
    "init_lora_weights": (True, False, None, "gaussian", "orthogonal", "eva", "lora_ga"),
}
_HEADS = frozenset({"lm_head", "embed_tokens"})


@dataclass(frozen=True, slots=True)
class ServingForm:
    """The form in which the result of a training is served.

    Attributes:
        hot_swap: An engine can load it beside other adapters of the base model, and swap it.
        reason: The reason if it cannot.
    """

    hot_swap: bool
    reason: str = ""

    def __str__(self) -> str:
        if self.hot_swap:
            return "its adapter can be hot-swapped by the embedded engine and by vLLM"
        return (
            f"its result must be published merged: {self.reason}; write the merged model with "
            "burnish_trainer.recipes.publish_merged and serve that folder as base_model"
        )


def serving_form(recipe: TrainRecipe) -> ServingForm:
    """Return how the result of a recipe can be served; known before anything is trained.

    Args:
        recipe: The settings.
    """
    if recipe.peft is not None:
        return _form_of_config(recipe.peft)
    reason = METHODS[recipe.method].merged_because
    return ServingForm(not reason, reason)


def _form_of_config(config: dict[str, Any]) -> ServingForm:
    kind = str(config.get("peft_type", "")).upper()
    if kind != "LORA":
        return ServingForm(False, f"{kind} is not a kind of adapter that engines swap")
    for key, allowed in _SWAPPABLE.items():
        if key in config and config[key] not in allowed:
            return ServingForm(False, f"{key} = {config[key]!r} changes more than LoRA matrices")
    targets = config.get("target_modules") or []
    heads = sorted(_HEADS.intersection([targets] if isinstance(targets, str) else targets))
    if heads:
        return ServingForm(False, f"it changes {', '.join(heads)}")
    return ServingForm(True)


def make_peft_config(recipe: TrainRecipe, model: Any) -> Any:
    """Return PEFT's configuration of a recipe.

    Args:
        recipe: The settings.
        model: The base model, whose layers are chosen.

    Raises:
        TrainingError: PEFT does not know the kind or a setting of a configuration that is passed through.
    """
    if recipe.peft is not None:
        return _pass_through(recipe.peft, model)
    if recipe.method == "full":
        from peft import LNTuningConfig

        norms, others = layers_of_full_training(model)
        return LNTuningConfig(target_modules=norms, modules_to_save=others, task_type="CAUSAL_LM")
    from peft import LoraConfig

    return LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=recipe.dropout,
        target_modules=linear_layers(model),
        exclude_modules=match_other_towers(model),
        task_type="CAUSAL_LM",
        **METHODS[recipe.method].settings,
    )


def _pass_through(given: dict[str, Any], model: Any) -> Any:
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    settings = {"task_type": "CAUSAL_LM", **given}
    kind = str(settings.pop("peft_type", "")).upper()
    known = {str(one.value): one for one in PeftType}
    if kind not in known:
        raise TrainingError(
            f"peft_type {kind!r}", "one of " + ", ".join(sorted(known)), "edit `peft` of the recipe"
        )
    make: Any = PEFT_TYPE_TO_CONFIG_MAPPING[known[kind]]
    fields = getattr(make, "__dataclass_fields__", {})
    if "target_modules" in fields and not settings.get("target_modules"):
        settings["target_modules"] = linear_layers(model)
    try:
        return make(**settings)
    except (TypeError, ValueError) as error:
        raise TrainingError(
            f"peft refuses the configuration of {kind}: {error}",
            f"fields of {make.__name__}",
            "edit `peft` of the recipe",
        ) from error


def quantization_of(recipe: TrainRecipe) -> Any:
    """Return how transformers loads the base model in 4 bits; None if the method leaves it as it is.

    Args:
        recipe: The settings.

    Raises:
        TrainingError: The method needs bitsandbytes, and it is not installed.
    """
    if recipe.peft is not None or not METHODS[recipe.method].four_bit:
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise TrainingError(
            f"method {recipe.method!r} needs bitsandbytes, which is not installed",
            "the package bitsandbytes, for a base model in 4 bits",
            "pip install bitsandbytes",
        )
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, recipe.dtype),
    )
