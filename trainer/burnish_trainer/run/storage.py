"""Write the files of a training run atomically, lock its folder, and find its checkpoints."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

from burnish.errors import BurnishError, TrainingError
from burnish.files import platform
from burnish.files.storage import atomic_write, make_private_folder, sync_path, sync_tree

MANIFEST = "MANIFEST.json"
PLAN = "plan.txt"  # the id of the plan that a checkpoint belongs to

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SAID = ("No space left", "Disk quota exceeded", "File too large", "PytorchStreamWriter failed")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: a reader sees the old file or the new one."""
    atomic_write(path, encode_json(value).encode())


def encode_json(value: Any) -> str:
    """Return a value as JSON for people: indented, with sorted keys, and a line end."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


@contextlib.contextmanager
def explain_full_disk(folder: Path) -> Generator[None]:
    """Turn the error of a full disk inside the block into one clear error; finished files stay.

    Raises:
        TrainingError: The disk is full.
    """
    try:
        yield
    except Exception as error:  # each library has its own class for it
        full = getattr(error, "errno", None) in _FULL or any(word in str(error) for word in _SAID)
        if isinstance(error, BurnishError) or not full:
            raise
        free = shutil.disk_usage(folder).free
        raise TrainingError(
            f"no space to write into {folder} ({free / 2**20:,.0f} MiB free on its disk): {error}",
            "a disk with space for checkpoints and the adapter",
            "free space and repeat the command; it continues where it stopped",
        ) from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics file, without one that a kill cut off."""
    found: list[dict[str, Any]] = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def lock_folder(folder: Path, what: str) -> Generator[None]:
    """Lock a folder for this process.

    Raises:
        TrainingError: Another process holds the lock.
    """
    make_private_folder(folder)
    with (folder / ".lock").open("a+") as file:
        if platform.take_lock(file.fileno()) == "held elsewhere":
            file.seek(0)
            raise TrainingError(
                f"{what} in {folder} is already running (process {file.read().strip() or 'unknown'})",
                "one process at a time on one workspace",
                "wait until it has ended, or stop it; its finished work is kept",
            )
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def seal_checkpoint(staged: Path, final: Path) -> None:
    """Make a written folder durable and visible: manifest, fsync, rename.

    Args:
        staged: The folder as it was written.
        final: Its final path; the folder's name must end with its step after the last dash.
    """
    files = sorted(p for p in staged.rglob("*") if p.is_file())
    manifest = {str(p.relative_to(staged)): hash_file(p) for p in files}
    write_json(staged / MANIFEST, manifest)
    sync_tree(staged)
    if final.exists():
        shutil.rmtree(final)
    staged.rename(final)
    sync_path(final.parent)


def is_whole(checkpoint: Path) -> bool:
    """Report if every file of a sealed folder still has its hash."""
    try:
        manifest: dict[str, str] = json.loads((checkpoint / MANIFEST).read_text())
        return all(hash_file(checkpoint / name) == digest for name, digest in manifest.items())
    except (OSError, ValueError, AttributeError):
        return False


def newest_checkpoint(folder: Path, plan: str | None = None) -> Path | None:
    """Return the newest whole checkpoint; damaged ones are skipped.

    Args:
        folder: The folder of a run's checkpoints.
        plan: The id of the run's plan; checkpoints of earlier versions do not name theirs.

    Raises:
        TrainingError: Another plan wrote the checkpoint.
    """
    found = next((path for path in reversed(_list_checkpoints(folder)) if is_whole(path)), None)
    if found is None or plan is None or not (found / PLAN).exists():
        return found
    owner = (found / PLAN).read_text().strip()
    if owner != plan:
        raise TrainingError(
            f"{found} was written by {owner}",
            f"checkpoints of {plan}",
            f"move {folder} away, or give another folder",
        )
    return found


def keep_newest(folder: Path, count: int, best_step: int | None = None) -> None:
    """Remove all but the newest checkpoints and the one of the best step."""
    for path in _list_checkpoints(folder)[:-count]:
        if step_of(path) != best_step:
            shutil.rmtree(path, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """Return the step after which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def _list_checkpoints(folder: Path) -> list[Path]:
    found = [p for p in folder.glob("checkpoint-*") if p.name.rpartition("-")[2].isdigit()]
    return sorted(found, key=step_of)
