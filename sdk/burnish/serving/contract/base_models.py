"""Find base models by name, and compute the hash that adapters are bound to.

`resolve_model` searches folders, the entry-point group `burnish.models` and the local Hugging Face
cache. It never uses the network.
"""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from burnish.errors import ServingError

_GROUP = "burnish.models"
_hashes: dict[tuple[tuple[str, int, int], ...], str] = {}


def resolve_model(name: str | Path) -> Path:
    """Find the folder of a base model, from a folder or a name such as "starter".

    Raises:
        ServingError: If no folder with a model is found.
    """
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return folder.resolve()
    entries = {entry.name: entry for entry in metadata.entry_points(group=_GROUP)}
    if str(name) in entries:
        folder = Path(entries[str(name)].load()())
        if (folder / "config.json").is_file():
            return folder.resolve()
        raise ServingError(
            f"model {name!r} is declared, but {folder} holds no config.json",
            "the files of the model",
            "pip install --force-reinstall burnish",
        )
    cached = _find_cached(str(name))
    if cached is not None:
        return cached
    known = ", ".join(sorted(entries)) or "none declared"
    raise ServingError(
        f"no base model {str(name)!r}",
        f"a folder with config.json, a name in the local model cache, or one of: {known}",
        f"huggingface-cli download {name}"
        if "/" in str(name)
        else "write the folder of the model's files as base_model in burnish.toml; a server takes it as its name "
        "with --served-model-name FOLDER",
    )


def base_sha256(folder: str | Path) -> str:
    """Hash the names and bytes of a model's `*.safetensors` files.

    This is `AdapterManifest.base_sha256`; an adapter is only served on the base it names.

    Raises:
        ServingError: If the folder holds no safetensors file.
    """
    files = sorted(Path(folder).glob("*.safetensors"), key=lambda file: file.name)
    if not files:
        raise ServingError(
            f"{folder} holds no *.safetensors file",
            "weights without pickle",
            "save the model again with save_pretrained()",
        )
    stats = [(file, file.stat()) for file in files]
    key = tuple((str(file.resolve()), stat.st_size, stat.st_mtime_ns) for file, stat in stats)
    if key not in _hashes:
        digest = hashlib.sha256()
        for file in files:
            digest.update(file.name.encode() + b"\0" + file.stat().st_size.to_bytes(8, "big"))
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        _hashes[key] = digest.hexdigest()
    return _hashes[key]


def _find_cached(name: str) -> Path | None:
    """Find a model in the local Hugging Face cache; never download it."""
    if "/" not in name or name.startswith((".", "/")):
        return None
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
        )
    except ImportError:
        return None
    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError):
        return None
    return folder if (folder / "config.json").is_file() else None
