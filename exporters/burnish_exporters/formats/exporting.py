"""One export: rows of a version in a consumer's format, with an account of each row that is left out.

Knows: which rows are too long for a consumer, and what is counted. Does not know: any format; Arrow (writing.py).

A row is as long as its longest model call, by the counts that were captured with it. It is refused whole, never cut:
a conversation without its beginning or its end teaches something else.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from burnish.protocols import Format
from burnish.records import Json
from burnish_exporters.formats.writing import to_dataset, to_stream, write_lines

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

_log = logging.getLogger(__name__)

Rows = Callable[[], Iterable[dict[str, Any]]]


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows of an export.

    Attributes:
        format: Name of the format.
        read: Rows of the version that were looked at.
        written: Rows of the format that came of them; a format may make several of one, or one of several.
        refused: Rows of the version that were left out, by reason.
        unmeasured: Rows whose length nobody counted, where a longest length was asked for; they are written.
        facts: What the format tells of its rows, such as what distinguishes the sides of pairs.
        warnings: What should be looked at before these rows are trained on.
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
        rows: Gives the rows of the version, from the first one at each call.
        max_tokens: Longest row in tokens; None takes all.
    """

    def __init__(self, format: Format, rows: Rows, max_tokens: int | None = None) -> None:  # noqa: A002
        self.format, self.max_tokens = format, max_tokens
        self._rows = rows
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def __iter__(self) -> Iterator[dict[str, Json]]:
        """Yield rendered rows, each checked by the consumer's rules.

        Raises:
            ExportError: If a row breaks them.
        """
        self._counts.clear()
        self._refused.clear()
        for row in self.format.render(self._short_enough()):
            self.format.check(row)
            self._counts["written"] += 1
            yield row
        self._refused.update(getattr(self.format, "refused", {}))
        if self._refused:
            _log.warning("%s: rows left out: %s", self.format.name, dict(self._refused))

    def dataset(self) -> Dataset:
        """All rows as a `datasets.Dataset` in memory."""
        return to_dataset(self.format, self)

    def stream(self) -> IterableDataset:
        """The rows as a `datasets.IterableDataset`, made while they are read, each time anew."""
        return to_stream(self.format, self)

    def write(self, path: Path) -> Path:
        """Write the rows as JSON lines; the file appears when it is whole.

        Raises:
            VersionConflict: If the file exists.
        """
        return write_lines(self, path)

    def report(self) -> ExportReport:
        """The account of the last time that the rows were read to their end."""
        tell: Callable[[], dict[str, Json]] | None = getattr(self.format, "facts", None)
        facts = tell() if tell else {}
        return ExportReport(
            format=self.format.name,
            read=self._counts["read"],
            written=self._counts["written"],
            refused=dict(sorted(self._refused.items())),
            unmeasured=self._counts["unmeasured"],
            facts=facts,
            warnings=list(facts.get("warnings") or ()),
        )

    def _short_enough(self) -> Iterator[dict[str, Any]]:
        for row in self._rows():
            self._counts["read"] += 1
            length = None if self.max_tokens is None else row_tokens(row)
            if self.max_tokens is None or length is None:
                self._counts["unmeasured"] += self.max_tokens is not None
            elif length > self.max_tokens:
                self._refused[f"too long: over {self.max_tokens} tokens"] += 1
                continue
            yield row


def row_tokens(row: dict[str, Any]) -> int | None:
    """Tokens of a row's longest call, prompt and reply, as they were counted; None where nobody counted."""
    known = [call["tokens"] for call in row["calls"] if call.get("tokens")]
    known += [
        len(call["prompt_token_ids"]) + len(call["token_ids"])
        for call in row["calls"]
        if call.get("token_ids")
    ]
    return max(known, default=None)
