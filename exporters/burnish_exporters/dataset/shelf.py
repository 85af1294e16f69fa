"""The versions of a workspace: find, compare, copy elsewhere, throw away.

Knows: the folder of all versions. Does not know: how a version is made.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec
import msgspec

from burnish.errors import ExportError, VersionConflict
from burnish.paths import path_inside
from burnish.storage import make_private_folder, sync_tree
from burnish_exporters.dataset.publish import DROPPED
from burnish_exporters.dataset.version import PARTS, DatasetVersion

_FILES = (*(f"rows/{part}.parquet" for part in PARTS), DROPPED, "card.md", "manifest.json")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What distinguishes a version from an older one.

    Attributes:
        added: Trajectories that came in, by split.
        removed: Trajectories that went, by split.
        changed: Trajectories whose rows differ, by split.
        recipe: Keys of the recipe with their old and new values.
        dropped: Reasons for drops with their old and new counts.
        why: Of each run that came, went or changed: the reason.
    """

    added: dict[str, list[str]]
    removed: dict[str, list[str]]
    changed: dict[str, list[str]]
    recipe: dict[str, list[object]]
    dropped: dict[str, list[int]]
    why: dict[str, str] = {}


class Shelf:
    """All versions in one folder.

    Args:
        folder: Folder of all versions, such as `Workspace().datasets`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def versions(self) -> list[DatasetVersion]:
        """All versions, newest first."""
        return self.readable()[0]

    def readable(self) -> tuple[list[DatasetVersion], list[str]]:
        """All versions, newest first, and what is wrong with the folders whose manifest cannot be read."""
        found, unreadable = [], []
        for path in sorted(self.folder.glob("[!.]*@*/manifest.json")):
            try:
                found.append(DatasetVersion.open(path.parent))
            except ExportError as problem:
                unreadable.append(str(problem))
        ordered = sorted(found, key=lambda v: (v.manifest.created_at, v.path.name), reverse=True)
        return ordered, unreadable

    def find(self, wanted: str) -> DatasetVersion:
        """The newest version whose id is, or begins with, `wanted`.

        Raises:
            ExportError: If there is none.
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
        """Copy a version to an fsspec URL; returns where it is. Nothing there is written over.

        Raises:
            VersionConflict: If something of that name is there, or the version was altered.
        """
        version.check_unaltered()
        target = f"{url.rstrip('/')}/{version.id}"
        files, place = fsspec.url_to_fs(target)
        if files.exists(place):
            raise VersionConflict(f"{target} exists", "a place without this version")
        files.makedirs(f"{place}/rows", exist_ok=True)
        for key in _FILES:  # the manifest comes last: it makes the version whole
            if (version.path / key).is_file():
                files.put_file(str(version.path / key), f"{place}/{key}")
        return target

    def pull(self, url: str) -> DatasetVersion:
        """Fetch a version from an fsspec URL, check it, and put it on the shelf.

        Only the files of a version are fetched, each into the place of its own name.

        Raises:
            ExportError: If the URL holds no version, or keys that lead out of it.
            VersionConflict: If its rows are not those that its name was made from.
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
                    _fetch(files, found, target)
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

    def unneeded(self, keep: int, used: Iterable[str] = ()) -> list[DatasetVersion]:
        """Versions that may go: older than the newest `keep` of their name, not used, and not carried over by another.

        Args:
            keep: Newest versions of each name that stay.
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
        """Throw a version away; it disappears at once or not at all."""
        hidden = self.folder / f".draft-{uuid.uuid4().hex}"
        version.path.rename(hidden)
        shutil.rmtree(hidden)


def compare(old: DatasetVersion, new: DatasetVersion) -> Difference:
    """Which runs came and went between two versions, and why."""
    added, removed, changed, why = {}, {}, {}, {}
    was, left = old.dropped(), new.dropped()
    for part in PARTS:
        before, after = _contents(old, part), _contents(new, part)
        if before or after:
            added[part] = sorted(after.keys() - before.keys())
            removed[part] = sorted(before.keys() - after.keys())
            both = before.keys() & after.keys()
            changed[part] = sorted(run for run in both if before[run] != after[run])
            why |= {run: f"was left out: {was[run][1]}" if run in was else "was not there"
                    for run in added[part]}  # fmt: skip
            why |= {run: left[run][1] if run in left else "is not there any more"
                    for run in removed[part]}  # fmt: skip
            why |= {run: _other(before[run], after[run]) for run in changed[part]}
    one, other = old.manifest.recipe, new.manifest.recipe
    keys = sorted(one.keys() | other.keys())
    reasons = [_reasons(version) for version in (old, new)]
    names = sorted(reasons[0].keys() | reasons[1].keys())
    return Difference(
        added=added,
        removed=removed,
        changed=changed,
        recipe={k: [one.get(k), other.get(k)] for k in keys if one.get(k) != other.get(k)},
        dropped={n: [counts.get(n, 0) for counts in reasons] for n in names},
        why=why,
    )


def _carried_from(version: DatasetVersion) -> list[str]:
    """Parents without which a version could not be built again, because the source has lost their runs."""
    stages = version.manifest.funnel
    carried = any(stage["name"] == "carried over" and stage["kept"] for stage in stages)
    return version.manifest.parents if carried else []


def _contents(version: DatasetVersion, part: str) -> dict[str, list[object]]:
    """What each run of a part teaches."""
    found: dict[str, list[object]] = {}
    for row in version.rows(part):
        found.setdefault(row["trajectory_id"], []).append(
            [row["messages"], row["tools"], row["weight"]]
        )
    return found


def _other(before: list[object], after: list[object]) -> str:
    """Which columns of a run's rows differ."""
    if len(before) != len(after):
        return f"{len(after)} rows instead of {len(before)}"
    names = ("messages", "tools", "weight")
    pairs = [(one, two) for one, two in zip(before, after, strict=True) if one != two]
    found = {n for one, two in pairs for n, a, b in zip(names, one, two, strict=True) if a != b}  # pyright: ignore[reportArgumentType]
    return f"other {', '.join(sorted(found))}"


def _reasons(version: DatasetVersion) -> dict[str, int]:
    counts: dict[str, int] = {}
    for stage in version.manifest.funnel:
        for reason, count in stage["dropped"].items():
            counts[reason] = counts.get(reason, 0) + count
    return counts


def _fetch(files: Any, found: str, target: Path) -> None:
    """Copy one file of a version; a symbolic link is refused, and so is a file that is cut off on the way."""
    facts = files.info(found)
    if facts.get("islink") or facts.get("type", "file") != "file":
        raise ExportError(f"{found} is a symbolic link or no file", "the files of a version")
    files.get_file(found, str(target))
    size = facts.get("size")
    if size is not None and target.stat().st_size != size:
        raise ExportError(
            f"{found} has {size} bytes, {target.stat().st_size} came",
            "the whole file",
            "pull again",
        )
