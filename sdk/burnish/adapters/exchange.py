"""Copy adapter versions out of a workspace and into it: a folder, or a repository of the Hugging Face Hub.

`push_adapter` and `pull_adapter` are the entries; a place is a folder, or `hf://OWNER/NAME` with an optional `@REVISION`.
Only the files of a version travel, and weights are safetensors: nothing that would have to be unpickled is fetched.
What arrives is checked before it enters the store, and it serves nothing until it has been evaluated here.
"""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
from pathlib import Path

import msgspec

from burnish.adapters.store import CONFIG, MANIFEST, SUMS, WEIGHTS, AdapterStore, adapter_id
from burnish.errors import RegistryError
from burnish.files.storage import BROKEN_JSON, sync_tree
from burnish.imports.extras import import_extra
from burnish.records import AdapterManifest

_HUB = "hf://"
_FILES = (WEIGHTS, CONFIG, MANIFEST, SUMS, "fingerprint.json", "card.md")
_MOST_HEADER = 100_000_000  # bytes, the limit of safetensors itself
_AGAIN = "push it again from the workspace that made it"


def push_adapter(store: AdapterStore, version: str, place: str, *, private: bool = True) -> str:
    """Copy a version to a place and return its address.

    Args:
        store: The workspace's adapters.
        version: The version.
        place: A folder, in which the version gets a folder of its own, or `hf://OWNER/NAME`.
        private: A new repository is private.

    Raises:
        RegistryError: The version was altered, or the place cannot take it.
        MissingExtra: The Hub needs huggingface_hub.
    """
    store.verify(version)
    source = store.path(version)
    if not place.startswith(_HUB):
        return str(_copy_out(source, Path(place) / version))
    hub = import_extra("huggingface_hub")
    repository, revision = _split_address(place)
    with tempfile.TemporaryDirectory() as folder:
        staged = _stage(source, Path(folder))
        (staged / "README.md").write_text(_render_readme(staged, store.get(version)))
        try:
            api = hub.HfApi()
            api.create_repo(repository, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repository,
                folder_path=staged,
                revision=revision,
                commit_message=f"Adapter {version}",
            )
        except Exception as problem:  # the client's own errors, and those of its transport
            raise _hub_error(place, problem) from problem
    return f"{_HUB}{repository}@{commit.oid}"


def pull_adapter(store: AdapterStore, place: str) -> AdapterManifest:
    """Fetch a version from a place, check it, and put it into the store.

    Args:
        store: The workspace's adapters.
        place: The folder of a version, or `hf://OWNER/NAME[@REVISION]`.

    Raises:
        RegistryError: The place cannot be read, or holds no whole adapter version.
        MissingExtra: The Hub needs huggingface_hub.
    """
    with tempfile.TemporaryDirectory() as folder:
        if place.startswith(_HUB):
            found = _download(place, Path(folder))
        else:
            if not Path(place).is_dir():
                raise RegistryError(
                    f"there is no folder {place}", "the folder of a version, or hf://OWNER/NAME"
                )
            found = Path(place)
        staged = _stage(found, Path(folder) / "staged")
        return store.publish(staged, check_arrival(staged))


def check_arrival(folder: Path) -> AdapterManifest:
    """Check a folder that came from elsewhere and return its manifest.

    Raises:
        RegistryError: A file is missing, is not what it claims to be, or differs from the manifest or its hash.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise RegistryError(
            f"no {MANIFEST} came with the adapter",
            "a version that burnish made",
            "burnish adapters push, from the workspace that made it",
        )
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=AdapterManifest)
    except BROKEN_JSON as problem:
        raise RegistryError(
            f"{MANIFEST} cannot be read: {problem}", "a manifest", _AGAIN
        ) from problem
    found, _ = adapter_id(folder, manifest.name)
    if found != manifest.id:
        raise RegistryError(
            f"the files are {found}, and their manifest names {manifest.id}",
            "the files as they were published",
            _AGAIN,
        )
    check_safetensors(folder / WEIGHTS)
    config = json.loads((folder / CONFIG).read_bytes())
    if not isinstance(config, dict) or "peft_type" not in config:
        raise RegistryError(f"{CONFIG} names no peft_type", "a configuration of PEFT", _AGAIN)
    return manifest


def check_safetensors(path: Path) -> None:
    """Read the header of a safetensors file and compare it with the file's size.

    Raises:
        RegistryError: The file is of another kind, or is cut off.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        fits = length <= min(_MOST_HEADER, size - 8)
        try:
            header = json.loads(file.read(length)) if fits else None
            parts = {k: v for k, v in header.items() if k != "__metadata__"} if header else {}
            ends = [int(part["data_offsets"][1]) for part in parts.values()]
        except (KeyError, TypeError, AttributeError, IndexError, *BROKEN_JSON):
            ends = []
    if not ends or max(ends) != size - 8 - length:
        raise RegistryError(
            f"{path.name} is not a whole safetensors file ({size:,} bytes)",
            "weights as safetensors (pickled files are never opened)",
            _AGAIN,
        )


def _stage(source: Path, target: Path) -> Path:
    """Copy the files of a version, and no others."""
    target.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    return target


def _copy_out(source: Path, target: Path) -> Path:
    if target.exists():
        check_arrival(target)  # another version under this name is an error, the same one is done
        return target
    staged = _stage(source, target.with_name(f".incoming-{target.name}"))
    sync_tree(staged)
    staged.rename(target)
    return target


def _split_address(place: str) -> tuple[str, str | None]:
    repository, _, revision = place.removeprefix(_HUB).partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise RegistryError(f"address {place!r}", "hf://OWNER/NAME, with an optional @REVISION")
    return repository, revision or None


def _download(place: str, folder: Path) -> Path:
    hub = import_extra("huggingface_hub")
    repository, revision = _split_address(place)
    try:
        path = hub.snapshot_download(
            repository, revision=revision, local_dir=folder / "hub", allow_patterns=list(_FILES)
        )
    except Exception as problem:  # as above
        raise _hub_error(place, problem) from problem
    return Path(path)


def _hub_error(place: str, problem: Exception) -> RegistryError:
    return RegistryError(
        f"{place}: {str(problem).splitlines()[0][:300] if str(problem) else type(problem).__name__}",
        "a repository that exists and a token that may use it",
        "hf auth login, or set HF_TOKEN",
    )


def _render_readme(folder: Path, manifest: AdapterManifest) -> str:
    """Return the card with the front matter that the Hub reads."""
    card = folder / "card.md"
    facts = f"library_name: peft\ntags:\n- burnish\n- lora\nbase_model: {manifest.base_model}\n"
    return f"---\n{facts}---\n\n{card.read_text() if card.is_file() else ''}"
