"""What a command prints: tables for people, JSON for programs, errors for both.

Knows: how things look on a terminal. Does not know: where the values come from.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from burnish.errors import BurnishError
from burnish.journal.events import canonical, from_json


def print_json(value: Any) -> None:
    """Print records or plain data as one JSON document on standard output."""
    exact = from_json(canonical(msgspec.to_builtins(value)))
    print(json.dumps(exact, indent=2))  # noqa: T201


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as a table; one line says so where there are none."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
        count += 1
    console = Console()
    if count:
        console.print(table)
    else:
        console.print(f"{title}: none")


def report_error(error: BurnishError) -> None:
    """Print an error of our tree on standard error: found, expected, next command."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]error[/]: {_plain(error.found)}", soft_wrap=True)
    if error.expected:
        console.print(f"  expected: {_plain(error.expected)}", soft_wrap=True)
    if error.fix:
        console.print(f"  try: [bold]{_plain(error.fix)}[/]", soft_wrap=True)


def when(time_ns: int | None) -> str:
    """A time in UTC to the second, or a dash."""
    if not time_ns:
        return "-"
    moment = dt.datetime.fromtimestamp(time_ns / 1e9, tz=dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def shorten(text: str | None, width: int = 60) -> str:
    """Text on one line, cut to a width in characters."""
    line = " ".join((text or "").split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
