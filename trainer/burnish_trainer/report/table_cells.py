"""Define a table of a report, and write figures as its cells."""

from __future__ import annotations

from typing import Any, NamedTuple

Json = dict[str, Any]


class ReportTable(NamedTuple):
    """A titled table.

    Attributes:
        title: Its heading.
        columns: Headings of the columns.
        rows: Cells as text.
        note: A sentence below it; empty for none.
        missing: Why it has no rows; a table without rows and without a reason is not shown.
        anchors: Id of the part of the page that the first cell of each row leads to.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""
    missing: str = ""
    anchors: tuple[str, ...] = ()


def format_rate(rate: Json) -> str:
    """Write a share in percent with its interval, as far as it has one."""
    share = f"{100 * rate['rate']:.1f} %"
    return (
        f"{share} [{100 * rate['low']:.0f}, {100 * rate['high']:.0f}]" if "low" in rate else share
    )


def format_share(share: Json) -> str:
    """Write a counted share with its interval and its whole, or a dash."""
    return "-" if "missing" in share else f"{format_rate(share)} of {share['whole']}"


def format_gain(one: Json) -> str:
    """Write a gain with its interval, in percentage points."""
    low, high = one["ci95"]
    return f"{100 * one['gain']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def format_number(value: float | None, digits: int) -> str:
    """Write a number, or a dash."""
    return "-" if value is None else f"{value:,.{digits}f}"


def format_p(value: float | None) -> str:
    """Write a p-value, or a dash."""
    return "-" if value is None else f"{value:.2g}"


def make_row(title: str, cells: list[Json]) -> list[str]:
    """Return a row of shares; a share without data is a dash, or its reason where no side has data.

    Args:
        title: Name of the figure.
        cells: The share of each side.
    """
    if all("missing" in cell for cell in cells):
        reasons = dict.fromkeys(cell["missing"] for cell in cells)
        return [title, "; ".join(reasons), *["-"] * (len(cells) - 1)]
    return [title, *map(format_share, cells)]
