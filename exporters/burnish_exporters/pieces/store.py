"""Finished pieces on disk, until the version that they belong to is published.

Knows: one file a piece, written at once or not at all. Does not know: what is in a piece.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from burnish.errors import ExportError
from burnish.storage import atomic_write, make_private_folder, try_lock
from burnish_exporters.dataset.publish import make_version_folder
from burnish_exporters.pieces.making import Piece

PREFIX = ".pieces-"
_DAYS = 7

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Piece)


class PieceStore:
    """The finished pieces of one build.

    Args:
        folder: Their folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @contextmanager
    def of(cls, home: Path, fingerprint: str) -> Iterator[PieceStore]:
        """The store of a plan in the folder of all versions, for one build at a time.

        A second build of the same plan gets a store of its own. What builds left a week ago is removed.
        """
        make_version_folder(home)
        oldest = time.time() - _DAYS * 86_400
        for folder in home.glob(f"{PREFIX}*"):
            with suppress(OSError):
                if folder.lstat().st_mtime < oldest:
                    shutil.rmtree(folder, ignore_errors=True)
        folder = home / f"{PREFIX}{fingerprint}"
        if not folder.is_dir():  # something else has its name, or nothing
            folder.unlink(missing_ok=True)
        make_private_folder(folder)
        with try_lock(folder / ".lock") as held:
            if not held:
                folder = folder.with_name(f"{folder.name}-{uuid.uuid4().hex}")
                make_private_folder(folder)
            yield cls(folder)

    def keep(self, piece: Piece) -> None:
        """Store a piece under its name.

        Raises:
            ExportError: If the folder is gone: somebody was forgotten meanwhile.
        """
        try:
            atomic_write(self.folder / piece.name, _ENCODER.encode(piece), durable=False)
        except FileNotFoundError as problem:
            raise ExportError(
                f"{self.folder} was removed while the build ran",
                "nobody to be forgotten meanwhile",
                "build again",
            ) from problem

    def find(self, name: str) -> Piece | None:
        """The piece of that name; None if it was not finished or cannot be read."""
        try:
            return _DECODER.decode((self.folder / name).read_bytes())
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def holds(self, name: str) -> bool:
        """Whether a piece of that name was finished."""
        return (self.folder / name).is_file()

    def clear(self) -> None:
        """Throw all pieces away."""
        shutil.rmtree(self.folder, ignore_errors=True)
