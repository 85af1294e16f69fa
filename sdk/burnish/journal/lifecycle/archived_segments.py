"""List archived segments and cache local copies of those that are read.

`archive.json` names the table of each archived segment and its expected hash. A table is listed
under `planned` before its first byte is written, and its next hash before it is rewritten, so
after a kill at any point the list shows which file holds which state.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import msgspec

from burnish.errors import JournalCorrupt, JournalError
from burnish.files.storage import (
    BROKEN_JSON,
    atomic_write,
    make_private_folder,
    read_regular,
    remove_drafts,
)
from burnish.journal import layout
from burnish.journal.documents import Document, read_document, write_document
from burnish.journal.lifecycle.segment_tables import (
    Seal,
    decode_table,
    hash_of,
    local_path,
    read_file,
    remove_file,
    seal_of,
)

_CACHE_FILES = 32
_RACES = 5  # how often a table may be rewritten while it is read
_NAME = re.compile(r"(?!\.)[^/\\\0]{1,255}/[0-9]{6,12}\.seg")

_checked: dict[Path, tuple[object, ...]] = {}
"""Verified local copies, by their `stat` result at that time."""


class Archived(msgspec.Struct, frozen=True):
    """One archived segment.

    Attributes:
        url: Its table.
        size: Bytes of its frames.
        seal: Expected hash of table and segment; None in lists of earlier versions.
        coming: The seal of a table that is being written over this one.
    """

    url: str
    size: int
    seal: Seal | None = None
    coming: Seal | None = None

    def seals(self) -> list[Seal]:
        """Return every valid state of the table; an empty list accepts any."""
        return [seal for seal in (self.seal, self.coming) if self.seal and seal]


class ArchiveList(msgspec.Struct):
    """All archived segments, by their names in the journal.

    Attributes:
        segments: Segments whose table is complete and synced.
        planned: URLs of tables that may be incomplete, whose segments are still in the journal.
    """

    segments: dict[str, Archived] = {}
    planned: dict[str, str] = {}


def read_list(home: Path) -> dict[str, Archived]:
    """Read all archived segments by their names in the journal; empty if the list is damaged."""
    found = read_archive_list(home)
    return found.value.segments if found.value is not None else {}


def read_archive_list(home: Path) -> Document[ArchiveList]:
    """Read the list of archived segments, of this or an earlier version."""
    path = home / "archive.json"
    found = read_document(path, dict[str, msgspec.Raw])
    if found.value is None:
        return Document(None, damaged=found.damaged)
    try:
        if found.value.keys() <= {"segments", "planned"}:
            body = msgspec.json.encode(found.value)
            listed = msgspec.json.decode(body, type=ArchiveList)
        else:
            body = msgspec.json.encode(found.value)
            listed = ArchiveList(msgspec.json.decode(body, type=dict[str, Archived]))
    except BROKEN_JSON:
        return Document(None, damaged=True)
    named = {name: entry for name, entry in listed.segments.items() if _NAME.fullmatch(name)}
    damaged = found.damaged or len(named) < len(listed.segments)
    return Document(ArchiveList(named, listed.planned), damaged=damaged)


def load_list(home: Path) -> ArchiveList:
    """Load the list in order to change it.

    Raises:
        JournalError: If it is damaged, so that writing it would lose segments.
    """
    found = read_archive_list(home)
    if found.value is not None:
        return found.value
    if found.damaged:
        path = home / "archive.json"
        raise JournalError(
            f"{path} and its copy cannot be read",
            "the list of what was archived",
            f"put {path} back from a backup, or discard it: mv {path} {path}.broken",
        )
    return ArchiveList()


def write_list(home: Path, listed: ArchiveList) -> None:
    """Replace the list of archived segments; it is synced when this returns.

    Raises:
        OSError: If the disk does not accept it.
    """
    write_document(home / "archive.json", listed)


def finish_plans(home: Path, *, remote: bool = True) -> None:
    """Finish the work of a killed archiver: tables without an entry, segments that have one.

    The caller holds the journal's lock. A table that cannot be reached stays in the list.

    Raises:
        OSError: If the disk of the workspace does not accept a write.
    """
    listed = read_archive_list(home).value
    if listed is None:
        return
    for name, entry in listed.segments.items():
        segment = layout.journal_folder(home) / name
        if segment.is_file() and (remote or local_path(entry.url) is not None):
            with contextlib.suppress(JournalError):
                read_table(entry)  # the segment stays in the journal if its table cannot be read
                segment.unlink(missing_ok=True)
    done = []
    known = {entry.url for entry in listed.segments.values()}
    for name, url in listed.planned.items():
        if remote or local_path(url) is not None:
            with contextlib.suppress(JournalError):
                if url not in known:
                    remove_file(url)
                done.append(name)
    if done:
        listed.planned = {n: url for n, url in listed.planned.items() if n not in done}
        write_list(home, listed)


def fetch(home: Path, name: str) -> Path | None:
    """Fetch a local copy of an archived segment; None if it was never archived.

    Raises:
        JournalError: If the table cannot be read.
        JournalCorrupt: If its content differs from the archived segment.
    """
    path = cache_folder(home) / name
    for _ in range(_RACES):
        entry = read_list(home).get(name)
        if entry is None:
            return None
        if _is_right(path, entry):
            return path
        content, _ = read_table(entry)
        written = _write_copy(path, content)
        if written and read_list(home).get(name) == entry:
            _bound_cache(home, path)
            return path
        path.unlink(missing_ok=True)  # an erasure ran while the copy was written
    raise JournalError(
        f"{path} changes all the time", "an archive that is at rest", "the same command again"
    )


def _write_copy(path: Path, content: bytes) -> bool:
    """Write a local copy; return whether it exists, because a concurrent erasure removes drafts.

    Raises:
        JournalError: If the disk does not accept it.
    """
    try:
        make_private_folder(path.parent)
        atomic_write(path, content, durable=False)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise JournalError(
            f"{path} cannot be written: {error}",
            "room for a copy of an archived segment",
            "burnish doctor",
        ) from error
    return True


def read_table(entry: Archived) -> tuple[bytes, Seal]:
    """Read an archived segment from its table; also return the current seal of the table.

    Raises:
        JournalError: If the table cannot be read.
        JournalCorrupt: If its content differs from the archived segment.
    """
    content = read_file(entry.url)
    known = [s for s in entry.seals() if s.table_sha256 == hash_of(content)]
    if entry.seals() and not known:
        raise JournalCorrupt(
            f"{entry.url} is not what was archived: its hash differs",
            "the file as burnish archive wrote it",
            "put it back from a backup",
        )
    data = decode_table(entry.url, content)
    return data, known[0] if known else seal_of(content, data)


def cache_folder(home: Path) -> Path:
    """Return the folder of the local copies."""
    return home / "cache"


def drop_copy(home: Path, name: str) -> None:
    """Remove the local copy of an archived segment.

    Raises:
        OSError: If it cannot be removed.
    """
    path = cache_folder(home) / name
    try:
        path.unlink(missing_ok=True)
    except OSError:
        if path.is_file():  # another kind of file in its place is not a copy
            raise


def remove_stale_copies(home: Path) -> None:
    """Remove local copies of segments that are not archived, and drafts of copies."""
    known = read_list(home)
    with contextlib.suppress(OSError):
        for folder in cache_folder(home).iterdir():
            remove_drafts(folder)
            for path in folder.iterdir():
                if f"{folder.name}/{path.name}" not in known:
                    path.unlink(missing_ok=True)


def _is_right(path: Path, entry: Archived) -> bool:
    """Return whether a local copy exists and is correct; hashed again only when the file changes."""
    try:
        stat = path.stat()
        seals = {seal.segment_sha256 for seal in entry.seals()}
        state = (stat.st_ino, stat.st_size, stat.st_mtime_ns, *sorted(seals))
        if _checked.get(path) == state:
            return True
        if seals and hash_of(read_regular(path)) not in seals:
            return False
    except OSError:
        return False
    _checked[path] = state
    return True


def _bound_cache(home: Path, newest: Path) -> None:
    """Keep only the most recently used copies."""
    copies = sorted(cache_folder(home).glob("*/*.seg"), key=_used_ns)
    for path in copies[:-_CACHE_FILES]:
        if path != newest:
            with contextlib.suppress(OSError):
                path.unlink()


def _used_ns(path: Path) -> int:
    try:
        return path.stat().st_atime_ns
    except OSError:
        return 0
