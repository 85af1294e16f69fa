"""Finished pieces on disk, until the version that they belong to is published.

Knows: one file a piece, written at once or not at all. Does not know: what is in a piece.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import msgspec

from burnish_exporters.pieces.making import Piece

PREFIX = ".pieces-"
_DAYS = 7

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Piece)


class PieceStore:
    """The finished pieces of one build.

    Args:
        folder: Their folder; it is made when the first piece is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, home: Path, fingerprint: str) -> PieceStore:
        """The store of a plan in the folder of all versions; what builds left there a week ago is removed."""
        oldest = time.time() - _DAYS * 86_400
        for folder in home.glob(f"{PREFIX}*"):
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
        return cls(home / f"{PREFIX}{fingerprint}")

    def keep(self, piece: Piece) -> None:
        """Store a piece under its name."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.folder / f".{piece.name}.{os.getpid()}"
        draft.write_bytes(_ENCODER.encode(piece))
        draft.rename(self.folder / piece.name)

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
