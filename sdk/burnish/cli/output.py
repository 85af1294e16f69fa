"""Print results of commands: tables for people, JSON for programs, errors for both."""

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
    """Print rows as a table, or one line if there are none.

    Cells are printed literally, brackets included; a rich `Text` keeps its style.

    Args:
        title: Heading of the table.
        columns: Headings of the columns.
        rows: The cells, row by row.
        whole: Number of first columns that are never wrapped.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(Text(column), overflow="fold", no_wrap=number < whole)
    for row in rows:
        table.add_row(*(_make_cell(cell) for cell in row))
    console = Console()
    console.print(table if table.row_count else Text(f"{title}: none"))


def print_wide_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as a table, or row by row as blocks where the terminal is too narrow for whole words in columns.

    Args:
        title: Heading of the table.
        columns: Headings of the columns.
        rows: The cells, row by row.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    cells = [[_make_cell(cell) for cell in row] for row in rows]
    heads = [Text(column) for column in columns]
    console = Console()
    widths = _share_width(list(zip(heads, *cells, strict=True)), console.width)
    if widths is None:
        console.print(Text(title, style="bold"))
        for row in cells:
            console.print(Padding(row[0], (0, 0, 0, 2)))
            for head, cell in zip(heads[1:], row[1:], strict=True):
                if cell.plain not in ("", "-"):
                    console.print(Padding(Text.assemble(head, ": ", cell), (0, 0, 0, 4)))
        return
    table = Table(title=Text(title), title_justify="left")
    for head, width in zip(heads, widths, strict=True):
        table.add_column(head, width=width)
    for row in cells:
        table.add_row(*row)
    console.print(table)


def _share_width(columns: Sequence[Sequence[Text]], width: int) -> list[int] | None:
    """Return a width for each column that holds its words whole; None if the columns do not fit.

    Args:
        columns: Heading and cells of each column.
        width: Width of the terminal.
    """
    from rich.cells import cell_len

    lines = [[line.cell_len for cell in one for line in cell.split()] for one in columns]
    whole = [max(several, default=1) for several in lines]
    least = [
        max((cell_len(word) for cell in one for word in cell.plain.split()), default=1)
        for one in columns
    ]
    room = width - 3 * len(columns) - 1
    if sum(least) > room:
        return None
    free, wanted = room - sum(least), sum(whole) - sum(least)
    if wanted <= free:
        return whole
    return [low + (high - low) * free // wanted for low, high in zip(least, whole, strict=True)]


def report_error(error: BurnishError) -> None:
    """Print an error of our tree on standard error: found, expected, next command."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]error[/]: {_escape_markup(error.found)}", soft_wrap=True)
    if error.expected:
        console.print(f"  expected: {_escape_markup(error.expected)}", soft_wrap=True)
    if error.fix:
        console.print(f"  try: [bold]{_escape_markup(error.fix)}[/]", soft_wrap=True)


def report_interrupt() -> None:
    """Print on standard error that a command was interrupted and can be continued."""
    print("interrupted; the same command continues", file=sys.stderr)  # noqa: T201


def format_time(time_ns: int | None) -> str:
    """Format a time in UTC to the second, or a dash."""
    if not time_ns:
        return "-"
    moment = dt.datetime.fromtimestamp(time_ns / 1e9, tz=dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def parse_moment(text: str, option: str) -> int:
    """Parse the time of an option, in nanoseconds since the epoch.

    Args:
        text: A time before now ("90m", "6h", "2d"), or a date or time in ISO 8601; a time without
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


def shorten_text(text: str | None, width: int = 60) -> str:
    """Put a text on one line and cut it to a width in characters."""
    line = " ".join((text or "").split())
    return line if len(line) <= width else line[: width - 1] + "…"


def make_visible(text: str) -> str:
    """Replace the characters that steer a terminal, hide or reorder letters, or that no file holds.

    Args:
        text: A name or message that may hold the words of a model or of a file.
    """
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def _make_cell(value: object) -> Text:
    """Make the cell of a value; it is never parsed as markup, because it may be model output."""
    from rich.text import Text

    shown = "" if value is None else make_visible(str(value))
    return value if isinstance(value, Text) else Text(shown)


def _escape_markup(text: str) -> str:
    from rich.markup import escape

    return escape(make_visible(text))
