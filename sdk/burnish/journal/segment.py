"""Append events and their contents to an open segment, all of them or none.

`Segment.append` writes each content once, before the first event that names it, with one write per
append. `writer` decides when a segment is full and when the disk is synced.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from burnish.files.storage import open_private
from burnish.journal import frames
from burnish.journal.content_sharing import Spliced
from burnish.journal.events import Ref
from burnish.journal.frames import EVENT, SegmentHeader, add_blob, crc32, pack_prefix
from burnish.journal.gil_write import SMALL, write_all, write_small

_LONGEST_NS = 3600 * 10**9  # an idle process also closes its old segments


class Segment:
    """An open segment file, its valid size, and the contents that it holds.

    Attributes:
        size: Number of valid bytes; a failed write leaves no bytes after them.
        empty: Whether it holds no event yet.
        known: Names of the contents that it holds.
        expires_ns: Time after which no more events are appended, in nanoseconds since the epoch.
    """

    __slots__ = ("empty", "expires_ns", "fd", "known", "number", "path", "seeds", "size")

    def __init__(self, path: Path, header: SegmentHeader) -> None:
        """Create the file and write its header.

        Raises:
            OSError: If the disk has no room; the file is then removed.
        """
        self.path, self.number = path, header.segment
        self.seeds = frames.make_seeds(header.salt)
        self.fd = open_private(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY)
        self.size = 0
        self.empty = True
        self.known: set[Ref] = set()
        self.expires_ns = time.time_ns() + _LONGEST_NS
        try:
            self.write(frames.encode_header(header))
        except OSError:
            os.close(self.fd)
            with contextlib.suppress(OSError):
                path.unlink()
            raise

    def seal(self) -> None:
        """Write the closing frame, after which the segment does not change.

        Raises:
            OSError: As `append`; a segment without a seal can be read too.
        """
        counts = msgspec.msgpack.encode({"blobs": len(self.known)})
        self.write(frames.frame(frames.SEAL, counts, self.seeds))

    def append(
        self, payloads: Iterable[bytes], blobs: Mapping[Ref, bytes] | tuple[()] = ()
    ) -> None:
        """Write events, and before them the contents that the segment does not hold yet.

        Raises:
            OSError: If the file does not accept all of it; then it holds nothing of it.
        """
        data: list[bytes] = []
        if blobs and not blobs.keys() <= self.known:
            fresh = self._add_contents(data, blobs)
        else:
            fresh = None
        seed = self.seeds[EVENT]
        for payload in payloads:
            data += (pack_prefix(len(payload), crc32(payload, seed), EVENT), payload)
        self.write(b"".join(data))
        if fresh is not None:
            self.known |= fresh
        self.empty = False

    def write(self, data: bytes) -> None:
        """Write encoded frames.

        Raises:
            OSError: As `append`.
        """
        size = len(data)
        try:
            written = write_small(self.fd, data, size) if size <= SMALL else 0
            if written != size:
                write_all(self.fd, data, written)
            self.size += size
        except BaseException:  # also on KeyboardInterrupt: no bytes may follow `size`
            os.ftruncate(self.fd, self.size)
            raise

    def _add_contents(self, data: list[bytes], blobs: Mapping[Ref, bytes]) -> set[Ref]:
        """Add the frames of contents that are new to the segment; return their names."""
        known, seeds = self.known, self.seeds
        fresh: set[Ref] = set()
        for ref, blob in blobs.items():
            if ref in known or ref in fresh:
                continue
            fresh.add(ref)
            if type(blob) is bytes:
                add_blob(data, ref, blob, seeds)
            else:
                self._add_shared(data, ref, blob, fresh)
        return fresh

    def _add_shared(self, data: list[bytes], ref: Ref, blob: bytes, fresh: set[Ref]) -> None:
        """Add a spliced content, and its inner text if neither the file nor `fresh` has it."""
        if not isinstance(blob, Spliced):
            data.append(frames.frame(frames.LINK, ref + blob, self.seeds))
            return
        if blob.inner not in self.known and blob.inner not in fresh:
            fresh.add(blob.inner)
            add_blob(data, blob.inner, blob.text, self.seeds)
        data.append(frames.frame(frames.SPLICED, ref + blob.stored, self.seeds))
