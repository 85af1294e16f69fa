"""Write a comparison as Markdown, for a pull request, or as lines for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from burnish.compare.compared import ComparedPool, ComparedSide, ComparisonReport
from burnish.compare.outcomes import HELDOUT

_MOST_NAMES = 20
_LONGEST = 120  # characters of a name


def describe_verdict(report: ComparisonReport) -> str:
    """Return the verdict as a sentence.

    Args:
        report: The comparison.
    """
    name = show_name(report.b.name)
    broken = ", ".join(map(show_name, report.broken_guards))
    told = {
        "b_better": f"{name} is better",
        "a_better": f"{name} is worse",
        "not_shown": "no difference is shown",
        "guard_broken": f"{name} does not hold the guards ({broken})",
    }[report.verdict]
    return f"{told}: {_describe_figures(report, named=bool(report.guards))}"


def describe_guard(pool: ComparedPool) -> str:
    """Return the result of a guard as a sentence.

    Args:
        pool: The comparison on the guard.
    """
    told = {"a_better": "worse", "b_better": "better"}.get(pool.verdict, "holds")
    told = "lacks results" if pool.lacking == "b" else told
    return f"guard {told}: {_describe_figures(pool, named=True)}"


def describe_costs(pool: ComparedPool) -> list[str]:
    """Return the costs of both files in words; nothing if neither tells them.

    Args:
        pool: The comparison on a pool.
    """
    sides = (pool.a, pool.b)
    if all(side.cost is None for side in sides):
        return []
    attempt, success = (
        " -> ".join(map(format_one, sides)) for format_one in (_format_cost, _format_success_cost)
    )
    return [f"cost of an attempt: {attempt}", f"cost per success: {success}"]


def list_notes(report: ComparisonReport) -> list[str]:
    """Return what limits the comparison: size, tasks of one file alone, dropped entries.

    Args:
        report: The comparison.
    """
    return [*_iterate_notes(report), *_iterate_pool_notes(report), *_iterate_file_notes(report)]


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
        *(
            (f"{_escape(show_name(one.pool))}: {one.metric}", _format_mean(one, one.a), _format_mean(one, one.b))
            for one in (*report.guards, *report.shown)
        ),
    ]  # fmt: skip
    lines = ["| | A | B |", "|---|---|---|", *(f"| {x} | {y} | {z} |" for x, y, z in rows)]
    guards = [f"- {_escape(describe_guard(one))}" for one in report.guards]
    names = [
        f"- {_name_flips(one, title)} ({len(tasks)}): {_join_names(tasks)}"
        for one in (report, *report.guards)
        for title, tasks in (
            ("fixed", one.fixed),
            ("broken", one.broken),
            ("changed in some attempts", one.unsteady),
        )
        if tasks
    ]
    notes = [f"- {_escape(note)}" for note in list_notes(report)]
    return "\n".join(
        [f"**{_escape(describe_verdict(report))}**", "", *lines, "", *guards, *names, *notes]
    )


def show_name(name: str) -> str:
    """Return a name of a file for people: one line, without marks that steer a terminal or the order of letters.

    Args:
        name: A task, file or reason, as the file states it.
    """
    shown = "".join(char if char.isprintable() else " " for char in name)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _describe_figures(pool: ComparedPool, *, named: bool) -> str:
    gain, low, high = (_format_gain(pool, x) for x in (pool.gain, *pool.interval))
    families = f" in {pool.families} families" if pool.families < pool.tasks else ""
    tasks = f"{show_name(pool.pool)} tasks" if named or pool.pool != HELDOUT else "tasks"
    return (
        f"{pool.metric} {gain} [{low}, {high}] over {pool.tasks} {tasks}{families}, "
        f"p = {pool.p_value:.2g} ({pool.test})"
    )


def _iterate_notes(report: ComparisonReport) -> Iterator[str]:
    if report.tasks_needed is not None:
        yield f"about {report.tasks_needed} tasks would show a difference of this size"
    if report.smallest_gain is not None:
        yield f"these tasks show a true gain of {100 * report.smallest_gain:.1f} points in 4 of 5 runs"
    if len(report.guards) > 1:
        yield f"the p-values of the {len(report.guards)} guards are corrected together (Holm)"
    for one in report.shown:
        yield f"{_describe_figures(one, named=True)}; tasks of training decide nothing"
    for pool in report.unmeasured:
        yield f"{show_name(pool)}: {show_name(report.b.name)} left every result out, so the guard does not hold"
    for pool, tasks in report.uncompared.items():
        if pool not in report.unmeasured:
            yield f"{show_name(pool)}: {tasks} tasks of one file alone; the pool is not compared"


def _iterate_pool_notes(report: ComparisonReport) -> Iterator[str]:
    for pool in (report, *report.guards, *report.shown):
        begin = "" if pool is report else f"{show_name(pool.pool)}: "
        if pool.lacking is not None:
            side = pool.a if pool.lacking == "a" else pool.b
            yield (
                f"{begin}{show_name(side.name)} lacks more tasks than chance explains; they may be its failures, "
                "so it is not called better"
            )
        for side in (pool.a, pool.b):
            if side.only_here:
                yield f"{begin}{side.only_here} tasks are in {show_name(side.name)} alone and do not count"
            if 0 < side.costs < side.attempts:
                untold = side.attempts - side.costs
                yield f"{begin}{untold} of {side.attempts} attempts of {show_name(side.name)} tell no cost"
    if report.a.cost_unit != report.b.cost_unit and None not in (report.a.cost, report.b.cost):
        yield f"the costs have different units: {report.a.cost_unit} and {report.b.cost_unit}"


def _iterate_file_notes(report: ComparisonReport) -> Iterator[str]:
    for side in (report.a, report.b):
        name = show_name(side.name)
        for reason, count in side.dropped.items():
            yield f"{name}: {count} entries are left out: {show_name(reason)}"
        for reason, count in side.ignored.items():
            yield f"{name}: {count} values are ignored: {show_name(reason)}"
        yield from (f"{name}: {show_name(note)}" for note in side.notes)


def _name_flips(pool: ComparedPool, title: str) -> str:
    return (
        title if isinstance(pool, ComparisonReport) else f"{_escape(show_name(pool.pool))}: {title}"
    )


def _format_gain(pool: ComparedPool, value: float) -> str:
    return f"{100 * value:+.1f} points" if pool.metric == "success" else f"{value:+.3g}"


def _format_mean(pool: ComparedPool, side: ComparedSide) -> str:
    return f"{100 * side.mean:.1f} %" if pool.metric == "success" else f"{side.mean:.3g}"


def _format_cost(side: ComparedSide) -> str:
    return "not known" if side.cost is None else f"{side.cost:.4g} {side.cost_unit}"


def _format_success_cost(side: ComparedSide) -> str:
    cost = side.cost_per_success
    return "not known" if cost is None else f"{cost:.4g} {side.cost_unit}"


def _join_names(tasks: Sequence[str]) -> str:
    shown = ", ".join(f"`{_escape_code(show_name(task))}`" for task in tasks[:_MOST_NAMES])
    more = len(tasks) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _escape(text: str) -> str:
    """Keep text of a file from becoming Markdown: no pipes, code marks, tags, links or pictures."""
    return re.sub(r"[|`<>]", " ", text).replace("[", "&#91;").replace("]", "&#93;")


def _escape_code(text: str) -> str:
    """Keep text of a file inside a code mark, where entities have no meaning."""
    return re.sub(r"[|`<>\[\]]", " ", text)
