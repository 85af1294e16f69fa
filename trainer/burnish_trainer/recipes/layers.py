"""List the layers of a base model that a training changes."""

from __future__ import annotations

import re
from typing import Any

import torch

from burnish.errors import TrainingError


def linear_layers(model: Any) -> list[str]:
    """List the last parts of the names of all layers of the language model that an adapter is put on.

    These are all linear layers but the head and those that a family changes, such as Llama 4's router. In models whose
    experts lie in one tensor, the layers named like those experts are left out too: PEFT would adapt the experts with them, which no engine can swap.

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


def match_other_towers(model: Any) -> str | None:
    """Return a pattern of all layers of the other towers, for PEFT; None if the model has none."""
    towers = other_towers(model)
    return rf"({'|'.join(map(re.escape, towers))})\..*" if towers else None


# Model types whose state-space layers PEFT cannot adapt by their output projection.
_MAMBA = frozenset({"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"})
_FUSED_EXPERTS = ("experts.gate_up_proj", "experts.down_proj")
_EXPERT_LAYERS = frozenset({"gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"})


def layers_of_full_training(model: Any) -> tuple[list[str], list[str]]:
    """Return the names of all norms of the language model, and of all its other layers with weights.

    An embedding that is also the output layer is left out: a copy of it would no longer be the output layer.

    Args:
        model: The base model.
    """
    norms: set[str] = set()
    others: set[str] = set()
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    left_out = {model.get_input_embeddings(), model.get_output_embeddings()} if tied else set()
    towers = tuple(f"{name}." for name in other_towers(model))
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if not own or module in left_out or name.startswith(towers):
            continue
        (norms if all(p.dim() == 1 for p in own) else others).add(name.rpartition(".")[2])
    return sorted(norms), sorted(others)
