"""Load a base model and add its trainable low-rank adapter."""

from __future__ import annotations

import contextlib
import json
import re
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch

from burnish.errors import BaseModelMismatch, TrainingError
from burnish_trainer.recipes.train_recipe import TrainRecipe


def load_base(folder: Path, recipe: TrainRecipe) -> tuple[Any, Any]:
    """Load the base model, ready to be adapted, and its tokenizer.

    Raises:
        TrainingError: The folder holds no causal language model.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, recipe.dtype)
        )
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            f"no base model could be loaded from {folder}: {error}",
            "a folder with config.json, safetensors weights and a tokenizer",
            "burnish doctor",
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.use_cache = False
    return model, tokenizer


def add_adapter(model: Any, recipe: TrainRecipe, start: Path | None) -> Any:
    """Add a trainable adapter to the model: a fresh one, or an earlier one that is continued.

    Args:
        model: The base model.
        recipe: Rank, alpha, dropout and seed of a fresh adapter.
        start: Folder of the adapter to continue from.

    Raises:
        BaseModelMismatch: The earlier adapter does not fit this base model or this recipe.
    """
    from peft import LoraConfig, PeftModel, get_peft_model

    if start is None:
        torch.manual_seed(recipe.seed)
        config = LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,  # pyright: ignore[reportArgumentType]
            lora_dropout=recipe.dropout,
            target_modules=linear_layers(model),
            exclude_modules=_match_other_towers(model),
            task_type="CAUSAL_LM",
        )
        with ignore_future_warnings():
            return get_peft_model(model, config)
    rank = json.loads((start / "adapter_config.json").read_text())["r"]
    if rank != recipe.rank:
        raise BaseModelMismatch(
            f"the adapter to continue from has rank {rank}",
            f"the recipe's rank, {recipe.rank}",
            f"rank = {rank} in [agent.NAME.train] of burnish.toml",
        )
    try:
        with ignore_future_warnings():
            continued: Any = PeftModel.from_pretrained(model, str(start), is_trainable=True)
    except RuntimeError as error:
        raise BaseModelMismatch(
            f"the adapter in {start} does not fit the base model: {str(error)[:200]}",
            "an adapter that was trained on this base model",
            "burnish retrain without init_adapter",
        ) from error
    # The version names its base model; a folder here prevents a look-up on the network.
    continued.peft_config["default"].base_model_name_or_path = model.name_or_path
    return continued


def linear_layers(model: Any) -> list[str]:
    """List the last parts of the names of all layers of the language model that an adapter is put on.

    These are all linear layers but the head and those that a family changes, such as Llama 4's router. In models whose experts lie in one tensor, the layers named like those
    experts are left out too: PEFT would adapt the experts with them, which no engine can swap.

    Raises:
        TrainingError: The model has none, as GPT-2, whose layers are convolutions by name.
    """
    head, towers = model.get_output_embeddings(), tuple(f"{name}." for name in other_towers(model))
    layers = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if not name.startswith(towers)
        and isinstance(module, torch.nn.Linear)
        and module is not head
        and not type(module).__module__.startswith("transformers.models.")
    }
    if model.config.model_type in _MAMBA:
        layers -= {"out_proj", "conv1d"}
    if any(name.endswith(_FUSED_EXPERTS) for name, _ in model.named_parameters()):
        layers -= _EXPERT_LAYERS
    if not layers:
        raise TrainingError(
            f"the base model ({model.config.model_type}) has no linear layers to put an adapter on",
            "torch.nn.Linear layers, which Llama, Qwen, Mistral, Gemma and most others have",
            "choose another base_model in burnish.toml; see docs/models.md",
        )
    return sorted(layers)


def other_towers(model: Any) -> list[str]:
    """List the modules beside the language model: towers for images and sound, and what joins them.

    Text passes none of them, so an adapter on them would learn nothing.
    """
    decoder = model.get_decoder()
    path = next((name for name, module in model.named_modules() if module is decoder), "")
    found: list[str] = []
    for depth, part in enumerate(parts := path.split(".") if path else []):
        parent = ".".join(parts[:depth])
        children = model.get_submodule(parent).named_children()
        beside = ((name, module) for name, module in children if name != part)
        found += [
            f"{parent}.{name}".lstrip(".")
            for name, module in beside
            if module is not model.get_output_embeddings() and _has_linear(module)
        ]
    return found


def _has_linear(module: torch.nn.Module) -> bool:
    return any(isinstance(one, torch.nn.Linear) for one in module.modules())


def _match_other_towers(model: Any) -> str | None:
    """Return a pattern of all layers of the other towers, for PEFT; None if the model has none."""
    towers = other_towers(model)
    return rf"({'|'.join(map(re.escape, towers))})\..*" if towers else None


# Model types whose state-space layers PEFT cannot adapt by their output projection.
_MAMBA = frozenset({"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"})
_FUSED_EXPERTS = ("experts.gate_up_proj", "experts.down_proj")
_EXPERT_LAYERS = frozenset({"gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"})


@contextlib.contextmanager
def ignore_future_warnings() -> Generator[None]:
    """Ignore future warnings of the training libraries inside the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def count_trainable(model: Any) -> int:
    """Count the weights that training changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def choose_threads(model: Any, recipe: TrainRecipe) -> int:
    """Return the number of processor threads: the recipe's; else one for tiny models, where more change the bytes."""
    if recipe.threads is not None:
        return recipe.threads
    weights = sum(p.numel() for p in model.parameters())
    return 1 if weights < 50_000_000 else torch.get_num_threads()
