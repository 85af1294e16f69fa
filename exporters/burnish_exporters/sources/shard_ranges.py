"""Cut runs into shards of a fixed size, each with a name that changes when a fact about one of its runs is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from burnish.journal.index.trajectory_index import IndexEntry, Query
from burnish.records import Trajectory
from burnish.trajectories.run_reader import RunReader

SIZE = 256


class ShardRange(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of a workspace that form one shard.

    Attributes:
        name: Hash of the runs and of what is recorded about them.
        entries: The runs.
    """

    name: str
    entries: list[IndexEntry]


def cut_workspace(runs: RunReader, agent: str) -> list[ShardRange]:
    """Cut the runs of an agent, oldest first, into shards."""
    entries = runs.entries(Query(agent=agent))
    several = [entries[start : start + SIZE] for start in range(0, len(entries), SIZE)]
    return [ShardRange(name=runs.fingerprint(some), entries=some) for some in several]


def read_ranges(runs: RunReader, cuts: Sequence[ShardRange]) -> Iterator[tuple[str, Trajectory]]:
    """Yield the runs of shards, each with the name of its shard."""
    for cut in cuts:
        for trajectory in runs.read(cut.entries):
            yield cut.name, trajectory


def number_stream(runs: Iterable[Trajectory]) -> Iterator[tuple[str, Trajectory]]:
    """Cut a stream into shards that are named by their position."""
    for place, trajectory in enumerate(runs):
        yield str(place // SIZE), trajectory
