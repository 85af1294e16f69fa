"""The contract of `burnish.protocols.SpanSource` as checks that anyone can run on their own source.

Knows: what every source of spans promises. Does not know: any source.

    case = SourceCase(source=mine, trajectories=3, damage=lambda: file.write_bytes(b"noise"))

    @pytest.mark.parametrize("check", SOURCE_CHECKS, ids=lambda check: check.__name__)
    def test_source(check):
        check(case)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from burnish.protocols import SpanSource
from burnish.records import Span
from burnish.trajectories import assemble

_HEX = frozenset("0123456789abcdef")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceCase:
    """A source with what it is known to hold.

    Attributes:
        source: The source.
        trajectories: How many runs it holds; each has a model call with a reply.
        damage: Spoils something that the source reads, but not all of it; None where that cannot be done.
    """

    source: SpanSource
    trajectories: int
    damage: Callable[[], object] | None = None

    def spans(self, since_ns: int | None = None) -> list[Span]:
        """Everything that the source gives."""
        return list(self.source.spans(since_ns))


def it_is_a_source(case: SourceCase) -> None:
    """It has the call of the protocol and gives spans with ids of the right form."""
    _require(isinstance(case.source, SpanSource), "spans() is missing")
    found = case.spans()
    _require(bool(found), "it gives nothing")
    for span in found:
        _require(isinstance(span, Span), f"{type(span).__name__} is no Span")
        for name, length in (("trace_id", 32), ("span_id", 16)):
            value = getattr(span, name)
            _require(len(value) == length and set(value) <= _HEX, f"{name} is {value!r}")


def it_can_be_read_again(case: SourceCase) -> None:
    """A second reading gives the same spans."""
    _require(_ids(case.spans()) == _ids(case.spans()), "a second reading gives other spans")


def its_spans_make_whole_runs(case: SourceCase) -> None:
    """The runs that it holds are put together from its spans, each with its reply."""
    found = list(assemble(case.source.spans()))
    _require(len(found) == case.trajectories, f"{len(found)} runs, not {case.trajectories}")
    for run in found:
        _require(any(call.reply for call in run.model_calls), f"run {run.id} has no reply")


def it_leaves_out_what_is_older(case: SourceCase) -> None:
    """With a moment given, it gives spans from then on, and none but those that it has."""
    found = case.spans()
    starts = sorted({span.start_ns for span in found})
    middle = starts[len(starts) // 2]
    later = case.spans(middle)
    _require(all(span.start_ns >= middle for span in later), "a span is older than asked for")
    _require(set(_ids(later)) <= set(_ids(found)), "a span that it does not have otherwise")
    _require(not case.spans(starts[-1] + 1), "spans from after the last one")
    _require(_ids(case.spans(0)) == _ids(found), "a span is left out from the beginning of time")


def it_skips_what_is_damaged(case: SourceCase) -> None:
    """It does not raise for a damaged item, and gives nothing that was not there; run it last."""
    before = set(_ids(case.spans()))
    if case.damage is not None:
        case.damage()
    _require(set(_ids(case.spans())) <= before, "damage made new spans")


SOURCE_CHECKS: Sequence[Callable[[SourceCase], None]] = (
    it_is_a_source,
    it_can_be_read_again,
    its_spans_make_whole_runs,
    it_leaves_out_what_is_older,
    it_skips_what_is_damaged,
)


def _ids(spans: Sequence[Span]) -> list[tuple[str, str]]:
    return sorted((span.trace_id, span.span_id) for span in spans)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)
