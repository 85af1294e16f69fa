"""Make a LoRA adapter without effect, which shows the ranks that a server accepts.

`make_probe_adapter` is the entry. It needs no model library.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

from burnish.errors import ServingError
from burnish.files.storage import make_private_folder
from burnish.serving.contract.base_models import base_sha256
from burnish.settings import current


def make_probe_adapter(rank: int, base: Path) -> tuple[str, Path]:
    """Write an adapter of one layer whose weights are zero; return its name and folder.

    Args:
        rank: Its rank.
        base: Folder of the base model.

    Raises:
        ServingError: If the base model has no linear layer to name.
    """
    name = f"burnish-probe-r{rank}@{base_sha256(base)[:12]}"
    folder = current().home / "probes" / name
    layer, outputs, inputs = _first_linear(base)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": [layer.rpartition(".")[2]],
        "bias": "none",
        "base_model_name_or_path": str(base),
    }
    make_private_folder(folder)
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    shapes = {
        f"base_model.model.{layer}.lora_A.weight": (rank, inputs),
        f"base_model.model.{layer}.lora_B.weight": (outputs, rank),
    }
    (folder / "adapter_model.safetensors").write_bytes(_write_zeros(shapes))
    return name, folder.resolve()


def _first_linear(base: Path) -> tuple[str, int, int]:
    """Return name and shape of the first layer's first projection, from the headers of the files."""
    found = sorted(
        (name, *shape)
        for name, shape in _shapes_of_tensors(base)
        if ".layers.0." in name and len(shape) == 2
    )
    for name, outputs, inputs in found:
        if name.endswith("_proj.weight"):
            return name.removesuffix(".weight"), outputs, inputs
    raise ServingError(
        f"{base} names no projection in its first layer", "a decoder with *_proj layers"
    )


def _shapes_of_tensors(base: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    for file in sorted(base.glob("*.safetensors")):
        with file.open("rb") as stream:
            length = struct.unpack("<Q", stream.read(8))[0]
            header = json.loads(stream.read(length))
        for name, tensor in header.items():
            if name != "__metadata__":
                yield name, tuple(tensor["shape"])


def _write_zeros(shapes: dict[str, tuple[int, int]]) -> bytes:
    """Encode a safetensors file of 32-bit zeros."""
    header, at = {}, 0
    for name, (rows, columns) in shapes.items():
        size = 4 * rows * columns
        header[name] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(at)
