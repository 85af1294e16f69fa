"""Assemble more spans than fit into memory: sort them into temporary files by trajectory.

`assemble_many` is the entry.
"""

from __future__ import annotations

import itertools
import pickle
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import IO

import msgspec

from burnish.records import Span, Trajectory
from burnish.telemetry import semconv as s
from burnish.trajectories.assembly import (
    TrajectoryParts,
    assemble,
    find_trajectory_id,
    finish_trajectories,
    group_ends_by_thread,
    keep_thread_fact,
)

HELD = 100_000
_FILES = 64


def assemble_many(spans: Iterable[Span], held: int = HELD) -> Iterator[Trajectory]:
    """Assemble trajectories in bounded memory; many spans come back in no particular order.

    Args:
        spans: Spans in any order.
        held: Number of spans kept in memory; more are sorted into files and read back file by file.
    """
    source = iter(spans)
    first = list(itertools.islice(source, held + 1))
    if len(first) <= held:
        yield from assemble(first)
        return
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(_FILES)]
        threads: dict[str, list[Span]] = {}
        runs: dict[str, TrajectoryParts] = {}
        for span in itertools.chain(_drain_list(first), source):
            key = find_trajectory_id(span)
            if key is None:
                keep_thread_fact(span, threads)
                continue
            pickle.dump(
                span, files[zlib.crc32(key.encode("utf-8", "surrogatepass")) % _FILES], protocol=5
            )
            if span.kind == "agent":
                runs.setdefault(key, TrajectoryParts(key)).runs.append(_outline_run(span))
        ended = group_ends_by_thread(runs.values()) if threads else {}
        for file in files:
            yield from finish_trajectories(_read_parts(file), threads, ended)


def _drain_list(spans: list[Span]) -> Iterator[Span]:
    """Yield the spans of a list and remove each, to free its memory."""
    spans.reverse()
    while spans:
        yield spans.pop()


def _outline_run(span: Span) -> Span:
    """Return a run without content: its thread, its times and whether it resumed."""
    kept = {name: span.attributes.get(name) for name in (s.CONVERSATION, s.RESUMED)}
    return msgspec.structs.replace(span, attributes=kept)


def _read_parts(file: IO[bytes]) -> dict[str, TrajectoryParts]:
    file.seek(0)
    found: dict[str, TrajectoryParts] = {}
    while True:
        try:
            span: Span = pickle.load(file)  # noqa: S301 - written above
        except EOFError:
            return found
        key = find_trajectory_id(span) or span.trace_id
        if key not in found:
            found[key] = TrajectoryParts(key)
        found[key].add(span)
