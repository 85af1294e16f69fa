"""What a command prints: tables for people, JSON for programs, errors for both.

Knows: how things look on a terminal. Does not know: where the values come from.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from burnish.errors import BurnishError
from burnish.journal.events import canonical, from_json

if TYPE_CHECKING:
    from rich.text import Text

INTERRUPTED = 130  # exit code
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def print_json(value: Any) -> None:
    """Print records or plain data as one JSON document on standard output."""
    exact = from_json(canonical(msgspec.to_builtins(value)))
    print(json.dumps(exact, indent=2))  # noqa: T201


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, whole: int = 1
) -> None:
    """Print rows as a table; one line says so where there are none.

    Cells are shown as they are, brackets included; a cell that is a rich `Text` keeps its style.

    Args:
        title: Heading of the table.
        columns: Headings of the columns.
        rows: The cells, row by row.
        whole: How many of the first columns are never broken over lines.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(Text(column), overflow="fold", no_wrap=number < whole)
    for row in rows:
        table.add_row(*(_cell(cell) for cell in row))
    console = Console()
    console.print(table if table.row_count else Text(f"{title}: none"))


def report_error(error: BurnishError) -> None:
    """Print an error of our tree on standard error: found, expected, next command."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]error[/]: {_plain(error.found)}", soft_wrap=True)
    if error.expected:
        console.print(f"  expected: {_plain(error.expected)}", soft_wrap=True)
    if error.fix:
        console.print(f"  try: [bold]{_plain(error.fix)}[/]", soft_wrap=True)


def report_interrupt() -> None:
    """Say on standard error that a command was interrupted, and that nothing is lost by it."""
    print("interrupted; the same command goes on", file=sys.stderr)  # noqa: T201


def when(time_ns: int | None) -> str:
    """A time in UTC to the second, or a dash."""
    if not time_ns:
        return "-"
    moment = dt.datetime.fromtimestamp(time_ns / 1e9, tz=dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def moment_of(text: str, option: str) -> int:
    """Return the moment that an option names, in nanoseconds since the epoch.

    Args:
        text: How long ago ("90m", "6h", "2d"), or a date or time as in ISO 8601; a time without
            a zone is local.
        option: Name of the option, for the error.

    Raises:
        SettingsError: If the text is neither.
    """
    from burnish.errors import SettingsError

    ago = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([mhd])", text.strip())
    try:
        if ago is not None:
            moment = dt.datetime.now(dt.UTC) - dt.timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        else:
            moment = dt.datetime.fromisoformat(text.strip())
        return int(moment.timestamp() * 1e9)
    except (ValueError, OverflowError) as problem:
        raise SettingsError(
            f"{option} is {text!r}",
            "a number and m, h or d, or a date such as 2026-11-28",
            f"{option} 6h",
        ) from problem


def shorten(text: str | None, width: int = 60) -> str:
    """Text on one line, cut to a width in characters."""
    line = " ".join((text or "").split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _cell(value: object) -> Text:
    """What is shown of a value: never read as markup, for it may be what a model said."""
    from rich.text import Text

    return value if isinstance(value, Text) else Text("" if value is None else str(value))


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
