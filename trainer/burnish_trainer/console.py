"""Print progress on the terminal: lines, tables and progress bars on standard error.

Bars are drawn only if standard error is a terminal; lines are always printed. `BURNISH_QUIET=1` or `silenced()` turn
everything off.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator
from contextvars import ContextVar
from functools import cache
from typing import Any

_quiet: ContextVar[bool] = ContextVar("burnish_quiet", default=False)


@cache
def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def is_quiet() -> bool:
    """Report if output is turned off."""
    return _quiet.get() or os.environ.get("BURNISH_QUIET", "") not in ("", "0")


@contextlib.contextmanager
def silenced(quiet: bool = True) -> Generator[None]:
    """Turn output off inside the block, if `quiet`."""
    token = _quiet.set(quiet or _quiet.get())
    try:
        yield
    finally:
        _quiet.reset(token)


def say(template: str, *values: object) -> None:
    """Print one line.

    Args:
        template: The line, with rich markup and a `{}` for each value.
        values: Printed without markup, because a path, a reason or a name may hold brackets.
    """
    if is_quiet():
        return
    from rich.markup import escape

    text = template.format(*(escape(str(value)) for value in values)) if values else template
    _console().print(text, soft_wrap=True)


def show(renderable: Any) -> None:
    """Print a rich table or panel."""
    if not is_quiet():
        _console().print(renderable)


@contextlib.contextmanager
def bar(label: str, total: int) -> Generator[Callable[[str], None]]:
    """Show a progress bar; the yielded function moves it by one and shows a short text.

    Args:
        label: Name of the work.
        total: Number of moves.
    """
    if is_quiet() or not _console().is_terminal:
        yield lambda _text="": None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console(), transient=True) as progress:
        task = progress.add_task(label, total=total, text="")
        yield lambda text="": progress.update(task, advance=1, text=text)
