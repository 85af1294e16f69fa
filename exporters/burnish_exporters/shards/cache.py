"""Cache finished shards on disk until their version is published, one file each."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from burnish.errors import ExportError
from burnish.files.storage import BROKEN_JSON, atomic_write, make_private_folder, try_lock
from burnish_exporters.dataset.version_folder import make_version_folder
from burnish_exporters.shards.shard import Shard

PREFIX = ".pieces-"
_KEEP_DAYS = 7

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Shard)


class ShardCache:
    """The finished shards of one build.

    Args:
        folder: Folder of the shards.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @contextmanager
    def open_for(cls, home: Path, fingerprint: str) -> Generator[ShardCache]:
        """Open the cache of a plan in the folder of all versions, for one build at a time.

        A second build of the same plan gets a separate cache. Caches older than a week are removed.
        """
        make_version_folder(home)
        oldest = time.time() - _KEEP_DAYS * 86_400
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

    def write_shard(self, shard: Shard) -> None:
        """Store a shard under its name.

        Raises:
            ExportError: If the folder is gone because a run was forgotten meanwhile.
        """
        try:
            atomic_write(self.folder / shard.name, _ENCODER.encode(shard), durable=False)
        except FileNotFoundError as problem:
            raise ExportError(
                f"{self.folder} was removed while the build ran",
                "no `burnish forget` during a build",
                "build again",
            ) from problem

    def read_shard(self, name: str) -> Shard | None:
        """Return the shard of that name; None if it was not finished or cannot be read."""
        try:
            return _DECODER.decode((self.folder / name).read_bytes())
        except (FileNotFoundError, *BROKEN_JSON):
            return None

    def has_shard(self, name: str) -> bool:
        """Report if a shard of that name was finished."""
        return (self.folder / name).is_file()

    def clear(self) -> None:
        """Remove all shards."""
        shutil.rmtree(self.folder, ignore_errors=True)
