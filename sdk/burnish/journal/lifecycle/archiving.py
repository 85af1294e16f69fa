"""Move closed segments to Parquet on any fsspec URL, and copy an archive back.

A segment leaves the journal once its table is synced and verified by reading it back, and the list
that names the table is synced too. `segment_tables` defines the tables, `archived_segments` the
list.
"""

from __future__ import annotations

import posixpath
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from burnish.errors import JournalError
from burnish.files.paths import is_component
from burnish.files.storage import atomic_write, make_private_folder, sync_path
from burnish.journal import frames, layout
from burnish.journal.faults import naming_faults
from burnish.journal.lifecycle.archived_segments import (
    Archived,
    ArchiveList,
    fetch,
    load_list,
    read_list,
    write_list,
)
from burnish.journal.lifecycle.erasure import blank, rewriting
from burnish.journal.lifecycle.retention import Claims
from burnish.journal.lifecycle.segment_tables import (
    Seal,
    decode_table,
    encode_table,
    import_stack,
    read_file,
    seal_of,
    unreachable,
    write_file,
)
from burnish.journal.lifecycle.tombstones import Forgotten, tombstones
from burnish.journal.reader import is_alive, process_folders, segments
from burnish.settings import Settings

__all__ = ["ArchiveReport", "archive", "copy_back", "fetch", "read_list"]

_PATIENCE_S = 600.0  # how long an archiver waits for another one


class ArchiveReport(msgspec.Struct, kw_only=True):
    """Result of one run of the archiver."""

    archived: int = 0  # segments
    bytes_before: int = 0
    bytes_after: int = 0
    claimed: int = 0  # closed segments that an exporter has not shipped yet
    damaged: int = 0  # segments that stay in the journal because one of their frames is damaged


def archive(home: Path, url: str, settings: Settings) -> ArchiveReport:
    """Move closed segments to `url`, except those that an exporter has not shipped yet.

    Forgotten content is erased before. Archivers of several processes run one after the other.

    Raises:
        JournalError: If the package pyarrow is missing, the URL or the workspace cannot be
            written, or another process rewrites the journal for ten minutes.
    """
    report = ArchiveReport()
    if not layout.journal_folder(home).is_dir():
        return report
    import_stack()
    with naming_faults(home), rewriting(home, wait_s=_PATIENCE_S) as state:
        if not state.held:
            raise JournalError(
                f"another process rewrites the journal in {home}",
                f"it to end within {_PATIENCE_S:.0f} s",
                "burnish archive again, once it has ended",
            )
        claims = Claims(home, settings, time.time_ns())
        listed = load_list(home)
        for path in _closed_segments(home):
            if claims.hold(path.parent.name, int(path.stem)):
                report.claimed += 1
            else:
                _archive_segment(home, path, url, listed, report)
    return report


def _archive_segment(
    home: Path, path: Path, url: str, listed: ArchiveList, report: ArchiveReport
) -> None:
    """Move one segment; the caller holds the journal's lock."""
    data = path.read_bytes()
    whole = _length_of_whole_frames(data)
    if whole is None:
        report.damaged += 1
        return
    name = f"{path.parent.name}/{path.name}"
    target = posixpath.join(url, path.parent.name, f"{path.stem}.parquet")
    listed.planned[name] = target
    write_list(home, listed)
    while True:
        kept, _ = blank(data[:whole], Forgotten(tombstones(home)))
        seal = _write_table(target, kept)
        if blank(data[:whole], Forgotten(tombstones(home)))[0] == kept:
            break  # an erasure would need the lock, so the table is current
    del listed.planned[name]
    listed.segments[name] = Archived(target, whole, seal)
    write_list(home, listed)
    path.unlink()
    sync_path(path.parent)
    report.archived += 1
    report.bytes_before += len(data)
    report.bytes_after += seal.table_bytes


def _write_table(url: str, data: bytes) -> Seal:
    """Write a segment as a table and verify that reading it back gives equal bytes.

    Raises:
        JournalError: If the URL cannot be written, or the table differs when read back.
    """
    content = encode_table(data)
    if decode_table(url, content) != data:
        raise JournalError(
            f"{url} would not give back what was written",
            "the same bytes",
            "burnish doctor",
        )
    write_file(url, content)
    return seal_of(content, data)


def copy_back(url: str, home: Path) -> tuple[int, int]:
    """Copy all segments archived under a URL into the journal of another home.

    Returns:
        The number of segments written, and the number that could not be read.

    Raises:
        JournalError: If the package pyarrow is missing, or the URL cannot be listed.
    """
    _, _, fsspec = import_stack()
    written = broken = 0
    try:
        files, place = fsspec.url_to_fs(url)
        found = [path for path in sorted(files.find(place)) if path.endswith(".parquet")]
    except Exception as error:
        raise unreachable(url, error) from error
    for path in found:
        process, stem = PurePosixPath(path).parts[-2], PurePosixPath(path).stem
        name = f"{stem}.seg"
        source = files.unstrip_protocol(path)
        try:
            content = decode_table(source, read_file(source))
        except JournalError:
            content = None
        named = is_component(process) and not process.startswith(".")
        if content is None or not named or not layout.SEGMENT.fullmatch(name):
            broken += 1
            continue
        folder = make_private_folder(layout.journal_folder(home) / process)
        atomic_write(folder / name, content, durable=False)
        written += 1
    return written, broken


def _closed_segments(home: Path) -> Iterator[Path]:
    for folder in process_folders(home):
        paths = [path for path in segments(folder) if path.is_file()]
        yield from paths[:-1] if is_alive(folder) else paths


def _length_of_whole_frames(data: bytes) -> int | None:
    """Return the length of a segment's whole frames; None if it is damaged or has no frame."""
    end = 0
    for kind, _, following in frames.split(data):
        if kind == frames.DAMAGE:
            return None
        end = following
    return None if data and not end else end
