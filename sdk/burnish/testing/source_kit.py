"""Check the contract of `burnish.protocols.SpanSource` on any source.

case = SourceCase(source=mine, trajectories=3, damage=lambda: file.write_bytes(b"noise"))

@pytest.mark.parametrize("check", SOURCE_CHECKS, ids=lambda check: check.__name__)
def test_source(check):
check(case)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import cast

from burnish.protocols import SpanSource
from burnish.records import Span
from burnish.trajectories import assemble

_HEX = frozenset("0123456789abcdef")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceCase:
    """A source with known contents.

    Attributes:
        source: The source.
        trajectories: Number of runs in it; each has a model call with a reply.
        damage: Damages a part of what the source reads; None if that is impossible.
    """

    source: SpanSource
    trajectories: int
    damage: Callable[[], object] | None = None

    def spans(self, since_ns: int | None = None) -> list[Span]:
        """Read all spans of the source."""
        return list(self.source.spans(since_ns))


def it_is_a_source(case: SourceCase) -> None:
    """Check that it has the call of the protocol and yields spans with valid ids."""
    _require(isinstance(cast("object", case.source), SpanSource), "spans() is missing")
    found = case.spans()
    _require(bool(found), "it yields nothing")
    for span in found:
        _require(isinstance(cast("object", span), Span), f"{type(span).__name__} is not a Span")
        for name, length in (("trace_id", 32), ("span_id", 16)):
            value = getattr(span, name)
            _require(len(value) == length and set(value) <= _HEX, f"{name} is {value!r}")


def it_can_be_read_again(case: SourceCase) -> None:
    """Check that a second reading yields the same spans."""
    _require(
        _sorted_ids(case.spans()) == _sorted_ids(case.spans()),
        "a second reading yields other spans",
    )


def its_spans_make_whole_runs(case: SourceCase) -> None:
    """Check that its spans assemble to its runs, each with its reply."""
    found = list(assemble(case.source.spans()))
    _require(len(found) == case.trajectories, f"{len(found)} runs, not {case.trajectories}")
    for run in found:
        _require(any(call.reply for call in run.model_calls), f"run {run.id} has no reply")


def it_leaves_out_what_is_older(case: SourceCase) -> None:
    """Check that `since_ns` limits the spans to those that start at or after it."""
    found = case.spans()
    starts = sorted({span.start_ns for span in found})
    middle = starts[len(starts) // 2]
    later = case.spans(middle)
    _require(all(span.start_ns >= middle for span in later), "a span is older than since_ns")
    _require(
        set(_sorted_ids(later)) <= set(_sorted_ids(found)),
        "a span that a full reading does not yield",
    )
    _require(not case.spans(starts[-1] + 1), "spans after the last one")
    _require(_sorted_ids(case.spans(0)) == _sorted_ids(found), "since_ns=0 misses a span")


def it_skips_what_is_damaged(case: SourceCase) -> None:
    """Check that it skips a damaged item and yields no new spans; run it last."""
    before = set(_sorted_ids(case.spans()))
    if case.damage is not None:
        case.damage()
    _require(set(_sorted_ids(case.spans())) <= before, "damage made new spans")


SOURCE_CHECKS: Sequence[Callable[[SourceCase], None]] = (
    it_is_a_source,
    it_can_be_read_again,
    its_spans_make_whole_runs,
    it_leaves_out_what_is_older,
    it_skips_what_is_damaged,
)


def _sorted_ids(spans: Sequence[Span]) -> list[tuple[str, str]]:
    return sorted((span.trace_id, span.span_id) for span in spans)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)
