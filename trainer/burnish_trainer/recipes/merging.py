"""Write a base model and an adapter as one model, for methods whose adapters no engine swaps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from burnish.adapters.store import AdapterStore
from burnish.errors import BaseModelMismatch, TrainingError


def merge_version(
    store: AdapterStore, version: str, out: str | Path, base_model: str | None = None
) -> Path:
    """Write an adapter version and its base model as one model.

    Args:
        store: The workspace's adapters.
        version: The version; its files are compared with their hashes first.
        out: The new folder.
        base_model: Name or folder of the base model; by default as the version names it.

    Raises:
        BaseModelMismatch: The base model is not the one that the version was trained on.
        TrainingError: The folder exists, or the adapter cannot be merged.
    """
    from burnish.serving.contract.base_models import base_sha256, resolve_model

    store.verify(version)
    manifest = store.get(version)
    base = resolve_model(base_model or manifest.base_model)
    if base_sha256(base) != manifest.base_sha256:
        raise BaseModelMismatch(
            f"{base} has the hash {base_sha256(base)[:12]}",
            f"the base model of {version}, {manifest.base_model} ({manifest.base_sha256[:12]})",
            f"burnish adapters merge {version} OUT --base-model FOLDER",
        )
    return publish_merged(store.path(version), base, out)


def publish_merged(adapter: str | Path, base_model: str | Path, out: str | Path) -> Path:
    """Write the merged model and its tokenizer into a new folder, which serves as `base_model`.

    The folder appears whole. A base model that was trained in 4 bits is merged in its own precision.

    Args:
        adapter: Folder of an adapter, such as `AdapterVersion.path`.
        base_model: Name or folder of its base model.
        out: The new folder.

    Raises:
        TrainingError: The folder exists, or the adapter cannot be merged.
    """
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from burnish.serving.contract.base_models import resolve_model
    from burnish_trainer.recipes.lora import ignore_future_warnings

    target, base = Path(out), resolve_model(str(base_model))
    if target.exists():
        raise TrainingError(f"{target} exists", "a new folder", "give another folder")
    with ignore_future_warnings():
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        adapted: Any = PeftModel.from_pretrained(model, str(adapter))
    try:
        merged = adapted.merge_and_unload(safe_merge=True)
    except (AttributeError, NotImplementedError, ValueError) as error:
        raise TrainingError(
            f"the adapter in {adapter} cannot be merged: {error}",
            "a kind of adapter that PEFT merges into its base",
            "train with another method",
        ) from error
    _unwrap_saved_modules(merged)
    staged = target.with_name(f".{target.name}")
    shutil.rmtree(staged, ignore_errors=True)
    merged.save_pretrained(staged)
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    tokenizer.save_pretrained(staged)
    staged.rename(target)
    return target


def _unwrap_saved_modules(model: Any) -> None:
    """Put the trained copies of whole layers in the place of the layers; not every kind of adapter does that."""
    from peft.utils.other import ModulesToSaveWrapper

    for name, module in list(model.named_modules()):
        for child, layer in list(module.named_children()):
            if isinstance(layer, ModulesToSaveWrapper):
                (active,) = layer.active_adapters
                setattr(model.get_submodule(name), child, layer.modules_to_save[active])
