"""The contract of `burnish.protocols.Format` as checks that anyone can run on their own format.

Knows: what every format promises. Does not know: any format, any consumer.

    case = FormatCase(format=mine, rows=list(version.rows()))

    @pytest.mark.parametrize("check", FORMAT_CHECKS, ids=lambda check: check.__name__)
    def test_format(check):
        check(case)

The rows must give the format something to render; one that contrasts successes with failures needs both.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Sequence

from burnish.errors import ExportError
from burnish.protocols import Format
from burnish.records import Json


@dataclasses.dataclass(frozen=True, kw_only=True)
class FormatCase:
    """A format with rows of a dataset version, as `DatasetVersion.rows()` gives them."""

    format: Format
    rows: Sequence[dict[str, Json]]

    def rendered(self) -> list[dict[str, Json]]:
        """The rows in the format; it gets a copy that can be read once."""
        return list(self.format.render(iter(copy.deepcopy(list(self.rows)))))


def it_is_a_format(case: FormatCase) -> None:
    """It has all calls of the protocol, a name and columns, no column twice."""
    _require(isinstance(case.format, Format), "a call of the protocol is missing")
    _require(bool(case.format.name), "it has no name")
    columns = list(case.format.columns)
    _require(bool(columns) and len(set(columns)) == len(columns), f"its columns are {columns}")


def it_renders_its_columns_and_no_others(case: FormatCase) -> None:
    """Rendered rows have no column that the format does not name, and something in each row."""
    rendered = case.rendered()
    _require(bool(rendered), "it renders nothing")
    for row in rendered:
        unknown = row.keys() - set(case.format.columns)
        _require(not unknown, f"columns that it does not name: {sorted(unknown)}")
        _require(any(row.values()), "a row with nothing in it")


def it_accepts_what_it_renders(case: FormatCase) -> None:
    """Its check lets every row pass that it made."""
    for row in case.rendered():
        case.format.check(row)


def it_refuses_what_is_no_row_of_its_own(case: FormatCase) -> None:
    """Its check raises ExportError for an empty row, and for a row whose columns are all None."""
    for row in ({}, dict.fromkeys(case.format.columns)):
        try:
            case.format.check(row)
        except ExportError:
            continue
        except Exception as error:
            raise AssertionError(f"it raises {type(error).__name__} on {row}") from error
        raise AssertionError(f"it lets {row} pass")


def it_renders_the_same_each_time(case: FormatCase) -> None:
    """The same rows give the same lines, however often it was used before."""
    _require(case.rendered() == case.rendered(), "two renderings differ")


def it_leaves_the_rows_as_they_are(case: FormatCase) -> None:
    """Rendering changes nothing in the rows that it was given."""
    given = copy.deepcopy(list(case.rows))
    for _ in case.format.render(given):
        pass
    _require(given == list(case.rows), "it changed a row")


def it_renders_plain_data(case: FormatCase) -> None:
    """What it renders is JSON: it comes back from text as it was."""
    rendered = case.rendered()
    _require(json.loads(json.dumps(rendered)) == rendered, "a value that JSON cannot hold")


def it_renders_nothing_of_nothing(case: FormatCase) -> None:
    """No rows give no lines, and no error."""
    _require(not list(case.format.render(iter(()))), "it renders rows that it was not given")


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
