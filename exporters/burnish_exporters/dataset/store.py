"""Find, compare, copy and remove the versions of a workspace."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec
import msgspec

from burnish.errors import ExportError, VersionConflict
from burnish.files.paths import path_inside
from burnish.files.storage import make_private_folder, sync_tree
from burnish_exporters.dataset.draft import DROPPED
from burnish_exporters.dataset.version import PARTS, DatasetVersion

_FILES = (*(f"rows/{part}.parquet" for part in PARTS), DROPPED, "card.md", "manifest.json")


class VersionDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The difference between a version and an older one.

    Attributes:
        added: Trajectories that were added, by split.
        removed: Trajectories that were removed, by split.
        changed: Trajectories whose rows differ, by split.
        recipe: Keys of the recipe with their old and new values.
        dropped: Reasons for drops with their old and new counts.
        why: The reason for each run that was added, removed or changed.
    """

    added: dict[str, list[str]]
    removed: dict[str, list[str]]
    changed: dict[str, list[str]]
    recipe: dict[str, list[object]]
    dropped: dict[str, list[int]]
    why: dict[str, str] = {}


class DatasetStore:
    """All versions in one folder.

    Args:
        folder: Folder of all versions, such as `Workspace().datasets`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def versions(self) -> list[DatasetVersion]:
        """Return all versions, newest first."""
        return self.scan_versions()[0]

    def scan_versions(self) -> tuple[list[DatasetVersion], list[str]]:
        """Return all versions, newest first, and the problems of the folders whose manifest cannot be read."""
        found, unreadable = [], []
        for path in sorted(self.folder.glob("[!.]*@*/manifest.json")):
            try:
                found.append(DatasetVersion.open(path.parent))
            except ExportError as problem:
                unreadable.append(str(problem))
        ordered = sorted(found, key=lambda v: (v.manifest.created_at, v.path.name), reverse=True)
        return ordered, unreadable

    def find_version(self, wanted: str) -> DatasetVersion:
        """Return the newest version whose id is, or begins with, `wanted`.

        Raises:
            ExportError: If no version matches.
        """
        known = self.versions()
        for version in known:
            if version.id == wanted or version.id.startswith(wanted):
                return version
        names = ", ".join(version.id for version in known[:5])
        raise ExportError(
            f"no dataset version {wanted!r}",
            f"one of {names}" if names else "a version that was built",
            "burnish dataset build AGENT",
        )

    def push(self, version: DatasetVersion, url: str) -> str:
        """Copy a version to an fsspec URL and return its URL. Existing files are never overwritten.

        Raises:
            VersionConflict: If something of that name exists, or the version was altered.
        """
        version.check_unaltered()
        target = f"{url.rstrip('/')}/{version.id}"
        files, place = fsspec.url_to_fs(target)
        if files.exists(place):
            raise VersionConflict(f"{target} exists", "a URL without this version")
        files.makedirs(f"{place}/rows", exist_ok=True)
        for key in _FILES:  # the manifest comes last: a copy without it is incomplete
            if (version.path / key).is_file():
                files.put_file(str(version.path / key), f"{place}/{key}")
        return target

    def pull(self, url: str) -> DatasetVersion:
        """Fetch a version from an fsspec URL, check it, and add it to the store.

        Only the files of a version are fetched, each to its own path.

        Raises:
            ExportError: If the URL holds no version, or keys that lead out of it.
            VersionConflict: If its rows do not hash to its name.
        """
        files, place = fsspec.url_to_fs(url.rstrip("/"))
        if not files.exists(f"{place}/manifest.json"):
            raise ExportError(
                f"no dataset version at {url}", "a folder with manifest.json and rows/"
            )
        draft = self.folder / f".draft-{uuid.uuid4().hex}"
        try:
            for found in files.find(place):
                key = str(found)[len(place) :].lstrip("/")
                target = path_inside(draft, key, ExportError)
                if key in _FILES:
                    make_private_folder(target.parent)
                    _fetch_file(files, found, target)
            version = DatasetVersion.open(draft)
            version.verify()
            sync_tree(draft)
            final = path_inside(self.folder, version.id, ExportError)
            if not final.exists():
                draft.rename(final)
            version = DatasetVersion.open(final)
            version.check_unaltered()
            return version
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def unneeded_versions(self, keep: int, used: Iterable[str] = ()) -> list[DatasetVersion]:
        """Return the versions that may be removed: old, unused, and not carried over by another version.

        Args:
            keep: Number of newest versions of each name that stay.
            used: Ids that something else refers to, such as adapters.
        """
        known = self.versions()
        needed = {*used, *(parent for version in known for parent in _carried_from(version))}
        seen: dict[str, int] = {}
        old = []
        for version in known:
            seen[version.manifest.name] = seen.get(version.manifest.name, 0) + 1
            if seen[version.manifest.name] > keep and version.id not in needed:
                old.append(version)
        return old

    def remove(self, version: DatasetVersion) -> None:
        """Remove a version atomically."""
        hidden = self.folder / f".draft-{uuid.uuid4().hex}"
        version.path.rename(hidden)
        shutil.rmtree(hidden)


def compare_versions(old: DatasetVersion, new: DatasetVersion) -> VersionDifference:
    """Compare two versions: which runs were added and removed, and why."""
    added, removed, changed, why = {}, {}, {}, {}
    was, left = old.dropped(), new.dropped()
    for part in PARTS:
        before, after = _run_contents(old, part), _run_contents(new, part)
        if before or after:
            added[part] = sorted(after.keys() - before.keys())
            removed[part] = sorted(before.keys() - after.keys())
            both = before.keys() & after.keys()
            changed[part] = sorted(run for run in both if before[run] != after[run])
            why |= {run: f"was left out: {was[run][1]}" if run in was else "was not there"
                    for run in added[part]}  # fmt: skip
            why |= {run: left[run][1] if run in left else "is not there any more"
                    for run in removed[part]}  # fmt: skip
            why |= {run: _changed_columns(before[run], after[run]) for run in changed[part]}
    one, other = old.manifest.recipe, new.manifest.recipe
    keys = sorted(one.keys() | other.keys())
    reasons = [_drop_counts(version) for version in (old, new)]
    names = sorted(reasons[0].keys() | reasons[1].keys())
    return VersionDifference(
        added=added,
        removed=removed,
        changed=changed,
        recipe={k: [one.get(k), other.get(k)] for k in keys if one.get(k) != other.get(k)},
        dropped={n: [counts.get(n, 0) for counts in reasons] for n in names},
        why=why,
    )


def _carried_from(version: DatasetVersion) -> list[str]:
    """Return the parents that are needed to build a version again, because the source has lost their runs."""
    stages = version.manifest.funnel
    carried = any(stage["name"] == "carried over" and stage["kept"] for stage in stages)
    return version.manifest.parents if carried else []


def _run_contents(version: DatasetVersion, part: str) -> dict[str, list[object]]:
    """Return the trainable content of each run of a part."""
    found: dict[str, list[object]] = {}
    for row in version.rows(part):
        found.setdefault(row["trajectory_id"], []).append(
            [row["messages"], row["tools"], row["weight"]]
        )
    return found


def _changed_columns(before: list[object], after: list[object]) -> str:
    """Describe which columns of a run's rows differ."""
    if len(before) != len(after):
        return f"{len(after)} rows instead of {len(before)}"
    names = ("messages", "tools", "weight")
    pairs = [(one, two) for one, two in zip(before, after, strict=True) if one != two]
    found = {n for one, two in pairs for n, a, b in zip(names, one, two, strict=True) if a != b}  # pyright: ignore[reportArgumentType]
    return f"other {', '.join(sorted(found))}"


def _drop_counts(version: DatasetVersion) -> dict[str, int]:
    counts: dict[str, int] = {}
    for stage in version.manifest.funnel:
        for reason, count in stage["dropped"].items():
            counts[reason] = counts.get(reason, 0) + count
    return counts


def _fetch_file(files: Any, found: str, target: Path) -> None:
    """Copy one file of a version; refuse a symbolic link and a file that is cut off."""
    facts = files.info(found)
    if facts.get("islink") or facts.get("type", "file") != "file":
        raise ExportError(f"{found} is a symbolic link or no file", "the files of a version")
    files.get_file(found, str(target))
    size = facts.get("size")
    if size is not None and target.stat().st_size != size:
        raise ExportError(
            f"{found} has {size} bytes, {target.stat().st_size} arrived",
            "the whole file",
            "pull again",
        )
