"""Spans of more runs than fit into memory become trajectories all the same.

Knows: that spans of one trajectory must meet again, and that files can hold them until then.
Does not know: how a trajectory is put together (assembly).
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
    Parts,
    about_thread,
    assemble,
    ended_by_thread,
    finished,
    owner,
)

HELD = 100_000
_FILES = 64


def assemble_many(spans: Iterable[Span], held: int = HELD) -> Iterator[Trajectory]:
    """As assemble(), in bounded memory and, where there are many spans, in no particular order.

    Args:
        spans: Spans in any order.
        held: Beyond so many spans they are sorted into files by trajectory, and read back file by file.
    """
    source = iter(spans)
    first = list(itertools.islice(source, held + 1))
    if len(first) <= held:
        yield from assemble(first)
        return
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(_FILES)]
        threads: dict[str, list[Span]] = {}
        runs: dict[str, Parts] = {}
        for span in itertools.chain(_drained(first), source):
            key = owner(span)
            if key is None:
                about_thread(span, threads)
                continue
            pickle.dump(
                span, files[zlib.crc32(key.encode("utf-8", "surrogatepass")) % _FILES], protocol=5
            )
            if span.kind == "agent":
                runs.setdefault(key, Parts(key)).runs.append(_outline(span))
        ended = ended_by_thread(runs.values()) if threads else {}
        for file in files:
            yield from finished(_gathered(file), threads, ended)


def _drained(spans: list[Span]) -> Iterator[Span]:
    """The spans of a list, which lets go of each."""
    spans.reverse()
    while spans:
        yield spans.pop()


def _outline(span: Span) -> Span:
    """A run without its content: what tells which thread it belongs to and when it ended."""
    kept = {name: span.attributes.get(name) for name in (s.CONVERSATION, s.RESUMED)}
    return msgspec.structs.replace(span, attributes=kept)


def _gathered(file: IO[bytes]) -> dict[str, Parts]:
    file.seek(0)
    found: dict[str, Parts] = {}
    while True:
        try:
            span: Span = pickle.load(file)  # noqa: S301 - written above
        except EOFError:
            return found
        key = owner(span) or span.trace_id
        if key not in found:
            found[key] = Parts(key)
        found[key].add(span)
