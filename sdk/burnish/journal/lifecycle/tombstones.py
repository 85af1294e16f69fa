"""Record that content was forgotten, without the content, and where erasure is still pending.

A tombstone is written before anything is erased and cleared part by part.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from burnish.files.storage import make_private_folder
from burnish.journal.documents import read_document, write_document
from burnish.journal.events import AnyEvent, OutcomeReported, SpanReceived


class Tombstone(msgspec.Struct, kw_only=True):
    """A record that content was forgotten, without the content."""

    id: str
    at: int
    kind: str  # thread or user
    digest: str  # of the thread or user
    trajectories: list[str]
    threads: list[str] = []  # digests of the threads whose outcomes go too
    frames: int = 0
    pending: list[str] = []  # segments with pending erasure
    archived: list[str] = []  # archived segments with pending erasure
    ranges: dict[str, list[tuple[int, int]]] = {}  # ranges that are being overwritten, by segment
    damage: dict[str, list[tuple[int, int]]] = {}  # damaged bytes that are overwritten with it
    drafts: bool = False  # unfinished dataset versions may hold forgotten content
    running: bool = False  # a run was active when it was forgotten, and may write more

    @property
    def waits(self) -> bool:
        """Return whether an erasure is still pending."""
        return bool(self.pending or self.archived or self.ranges or self.drafts)


def digest_of(name: str) -> str:
    """Hash a name for a tombstone."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def folder_of(home: Path) -> Path:
    """Return the folder of all tombstones."""
    return home / "tombstones"


def paths_of(home: Path) -> list[Path]:
    """Return the files of all tombstones, oldest first.

    The list includes those of which only the copy exists.
    """
    names = {path.name.removesuffix(".copy") for path in folder_of(home).glob("*.json*")}
    return [folder_of(home) / name for name in sorted(names) if name.endswith(".json")]


def tombstones(home: Path) -> list[Tombstone]:
    """Read all tombstones, oldest first; unreadable ones are left out."""
    found = (read_document(path, Tombstone).value for path in paths_of(home))
    return [stone for stone in found if stone is not None]


def save(home: Path, stone: Tombstone) -> None:
    """Write a tombstone, before anything is erased and again afterwards.

    Raises:
        OSError: If the disk does not accept it.
    """
    make_private_folder(folder_of(home))
    write_document(folder_of(home) / f"{stone.at}-{stone.id}.json", stone)


class Forgotten:
    """Decides whether an event was forgotten."""

    def __init__(self, stones: list[Tombstone]) -> None:
        self.trajectories = {key for stone in stones for key in stone.trajectories}
        self._threads: dict[str, int] = {}
        for stone in stones:
            for digest in stone.threads:
                self._threads[digest] = max(stone.at, self._threads.get(digest, 0))

    @property
    def is_empty(self) -> bool:
        """Return whether there are no tombstones."""
        return not (self.trajectories or self._threads)

    def holds(self, trajectory: str | None, thread_id: str | None, at: int) -> bool:
        """Return whether an event of this trajectory or thread was forgotten.

        A thread is forgotten up to a time, so `at` decides.
        """
        if trajectory is not None:
            return trajectory in self.trajectories
        if thread_id is None or not self._threads:
            return False
        return at <= self._threads.get(digest_of(thread_id), -1)

    def event(self, event: AnyEvent) -> bool:
        """Return whether this event was forgotten."""
        thread = event.thread_id if isinstance(event, OutcomeReported | SpanReceived) else None
        return self.holds(event.trajectory, thread, event.at)

    def unreadable(self, payload: bytes) -> bool:
        """Return whether an event that cannot be decoded names a forgotten trajectory."""
        return any(key.encode("utf-8", "replace") in payload for key in self.trajectories if key)
