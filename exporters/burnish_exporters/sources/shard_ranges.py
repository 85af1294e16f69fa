"""Runs in pieces of a fixed size, each with a name that changes when anything was recorded about one of its runs.

Knows: how a workspace and a stream are cut. Does not know: what is done with a piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from burnish.journal.index import Entry, Query
from burnish.records import Trajectory
from burnish.workspace import Workspace

SIZE = 256


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Some runs of a workspace.

    Attributes:
        name: Hash of the runs and of what is recorded about them.
        entries: The runs.
    """

    name: str
    entries: list[Entry]


def cuts_of(workspace: Workspace, agent: str) -> list[Cut]:
    """The runs of an agent, oldest first, in pieces."""
    entries = workspace.entries(Query(agent=agent))
    several = [entries[start : start + SIZE] for start in range(0, len(entries), SIZE)]
    return [Cut(name=workspace.fingerprint(some), entries=some) for some in several]


def runs_of(workspace: Workspace, cuts: Sequence[Cut]) -> Iterator[tuple[str, Trajectory]]:
    """The runs of pieces, each with the name of its piece."""
    for cut in cuts:
        for trajectory in workspace.read(cut.entries):
            yield cut.name, trajectory


def numbered(runs: Iterable[Trajectory]) -> Iterator[tuple[str, Trajectory]]:
    """A stream in pieces that are named by their place."""
    for place, trajectory in enumerate(runs):
        yield str(place // SIZE), trajectory
