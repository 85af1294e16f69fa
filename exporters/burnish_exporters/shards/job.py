"""Cut a workspace's runs into shards, and describe which of them a process builds.

Shards have a fixed size, and a name that changes when a fact about one of their runs is recorded. A `ShardJob` is sent
to worker processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from burnish.journal.index.trajectory_index import IndexEntry, Query
from burnish.records import Trajectory
from burnish.trajectories.run_reader import RunReader
from burnish_exporters.shards.cache import ShardCache
from burnish_exporters.shards.plan import Plan

SIZE = 256


class ShardRange(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of a workspace that form one shard.

    Attributes:
        name: Hash of the runs and of all facts about them.
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


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """Describe the shards to build from the workspace at `home` into the cache `store`."""

    plan: Plan
    home: Path
    store: ShardCache
    cuts: list[ShardRange]

    def read_runs(self) -> Iterator[tuple[str, Trajectory]]:
        """Yield the runs of all shards, each with the name of its shard."""
        return read_ranges(RunReader(self.home), self.cuts)
