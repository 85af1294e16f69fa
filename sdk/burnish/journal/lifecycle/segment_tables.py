"""Convert a segment to a Parquet table on any fsspec URL, and back, byte for byte.

A table has one row per frame: `kind`, `at`, `event`, `trajectory` and `payload`. Frames restored
from it have their original offsets, so an index of the segment stays valid.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from burnish.errors import JournalCorrupt, JournalError
from burnish.files.parquet_files import read_parquet
from burnish.files.storage import atomic_write, make_private_folder, remove_drafts
from burnish.journal import frames
from burnish.journal.events import UNREADABLE, decode_brief

if TYPE_CHECKING:
    import pyarrow as pa


class Seal(msgspec.Struct, frozen=True):
    """Expected hashes of a table and of the segment in it.

    Attributes:
        table_sha256: Hash of the file.
        table_bytes: Its size.
        segment_sha256: Hash of the segment that it holds.
    """

    table_sha256: str
    table_bytes: int
    segment_sha256: str


def encode_table(data: bytes) -> bytes:
    """Encode the file of a segment's table.

    Raises:
        JournalError: If the package pyarrow is missing.
    """
    pa, parquet, _ = import_stack()
    buffer = pa.BufferOutputStream()
    parquet.write_table(_build_table(pa, data), buffer, compression="zstd")
    return buffer.getvalue().to_pybytes()


def seal_of(content: bytes, data: bytes) -> Seal:
    """Compute the seal of a table's file and of the segment in it."""
    return Seal(hash_of(content), len(content), hash_of(data))


def hash_of(data: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def write_file(url: str, content: bytes) -> None:
    """Write a file to a URL; on a local disk atomically, private and synced.

    Raises:
        JournalError: If it cannot be written.
    """
    _, _, fsspec = import_stack()
    try:
        local = local_path(url)
        if local is not None:
            make_private_folder(local.parent)
            remove_drafts(local.parent, f"{local.name}.")  # draft of a killed writer
            atomic_write(local, content)
            return
        with fsspec.open(url, "wb", auto_mkdir=True) as file:
            file.write(content)
    except Exception as error:
        raise unreachable(url, error) from error
    if read_file(url) != content:
        raise JournalError(
            f"{url} does not give back what was written",
            "the same bytes",
            "another place for the archive",
        )


def read_file(url: str) -> bytes:
    """Read the bytes of a URL.

    Raises:
        JournalError: If they cannot be read.
    """
    _, _, fsspec = import_stack()
    try:
        with fsspec.open(url, "rb") as file:
            return file.read()
    except Exception as error:
        raise unreachable(url, error) from error


def remove_file(url: str) -> None:
    """Remove the file of a URL; a missing file is accepted.

    Raises:
        JournalError: If the URL cannot be reached.
    """
    _, _, fsspec = import_stack()
    try:
        files, place = fsspec.url_to_fs(url)
        with contextlib.suppress(FileNotFoundError):
            files.rm_file(place)
        local = local_path(url)
        if local is not None:
            remove_drafts(local.parent, f"{local.name}.")
    except Exception as error:
        raise unreachable(url, error) from error


def local_path(url: str) -> Path | None:
    """Return the path of a URL on this machine's disk; None if it is remote."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return Path(url)
    return Path(rest) if scheme in ("file", "local") else None


def decode_table(url: str, content: bytes) -> bytes:
    """Decode the segment in a table's file.

    Raises:
        JournalCorrupt: If the file is not such a table.
    """
    pa, _, _ = import_stack()
    try:
        table = read_parquet(pa.BufferReader(content), ["kind", "payload"])
        columns = [table.column(name).to_pylist() for name in ("kind", "payload")]
        rows = list(zip(*columns, strict=True))
        head = b"".join(frames.frame(kind, payload) for kind, payload in rows[:2])
        seeds = frames.find_seeds(head)
        return b"".join(frames.frame(kind, payload, seeds) for kind, payload in rows)
    except (pa.ArrowException, ValueError, KeyError, TypeError, OSError) as error:
        raise JournalCorrupt(
            f"{url} is not a table of a segment: {error}",
            "the file as burnish archive wrote it",
            "put it back from a backup",
        ) from error


def import_stack() -> tuple[Any, Any, Any]:
    """Import pyarrow, pyarrow.parquet and fsspec.

    Raises:
        JournalError: If one of them is missing.
    """
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


def unreachable(url: str, error: Exception) -> JournalError:
    """Return the error for a URL that cannot be read or written."""
    return JournalError(
        f"{url} cannot be reached: {error}", "a URL that fsspec knows", "burnish doctor"
    )


def _build_table(pa: Any, data: bytes) -> pa.Table:
    rows: dict[str, list[Any]] = {
        name: [] for name in ("kind", "at", "event", "trajectory", "payload")
    }
    for kind, start, end in frames.split(data):
        payload = data[start + frames.PREFIX.size : end]
        at = event = trajectory = None
        if kind == frames.EVENT:
            with contextlib.suppress(*UNREADABLE):
                brief = decode_brief(payload)
                at, event = brief.at, brief.k.encode("utf-8", "backslashreplace").decode()
                trajectory = (brief.trajectory or "").encode("utf-8", "backslashreplace").decode()
        for name, value in zip(rows, (kind, at, event, trajectory, payload), strict=True):
            rows[name].append(value)
    kinds = {"kind": pa.uint8(), "at": pa.int64(), "event": pa.string()}
    kinds |= {"trajectory": pa.string(), "payload": pa.large_binary()}
    return pa.table(rows, schema=pa.schema(list(kinds.items())))
