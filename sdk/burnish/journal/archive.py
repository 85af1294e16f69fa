"""Closed segments as Parquet on any fsspec URL, and back, byte for byte.

Knows: the table of an archived segment, the list of what was archived, the local cache.
Does not know: which trajectories are in a segment (index).

A table has one row a frame: `kind`, `at`, `event`, `trajectory` and `payload`. Frames written from
it again stand at the offsets that they had, so the index stays right.
"""

from __future__ import annotations

import contextlib
import posixpath
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from burnish.errors import JournalError
from burnish.journal import frames, layout
from burnish.journal.erasure import Forgotten, erase
from burnish.journal.events import decode_brief
from burnish.journal.reader import is_alive, process_folders, segments
from burnish.journal.retention import Claims
from burnish.settings import Settings
from burnish.storage import atomic_write, make_private_folder

if TYPE_CHECKING:
    import pyarrow as pa

_CACHE_FILES = 32


class Archived(msgspec.Struct, frozen=True):
    """One archived segment."""

    url: str
    size: int  # bytes of its frames


class ArchiveReport(msgspec.Struct, kw_only=True):
    """What one archiving did."""

    archived: int = 0  # segments
    bytes_before: int = 0
    bytes_after: int = 0
    claimed: int = 0  # closed segments that an exporter still has to ship
    damaged: int = 0  # segments that stay in the journal because a frame of them is broken


def archive(home: Path, url: str, settings: Settings) -> ArchiveReport:
    """Move closed segments to `url`, except those that an exporter still has to ship.

    A segment leaves the journal once its table was read back and found equal.

    Raises:
        JournalError: If the package pyarrow is missing, or the URL cannot be written.
    """
    report = ArchiveReport()
    claims = Claims(home, settings, time.time_ns())
    listed = read_list(home)
    for path in _closed(home):
        name = f"{path.parent.name}/{path.name}"
        if claims.hold(path.parent.name, int(path.stem)):
            report.claimed += 1
            continue
        data = path.read_bytes()
        whole = _whole(data)
        if whole is None:
            report.damaged += 1
            continue
        target = posixpath.join(url, path.parent.name, f"{path.stem}.parquet")
        written = _write_table(target, data[:whole])
        listed[name] = Archived(target, whole)
        write_list(home, listed)
        path.unlink()
        report.archived += 1
        report.bytes_before += len(data)
        report.bytes_after += written
    return report


def fetch(home: Path, name: str) -> Path | None:
    """A local copy of an archived segment; None if it was never archived.

    Raises:
        JournalError: If the archive cannot be read.
    """
    entry = read_list(home).get(name)
    if entry is None:
        return None
    path = _cache(home) / name
    if not path.exists():
        content = _read_table(entry.url)
        make_private_folder(path.parent)
        atomic_write(path, content)
        _bound_cache(home, path)
    return path


def copy_back(url: str, home: Path) -> tuple[int, int]:
    """Write all segments that were archived under a URL into the journal of another home.

    Returns:
        How many were written, and how many could not be read.

    Raises:
        JournalError: If the package pyarrow is missing, or the URL cannot be listed.
    """
    _, _, fsspec = _stack()
    written = broken = 0
    try:
        files, place = fsspec.url_to_fs(url)
        found = [path for path in sorted(files.find(place)) if path.endswith(".parquet")]
    except (OSError, ValueError, ImportError) as error:
        raise _unreachable(url, error) from error
    for path in found:
        try:
            content = _read_table(files.unstrip_protocol(path))
        except (JournalError, OSError, ValueError, KeyError):
            broken += 1
            continue
        process, name = PurePosixPath(path).parts[-2:]
        folder = layout.journal_folder(home) / process
        make_private_folder(folder)
        atomic_write(folder / f"{PurePosixPath(name).stem}.seg", content)
        written += 1
    return written, broken


def erase_archive(home: Path, forgotten: Forgotten) -> int:
    """Blank what was forgotten in all archived segments; how many frames went."""
    count = 0
    for name, entry in read_list(home).items():
        path = fetch(home, name)
        if path is None:
            continue
        erased = erase(path, forgotten)
        if erased:
            _write_table(entry.url, path.read_bytes())
            count += erased
    return count


def read_list(home: Path) -> dict[str, Archived]:
    """All archived segments, by the names that they had in the journal."""
    try:
        content = (home / "archive.json").read_bytes()
    except FileNotFoundError:
        return {}
    return msgspec.json.decode(content, type=dict[str, Archived])


def write_list(home: Path, listed: dict[str, Archived]) -> None:
    """Replace the list of archived segments."""
    atomic_write(home / "archive.json", msgspec.json.encode(listed))


def _closed(home: Path) -> Iterator[Path]:
    for folder in process_folders(home):
        paths = segments(folder)
        yield from paths[:-1] if is_alive(folder) else paths


def _whole(data: bytes) -> int | None:
    """Length of the whole frames of a segment; None if there is damage between them."""
    end = 0
    for kind, _, following in frames.split(data):
        if kind == frames.DAMAGE:
            return None
        end = following
    return end


def _write_table(url: str, data: bytes) -> int:
    """Write a segment as a table and read it back; returns the size of the file."""
    pa, parquet, fsspec = _stack()
    buffer = pa.BufferOutputStream()
    parquet.write_table(_table(pa, data), buffer, compression="zstd")
    content = buffer.getvalue().to_pybytes()
    try:
        with fsspec.open(url, "wb", auto_mkdir=True) as file:
            file.write(content)
    except OSError as error:
        raise _unreachable(url, error) from error
    if _read_table(url) != data:
        raise JournalError(
            f"{url} does not give back what was written",
            "the same bytes",
            "another place for the archive",
        )
    return len(content)


def _table(pa: Any, data: bytes) -> pa.Table:
    rows: dict[str, list[Any]] = {
        name: [] for name in ("kind", "at", "event", "trajectory", "payload")
    }
    for kind, start, end in frames.split(data):
        payload = data[start + frames.PREFIX.size : end]
        at = event = trajectory = None
        if kind == frames.EVENT:
            with contextlib.suppress(msgspec.MsgspecError, ValueError):
                brief = decode_brief(payload)
                at, event = brief.at, brief.k
                trajectory = (brief.trajectory or "").encode("utf-8", "backslashreplace").decode()
        for name, value in zip(rows, (kind, at, event, trajectory, payload), strict=True):
            rows[name].append(value)
    kinds = {"kind": pa.uint8(), "at": pa.int64(), "event": pa.string()}
    kinds |= {"trajectory": pa.string(), "payload": pa.large_binary()}
    return pa.table(rows, schema=pa.schema(list(kinds.items())))


def _read_table(url: str) -> bytes:
    pa, parquet, fsspec = _stack()
    try:
        with fsspec.open(url, "rb") as file:
            content = file.read()
    except OSError as error:
        raise _unreachable(url, error) from error
    table = parquet.read_table(pa.BufferReader(content), columns=["kind", "payload"])
    columns = (table.column(name).to_pylist() for name in ("kind", "payload"))
    return b"".join(frames.frame(kind, payload) for kind, payload in zip(*columns, strict=True))


def _stack() -> tuple[Any, Any, Any]:
    try:
        import fsspec
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise JournalError(
            f"an archive needs the package {error.name}",
            "it to be installed",
            "pip install 'burnish[export]'",
        ) from error
    return pa, parquet, fsspec


def _unreachable(url: str, error: Exception) -> JournalError:
    return JournalError(
        f"{url} cannot be reached: {error}", "a URL that fsspec knows", "burnish doctor"
    )


def _cache(home: Path) -> Path:
    return home / "cache"


def _bound_cache(home: Path, newest: Path) -> None:
    """Keep only the copies that were used last."""
    files = sorted(_cache(home).glob("*/*.seg"), key=lambda path: path.stat().st_atime_ns)
    for path in files[:-_CACHE_FILES]:
        if path != newest:
            with contextlib.suppress(OSError):
                path.unlink()
