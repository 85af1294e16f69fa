"""Load a base model and add its trainable low-rank adapter."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch

from burnish.errors import BaseModelMismatch, TrainingError
from burnish_trainer import console
from burnish_trainer.recipes.methods import make_peft_config, quantization_of, serving_form
from burnish_trainer.recipes.train_recipe import TrainRecipe


def load_base(folder: Path, recipe: TrainRecipe) -> tuple[Any, Any]:
    """Load the base model, ready to be adapted, and its tokenizer.

    Raises:
        TrainingError: The folder holds no causal language model.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    quantization = quantization_of(recipe)
    logging.disable_progress_bar()
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, recipe.dtype), quantization_config=quantization
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise TrainingError(
            f"no base model could be loaded from {folder}: {error}",
            "a folder with config.json, safetensors weights and a tokenizer",
            "burnish doctor",
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.use_cache = False
    if quantization is not None:
        from peft import prepare_model_for_kbit_training

        _keep_layout(model)
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return model, tokenizer


def _keep_layout(model: Any) -> None:
    """Keep bitsandbytes from repacking weights on a processor.

    At the first forward pass in evaluation it repacks 4-bit weights for a kernel without a backward pass, and later
    trainings have wrong gradients.
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False


def add_adapter(model: Any, recipe: TrainRecipe, start: Path | None) -> Any:
    """Add a trainable adapter to the model: a fresh one, or an earlier one that is continued.

    Args:
        model: The base model.
        recipe: Rank, alpha, dropout and seed of a fresh adapter.
        start: Folder of the adapter to continue from.

    Raises:
        BaseModelMismatch: The earlier adapter does not fit this base model or this recipe.
    """
    from peft import PeftModel, get_peft_model

    form = serving_form(recipe)
    if not form.hot_swap:
        console.say("  [yellow]{}[/]", f"{recipe.method_name}: {form}")
    if start is None:
        torch.manual_seed(recipe.seed)
        config = make_peft_config(recipe, model)
        with ignore_future_warnings():
            return get_peft_model(model, config)
    known = json.loads((start / "adapter_config.json").read_text())
    _refuse_other_method(known, make_peft_config(recipe, model))
    rank = known.get("r", recipe.rank)
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


def _refuse_other_method(known: dict[str, Any], wanted: Any) -> None:
    """Refuse to continue an adapter of another method.

    Raises:
        BaseModelMismatch: The kinds or the variants of LoRA differ.
    """
    kind = str(wanted.peft_type.value)
    facts = {"peft_type": kind} | {
        key: getattr(wanted, key) for key in ("use_dora", "use_rslora") if hasattr(wanted, key)
    }
    other = {
        key: known.get(key) for key, value in facts.items() if (known.get(key) or False) != value
    }
    if other:
        raise BaseModelMismatch(
            f"the adapter to continue from has {other}",
            f"those of the recipe, {facts}",
            "train with the method of that adapter, or without init_adapter",
        )


@contextlib.contextmanager
def ignore_future_warnings() -> Generator[None]:
    """Ignore future warnings of the training libraries inside the block, and PEFT's about norms, which it can train."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)
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


@contextlib.contextmanager
def use_threads(count: int) -> Generator[None]:
    """Set the processor threads of torch inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
