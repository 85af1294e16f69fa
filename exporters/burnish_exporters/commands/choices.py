"""Read recipe settings from the command line and show the progress of a build on the terminal."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from burnish.errors import ExportError
from burnish.journal.index.trajectory_index import Query
from burnish.workspace import Workspace
from burnish_exporters.funnel import Funnel

_MANY = 4096
_MOST_WORKERS = 8


def read_settings(given: Iterable[str]) -> dict[str, Any]:
    """Read settings of a recipe from `KEY=VALUE` and `@FILE`; a value is read as TOML, else as text.

    Raises:
        ExportError: If one is neither, or a file cannot be read.
    """
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if text.startswith("@"):
            found |= _read_toml(Path(text[1:]))
        elif equals and key.strip():
            found[key.strip()] = _parse_value(value.strip())
        else:
            raise ExportError(f"--set {text!r}", "KEY=VALUE or @FILE", "--set max_per_task=4")
    return found


def workers_for(workspace: Workspace, agent: str) -> int:
    """Return the number of processes for a build: one, but for many runs one for each processor."""
    many = len(workspace.entries(Query(agent=agent))) >= _MANY
    return min(os.cpu_count() or 1, _MOST_WORKERS) if many else 1


@contextmanager
def show_progress() -> Generator[Callable[[Funnel], None]]:
    """Show the progress of a build on a terminal, with the reasons for dropped runs."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not sys.stderr.isatty():
        yield lambda funnel: None
        return
    with console.status("reading") as status:
        yield lambda funnel: status.update(format_progress(funnel))


def format_progress(funnel: Funnel) -> str:
    """Format the progress of a build in one line: runs that entered, runs kept, the commonest reasons."""
    kept = next((stage["kept"] for stage in funnel.stages() if stage["name"] == "rows"), 0)
    commonest = sorted(funnel.count_dropped().items(), key=lambda entry: (-entry[1], entry[0]))[:3]
    reasons = "".join(f", {count:,} {reason}" for reason, count in commonest)
    return f"{funnel.count_entered():,} runs, {kept:,} kept{reasons}"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise ExportError(
            f"--set @{path}: {problem}", "a TOML file with lines KEY = VALUE"
        ) from problem


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
