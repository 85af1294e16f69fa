"""Export rows of a version in a consumer's format, and count each row that is left out.

`Export` is the entry. The length of a row is that of its longest model call, by the token counts
that were captured with it. A row that is too long is refused whole, never cut: a conversation
without its beginning or its end teaches something else.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from burnish.errors import ExportError
from burnish.protocols import Format
from burnish.records import Json
from burnish_exporters.formats.writing import to_dataset, to_stream, write_lines, write_parquet

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

    from burnish_exporters.formats.templates.rendering import ChatTemplate

_log = logging.getLogger(__name__)

Rows = Callable[[], Iterable[dict[str, Any]]]


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of an export.

    Attributes:
        format: Name of the format.
        read: Rows of the version that were read.
        written: Rows of the format that were written; a format may make several of one row, or one
            of several.
        refused: Rows of the version that were left out, by reason.
        unmeasured: Rows of unknown length, where a longest length was set; they are written.
        facts: Figures of the format about its rows, such as the differences between the sides of
            pairs.
        warnings: Points to check before training on these rows.
    """

    format: str
    read: int
    written: int
    refused: dict[str, int]
    unmeasured: int = 0
    facts: dict[str, Json] = {}
    warnings: list[str] = []


class Export:
    """The rows of a version in a format; iterate, or take them as a dataset, a stream or a file.

    Args:
        format: The consumer's form.
        rows: Yields the rows of the version, from the first one at each call.
        max_tokens: Longest row in tokens; None takes all.
        template: Chat template of the model to train; rows that it does not render as served are
            left out.
    """

    def __init__(
        self,
        format: Format,  # noqa: A002
        rows: Rows,
        max_tokens: int | None = None,
        template: ChatTemplate | None = None,
    ) -> None:
        self.format, self.max_tokens, self.template = format, max_tokens, template
        self._rows = rows
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def __iter__(self) -> Iterator[dict[str, Json]]:
        """Yield rendered rows; a row that breaks the consumer's rules is left out and counted."""
        self._counts.clear()
        self._refused.clear()
        for row in self.format.render(self._short_enough()):
            try:
                self.format.check(row)
            except ExportError as problem:
                broken = problem.expected or problem.found
                self._refused[f"breaks the rules of {self.format.name}: {broken[:120]}"] += 1
                continue
            self._counts["written"] += 1
            yield row
        self._refused.update(getattr(self.format, "refused", {}))
        if self._refused:
            _log.warning("%s: rows left out: %s", self.format.name, dict(self._refused))

    def dataset(self) -> Dataset:
        """Return all rows as a `datasets.Dataset` in memory."""
        return to_dataset(self.format, self._readable())

    def stream(self) -> IterableDataset:
        """Return the rows as a `datasets.IterableDataset` that renders them again at each reading."""
        return to_stream(self.format, _Again(self._readable))

    def write(self, path: Path) -> Path:
        """Write the rows as JSON lines, or as Parquet if the name ends so; the file appears when it is complete.

        Raises:
            ExportError: If the format has no form for Parquet.
            VersionConflict: If the file exists.
        """
        if path.suffix == ".parquet":
            return write_parquet(self.format, self, path)
        return write_lines(self, path)

    def report(self) -> ExportReport:
        """Return the counts of the last complete reading."""
        tell: Callable[[], dict[str, Json]] | None = getattr(self.format, "facts", None)
        facts = tell() if tell else {}
        return ExportReport(
            format=self.format.name,
            read=self._counts["read"],
            written=self._counts["written"],
            refused=dict(sorted(self._refused.items())),
            unmeasured=self._counts["unmeasured"],
            facts=facts,
            warnings=[*(facts.get("warnings") or ()), *self._emptiness()],
        )

    def _emptiness(self) -> list[str]:
        """Warn if no row was written, so that an empty file has a reason."""
        if self._counts["written"]:
            return []
        if not self._counts["read"]:
            return ["no row was written: the split holds none"]
        reasons = ", ".join(f"{count} {reason}" for reason, count in self._refused.most_common(3))
        return [f"no row was written: {reasons or 'the format made none of those that were read'}"]

    def _readable(self) -> Iterator[dict[str, Json]]:
        """Yield the rows that `datasets` returns unchanged: it makes a text of a value with an integer of 2^64 or more."""
        for row in self:
            if _holds_large_integer(row):
                self._counts["written"] -= 1
                self._refused["an integer that datasets cannot read"] += 1
            else:
                yield row

    def _short_enough(self) -> Iterator[dict[str, Any]]:
        for row in self._rows():
            self._counts["read"] += 1
            length = None if self.max_tokens is None else row_tokens(row)
            if self.max_tokens is None or length is None:
                self._counts["unmeasured"] += self.max_tokens is not None
            elif length > self.max_tokens:
                self._refused[f"too long: over {self.max_tokens} tokens"] += 1
                continue
            reason = self._unlike_served(row)
            if reason:
                self._refused[reason] += 1
                continue
            yield row

    def _unlike_served(self, row: dict[str, Any]) -> str | None:
        if self.template is None:
            return None
        from burnish_exporters.formats.templates.template_check import problem_of

        return problem_of(row, self.template, self.format.name)


class _Again:
    """An iterable that starts from the beginning each time."""

    def __init__(self, make: Callable[[], Iterator[dict[str, Json]]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[dict[str, Json]]:
        return self._make()


def _holds_large_integer(value: Json) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_large_integer, value.values()))
    if isinstance(value, list):
        return any(map(_holds_large_integer, value))
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def row_tokens(row: dict[str, Any]) -> int | None:
    """Return the tokens of a row's longest call, prompt and reply, as counted at capture; None without counts."""
    known = [call["tokens"] for call in row["calls"] if call.get("tokens")]
    known += [
        len(call["prompt_token_ids"]) + len(call["token_ids"])
        for call in row["calls"]
        if call.get("token_ids")
    ]
    return max(known, default=None)
