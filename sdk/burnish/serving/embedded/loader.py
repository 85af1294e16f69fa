"""Read a PEFT adapter folder into a slot, or refuse it with a reason.

`read_adapter` is the entry. Only safetensors are read; nothing is unpickled. An adapter that cannot be
served exactly as it was trained is refused, where other engines silently serve something else.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from burnish.errors import BaseModelMismatch, BurnishError, ServingError
from burnish.files.storage import BROKEN_JSON
from burnish.records import AdapterManifest
from burnish.serving.embedded.layer_patterns import LayerPatterns
from burnish.serving.embedded.model import CausalModel
from burnish.serving.embedded.slots import LoraPair, Slot, SlotLinear

WEIGHTS, CONFIG, MANIFEST = "adapter_model.safetensors", "adapter_config.json", "burnish.json"

_KEY = re.compile(r"^base_model\.model\.(?P<layer>.+)\.lora_(?P<half>[AB])(\.default)?\.weight$")
# Settings that change the computation in a way that slots lack, with their harmless values.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "use_dora": (False, None),
    "use_qalora": (False, None),
    "use_bdlora": (None, False),
    "fan_in_fan_out": (False, None),
    "lora_bias": (False, None),
    "bias": ("none", None),
    "modules_to_save": (None, []),
    "trainable_token_indices": (None, []),
    "target_parameters": (None, []),
    "layer_replication": (None, []),
    "arrow_config": (None,),
    "alora_invocation_tokens": (None, []),
}
_ALPHA = 8.0  # PEFT's default
_CHANGED_BASE = ("pissa", "olora", "corda", "loftq")  # their weights belong to a changed base


_ODD = (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError, RecursionError)


def read_adapter(version: str, folder: Path, model: CausalModel) -> Slot:
    """Read and check one adapter version for a model.

    Raises:
        BaseModelMismatch: If the adapter belongs to another base model.
        ServingError: If the folder is not an adapter, is damaged, or needs what slots lack.
    """
    try:
        return _read_slot(version, folder, model)
    except BurnishError:
        raise
    except _ODD as error:
        raise ServingError(
            f"{folder / CONFIG} of adapter {version} has a value of a wrong type: {error}",
            "the file that PEFT's save_pretrained() writes",
            "train the adapter again",
        ) from error


def _read_slot(version: str, folder: Path, model: CausalModel) -> Slot:
    config = _read_config(version, folder)
    manifest = _read_manifest(version, folder)
    if manifest is not None and manifest.base_sha256 not in ("", model.facts.sha256):
        raise BaseModelMismatch(
            f"adapter {version} was trained on {manifest.base_model} "
            f"(weights {manifest.base_sha256[:12]})",
            f"the base that is served here, {model.facts.folder.name} "
            f"(weights {model.facts.sha256[:12]})",
            f"burnish serve {manifest.base_model}, or retrain on this base",
        )
    halves = _read_halves(version, folder)
    patterns = LayerPatterns()
    _refuse_missing_layers(version, config, halves, model, patterns)
    scales = {name: _read_scale(config, name, half, patterns) for name, half in halves.items()}
    if not any(scales.values()):
        raise ServingError(
            f"adapter {version} has lora_alpha={config.get('lora_alpha')!r}, which switches it off",
            "an adapter that changes its base",
            "set lora_alpha to what it was trained with, or serve the base",
        )
    pairs: list[LoraPair | None] = [None] * len(model.slots.layers)
    for name, half in halves.items():
        layer = model.slots.layers.get(name)
        if layer is None:
            raise BaseModelMismatch(
                f"adapter {version} has weights for {name}",
                f"linear layers of {model.facts.folder.name}",
                "retrain on this base, or serve the base that the adapter names",
            )
        pairs[layer.index] = _make_pair(version, name, half, layer, scales[name])
    rank = max(half["A"].shape[0] for half in halves.values())
    return Slot(version, folder, tuple(pairs), rank, manifest)


def _read_config(version: str, folder: Path) -> Mapping[str, Any]:
    if not folder.is_dir():
        raise ServingError(
            f"no folder {folder} for adapter {version}",
            "a folder with an adapter",
            "burnish doctor",
        )
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ServingError(
            f"{folder / CONFIG} cannot be read: {error}",
            "the folder that PEFT's save_pretrained() writes",
            "train the adapter again",
        ) from error
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA":
        raise ServingError(
            f"adapter {version} is of the kind {kind!r}", 'peft_type "LORA"', "train a LoRA adapter"
        )
    for key, harmless in _HARMLESS.items():
        if key in config and config[key] not in harmless:
            raise ServingError(
                f"adapter {version} sets {key}={config[key]!r}",
                "a plain LoRA adapter, which can be swapped while the base is served",
                f"train without {key}, or merge it into the base and serve that",
            )
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGED_BASE):
        raise ServingError(
            f"adapter {version} was started with init_lora_weights={start!r}, "
            "so it belongs to a base with changed weights",
            "an adapter over the unchanged base",
            "save it with path_initial_model_for_weight_conversion",
        )
    return config


def _read_manifest(version: str, folder: Path) -> AdapterManifest | None:
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=AdapterManifest)
    except BROKEN_JSON as error:
        raise ServingError(
            f"{path} of adapter {version} is not a manifest: {error}",
            "the file that publication writes",
            "publish the adapter again",
        ) from error


def _read_halves(version: str, folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    path = folder / WEIGHTS
    if not path.is_file():
        raise ServingError(
            f"adapter {version} has no {WEIGHTS} in {folder}",
            "weights as safetensors (pickled files are never opened)",
            "save the adapter again with save_pretrained()",
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ServingError(
            f"{path} is cut or damaged: {error}", "a whole file", "copy or publish it again"
        ) from error
    halves: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.match(key)
        if match is None or not torch.isfinite(tensor).all():
            found = "is not finite" if match else "is not a LoRA weight of a linear layer"
            raise ServingError(
                f"tensor {key} of adapter {version} {found}",
                "finite lora_A and lora_B weights only",
                "train the adapter again",
            )
        halves.setdefault(match["layer"], {})[match["half"]] = tensor
    lonely = [name for name, half in halves.items() if len(half) != 2]
    if lonely or not halves:
        raise ServingError(
            f"adapter {version} lacks lora_A or lora_B of {lonely[0] if lonely else 'all layers'}",
            "both of each layer",
            "train the adapter again",
        )
    return halves


def _read_scale(
    config: Mapping[str, Any],
    name: str,
    half: Mapping[str, torch.Tensor],
    patterns: LayerPatterns,
) -> float:
    rank = half["A"].shape[0]
    alpha = float(config.get("lora_alpha", _ALPHA))
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if patterns.matches_suffix(pattern, name):
            alpha = float(value)
            break
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _refuse_missing_layers(
    version: str,
    config: Mapping[str, Any],
    halves: Collection[str],
    model: CausalModel,
    patterns: LayerPatterns,
) -> None:
    """Refuse a file that lacks layers that its configuration names as trained.

    The configuration names layers by suffix, by regular expression or as "all-linear".
    """
    missing = [
        name
        for name in model.slots.layers
        if name not in halves and _is_target(name, config, patterns, head=model.head_name)
    ]
    if missing:
        raise ServingError(
            f"adapter {version} lacks the weights of {len(missing)} layers that its "
            f"{CONFIG} names, such as {missing[0]}",
            "lora_A and lora_B of every layer that was trained",
            "copy the whole adapter again, or train it again",
        )


def _is_target(
    name: str, config: Mapping[str, Any], patterns: LayerPatterns, *, head: str | None
) -> bool:
    """Return True if PEFT would put an adapter on a layer of this name."""
    targets, excluded = config.get("target_modules"), config.get("exclude_modules")
    if excluded and _matches_target(excluded, name, patterns):
        return False
    if targets == "all-linear":
        return name != head
    if not targets or not _matches_target(targets, name, patterns):
        return False
    chosen = config.get("layers_to_transform")
    if chosen is None or chosen == []:
        return True
    wanted = [chosen] if isinstance(chosen, int) else list(chosen)
    given = config.get("layers_pattern") or r"[^.]*"
    prefixes = [given] if isinstance(given, str) else list(given)
    # The first number is the layer's; a later one may be an expert's.
    found = (
        patterns.match_name(rf"(?:|.*?\.){prefix}\.(?P<number>\d+)\..*", name)
        for prefix in prefixes
    )
    return any(match is not None and int(match["number"]) in wanted for match in found)


def _matches_target(targets: Any, name: str, patterns: LayerPatterns) -> bool:
    if isinstance(targets, str):
        return patterns.match_name(targets, name) is not None
    return name in targets or any(name.endswith(f".{target}") for target in targets)


def _make_pair(
    version: str, name: str, half: Mapping[str, torch.Tensor], layer: SlotLinear, scale: float
) -> LoraPair:
    down, up = half["A"], half["B"]
    rank = down.shape[0]
    if down.shape != (rank, layer.in_features) or up.shape != (layer.out_features, rank):
        raise BaseModelMismatch(
            f"adapter {version} has weights of shape {tuple(down.shape)} and {tuple(up.shape)} "
            f"for {name}",
            f"({rank}, {layer.in_features}) and ({layer.out_features}, {rank})",
            "retrain on this base, or serve the base that the adapter names",
        )
    device, dtype = layer.weight.device, layer.weight.dtype
    return LoraPair(
        down=down.to(device, dtype).T.contiguous(),
        up=(up.float() * scale).to(device, dtype).T.contiguous(),
    )
