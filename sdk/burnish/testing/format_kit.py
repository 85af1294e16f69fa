"""Check the contract of `burnish.protocols.Format` on any format.

    case = FormatCase(format=mine, rows=list(version.rows()))

    @pytest.mark.parametrize("check", FORMAT_CHECKS, ids=lambda check: check.__name__)
    def test_format(check):
        check(case)

The rows must give the format something to render; a contrastive format needs successes and failures.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import cast

from burnish.errors import ExportError
from burnish.protocols import Format
from burnish.records import Json


@dataclasses.dataclass(frozen=True, kw_only=True)
class FormatCase:
    """A format with rows of a dataset version, as `DatasetVersion.rows()` returns them."""

    format: Format
    rows: Sequence[dict[str, Json]]

    def render_rows(self) -> list[dict[str, Json]]:
        """Render the rows; the format gets a copy that can be read once."""
        return list(self.format.render(iter(copy.deepcopy(list(self.rows)))))


def it_is_a_format(case: FormatCase) -> None:
    """Check that it has all calls of the protocol, a name, and distinct columns."""
    _require(isinstance(cast("object", case.format), Format), "a call of the protocol is missing")
    _require(bool(case.format.name), "it has no name")
    columns = list(case.format.columns)
    _require(bool(columns) and len(set(columns)) == len(columns), f"its columns are {columns}")


def it_renders_its_columns_and_no_others(case: FormatCase) -> None:
    """Check that rendered rows have only declared columns, and no row is empty."""
    rendered = case.render_rows()
    _require(bool(rendered), "it renders nothing")
    for row in rendered:
        unknown = row.keys() - set(case.format.columns)
        _require(not unknown, f"undeclared columns: {sorted(unknown)}")
        _require(any(row.values()), "an empty row")


def it_accepts_what_it_renders(case: FormatCase) -> None:
    """Check that it accepts every row that it rendered."""
    for row in case.render_rows():
        case.format.check(row)


def it_refuses_what_is_no_row_of_its_own(case: FormatCase) -> None:
    """Check that it raises ExportError for an empty row and for a row of None values."""
    for row in ({}, dict.fromkeys(case.format.columns)):
        try:
            case.format.check(row)
        except ExportError:
            continue
        except Exception as error:
            raise AssertionError(f"it raises {type(error).__name__} on {row}") from error
        raise AssertionError(f"it accepts {row}")


def it_renders_the_same_each_time(case: FormatCase) -> None:
    """Check that the same rows give the same result each time."""
    _require(case.render_rows() == case.render_rows(), "two renderings differ")


def it_leaves_the_rows_as_they_are(case: FormatCase) -> None:
    """Check that rendering does not change the given rows."""
    given = copy.deepcopy(list(case.rows))
    for _ in case.format.render(given):
        pass
    _require(given == list(case.rows), "it changed a row")


def it_renders_plain_data(case: FormatCase) -> None:
    """Check that rendered rows survive a round trip through JSON."""
    rendered = case.render_rows()
    _require(json.loads(json.dumps(rendered)) == rendered, "a value that JSON cannot hold")


def it_renders_nothing_of_nothing(case: FormatCase) -> None:
    """Check that no rows give no result and no error."""
    _require(not list(case.format.render(iter(()))), "it renders rows from nothing")


FORMAT_CHECKS: tuple[Callable[[FormatCase], None], ...] = (
    it_is_a_format,
    it_renders_its_columns_and_no_others,
    it_accepts_what_it_renders,
    it_refuses_what_is_no_row_of_its_own,
    it_renders_the_same_each_time,
    it_leaves_the_rows_as_they_are,
    it_renders_plain_data,
    it_renders_nothing_of_nothing,
)
"""All checks of the contract."""


def _require(held: bool, otherwise: str) -> None:
    if not held:
        raise AssertionError(otherwise)
