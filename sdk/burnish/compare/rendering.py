"""Write a comparison as Markdown, for a pull request, or as lines for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from burnish.compare.verdict import ComparedSide, ComparisonReport

_MOST_NAMES = 20
_LONGEST = 120  # characters of a name


def describe_verdict(report: ComparisonReport) -> str:
    """Return the verdict as a sentence.

    Args:
        report: The comparison.
    """
    gain, low, high = (_format_gain(report, x) for x in (report.gain, *report.interval))
    name = show_name(report.b.name)
    told = {
        "b_better": f"{name} is better",
        "a_better": f"{name} is worse",
        "not_shown": "no difference is shown",
    }[report.verdict]
    families = f" in {report.families} families" if report.families < report.tasks else ""
    return (
        f"{told}: {report.metric} {gain} [{low}, {high}] over {report.tasks} tasks{families}, "
        f"p = {report.p_value:.2g} ({report.test})"
    )


def list_notes(report: ComparisonReport) -> list[str]:
    """Return what limits the comparison: size, tasks of one file alone, dropped entries.

    Args:
        report: The comparison.
    """
    return list(_iterate_notes(report))


def render_markdown(report: ComparisonReport) -> str:
    """Return the comparison as Markdown.

    Args:
        report: The comparison.
    """
    rows = [
        ("file", *(_escape(show_name(side.name)) for side in (report.a, report.b))),
        (report.metric, _format_mean(report, report.a), _format_mean(report, report.b)),
        ("attempts", str(report.a.attempts), str(report.b.attempts)),
        ("cost of an attempt", *map(_format_cost, (report.a, report.b))),
        ("cost per success", *map(_format_success_cost, (report.a, report.b))),
    ]
    lines = ["| | A | B |", "|---|---|---|", *(f"| {x} | {y} | {z} |" for x, y, z in rows)]
    names = [
        f"- {title} ({len(tasks)}): {_join_names(tasks)}"
        for title, tasks in (
            ("fixed", report.fixed),
            ("broken", report.broken),
            ("changed in some attempts", report.unsteady),
        )
        if tasks
    ]
    notes = [f"- {_escape(note)}" for note in list_notes(report)]
    return "\n".join([f"**{_escape(describe_verdict(report))}**", "", *lines, "", *names, *notes])


def _iterate_notes(report: ComparisonReport) -> Iterator[str]:
    if report.tasks_needed is not None:
        yield f"about {report.tasks_needed} tasks would show a difference of this size"
    if report.smallest_gain is not None:
        yield f"these tasks show a true gain of {100 * report.smallest_gain:.1f} points in 4 of 5 runs"
    if report.lacking is not None:
        side = report.a if report.lacking == "a" else report.b
        yield (
            f"{show_name(side.name)} lacks more tasks than chance explains; they may be its failures, "
            "so it is not called better"
        )
    for side in (report.a, report.b):
        name = show_name(side.name)
        if side.only_here:
            yield f"{side.only_here} tasks are in {name} alone and do not count"
        for reason, count in side.dropped.items():
            yield f"{name}: {count} entries are left out: {show_name(reason)}"
        yield from (f"{name}: {show_name(note)}" for note in side.notes)


def _format_gain(report: ComparisonReport, value: float) -> str:
    return f"{100 * value:+.1f} points" if report.metric == "success" else f"{value:+.3g}"


def _format_mean(report: ComparisonReport, side: ComparedSide) -> str:
    return f"{100 * side.mean:.1f} %" if report.metric == "success" else f"{side.mean:.3g}"


def _format_cost(side: ComparedSide) -> str:
    return "not known" if side.cost is None else f"{side.cost:.4g} {side.cost_unit}"


def _format_success_cost(side: ComparedSide) -> str:
    cost = side.cost_per_success
    return "not known" if cost is None else f"{cost:.4g} {side.cost_unit}"


def _join_names(tasks: Sequence[str]) -> str:
    shown = ", ".join(f"`{_escape_code(show_name(task))}`" for task in tasks[:_MOST_NAMES])
    more = len(tasks) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def show_name(name: str) -> str:
    """Return a name of a file for people: one line, without marks that steer a terminal or the order of letters.

    Args:
        name: A task, file or reason, as the file states it.
    """
    shown = "".join(char if char.isprintable() else " " for char in name)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _escape(text: str) -> str:
    """Keep text of a file from becoming Markdown: no pipes, code marks, tags, links or pictures."""
    return re.sub(r"[|`<>]", " ", text).replace("[", "&#91;").replace("]", "&#93;")


def _escape_code(text: str) -> str:
    """Keep text of a file inside a code mark, where entities have no meaning."""
    return re.sub(r"[|`<>\[\]]", " ", text)
