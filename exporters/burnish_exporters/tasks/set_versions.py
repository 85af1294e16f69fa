"""Keep the versions of a folder of task files in its `tasks.lock`.

`record_version` is the entry. A version names the hash of each pool's measured tasks, which an evaluation names too, so
that a result leads to the tasks that it was measured on.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path

import msgspec

from burnish.errors import EvaluationError
from burnish.files.storage import BROKEN_JSON, atomic_write
from burnish_exporters.tasks.task_files import MANIFEST, TASK_POOLS, StoredTask, read_tasks
from burnish_exporters.tasks.task_sources import hash_tasks


class SetFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The measured tasks of one pool.

    Attributes:
        sha256: Hash of the tasks, as an evaluation names it.
        tasks: Number of measured tasks.
        retired: Number of retired tasks.
    """

    sha256: str
    tasks: int
    retired: int = 0


class SetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the files."""

    version: int
    at: str
    by: str
    pools: dict[str, SetFacts]


class SetManifest(msgspec.Struct, frozen=True, kw_only=True):
    """All versions, oldest first."""

    versions: list[SetVersion] = msgspec.field(default_factory=list[SetVersion])


def read_manifest(folder: Path) -> SetManifest:
    """Return the manifest of a folder; empty if it has none.

    Args:
        folder: Folder of the task files.

    Raises:
        EvaluationError: It cannot be read.
    """
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=SetManifest)
    except FileNotFoundError:
        return SetManifest()
    except (OSError, *BROKEN_JSON) as problem:
        raise EvaluationError(
            f"{path}: {problem}", "the JSON that burnish tasks writes", f"mv {path} {path}.broken"
        ) from problem


def describe_sets(stored: list[StoredTask]) -> dict[str, SetFacts]:
    """Return the facts of each pool that has tasks.

    Args:
        stored: All tasks of a folder.
    """
    retired = Counter(one.pool for one in stored if one.retired)
    found: dict[str, SetFacts] = {}
    for pool in TASK_POOLS:
        tasks = [one.task for one in stored if one.pool == pool and not one.retired]
        if tasks or retired[pool]:
            found[pool] = SetFacts(
                sha256=hash_tasks(tasks), tasks=len(tasks), retired=retired[pool]
            )
    return found


def record_version(folder: Path, by: str) -> SetVersion:
    """Add a version if the tasks changed since the last one, and return the newest.

    Args:
        folder: Folder of the task files.
        by: The command that changed them.

    Raises:
        EvaluationError: A file or the manifest cannot be read.
    """
    manifest, pools = read_manifest(folder), describe_sets(read_tasks(folder))
    if manifest.versions and manifest.versions[-1].pools == pools:
        return manifest.versions[-1]
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    number = manifest.versions[-1].version + 1 if manifest.versions else 1
    version = SetVersion(version=number, at=now, by=by, pools=pools)
    updated = SetManifest(versions=[*manifest.versions, version])
    atomic_write(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(updated)))
    return version
