"""Arrange the facts of a report as tables of text, which all forms of it show alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from burnish_trainer.evaluation.statistics import wilson_rate
from burnish_trainer.report.failure_modes import FAILURE_MODES

Json = dict[str, Any]
_MEASURES = {
    "steps": ("model calls of a run", 2),
    "tool_calls": ("tool calls of a run", 2),
    "input_tokens": ("input tokens of a run", 0),
    "output_tokens": ("output tokens of a run", 0),
    "tokens_per_success": ("tokens for each success", 0),
    "latency_p50_s": ("latency p50, s", 3),
    "latency_p95_s": ("latency p95, s", 3),
    "usd_per_run": ("US dollars of a run", 5),
    "usd_per_success": ("US dollars for each success", 5),
}
_CALLS = {
    "tool_selection": "runs that call the tools of a success",
    "arguments": "calls with the arguments of a success",
    "unneeded_calls": "calls of tools that no success calls",
    "failed_calls": "calls that failed",
}


class ReportTable(NamedTuple):
    """A titled table.

    Attributes:
        title: Its heading.
        columns: Headings of the columns.
        rows: Cells as text.
        note: A sentence below it; empty for none.
        missing: Why it has no rows; a table without rows and without a reason is not shown.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""
    missing: str = ""


def list_tables(facts: Json, *, flips: int = 50) -> list[ReportTable]:
    """Return the tables of a report; one that would be empty says why, or is left out.

    Args:
        facts: As `assemble_report` returns them.
        flips: Number of broken and of fixed tasks that are named.
    """
    return [table for table in _iterate_tables(facts, flips) if table.rows or table.missing]


def describe_result(facts: Json) -> str:
    """Return the result in one line.

    Args:
        facts: As `assemble_report` returns them.
    """
    decision, names = facts["decision"], facts["names"]
    said = f"{decision['decision']}: {'; '.join(decision['reasons'])}" if decision else "no gate"
    if len(facts["sides"]) == 1:
        return f"{names['after']} alone, without another version: {said}"
    return f"{names['after']} against {names['before']}: {said}"


def _iterate_tables(facts: Json, most: int) -> Iterator[ReportTable]:
    sides = [facts["names"][side] for side in facts["sides"]]
    yield _success_table(facts, sides)
    for name, title in (("broken", "Broken tasks"), ("fixed", "Fixed tasks")):
        yield _flip_table(facts["flips"][name], title, facts["names"], most)
    yield ReportTable("Cost", ["measure", *sides], list(_measure_rows(facts)))
    yield ReportTable(
        "Calls",
        ["share", *(f"{side} [95 %]" for side in sides)],
        list(_call_rows(facts)),
        "Compared with other successful runs of the same task, of either version.",
    )
    yield ReportTable(
        "Failure modes",
        ["class", *sides, "meaning"],
        list(_mode_rows(facts)),
        "Failed runs by the most specific class that fits.",
    )
    yield ReportTable("Attempts", ["result", *sides], list(_attempt_rows(facts)))
    yield ReportTable(
        "Stages",
        ["stage", "seconds", "reused"],
        [
            [stage["name"], f"{stage['seconds']:.1f}", "yes" if stage["reused"] else "no"]
            for stage in facts["stages"]
        ],
    )


def _success_table(facts: Json, sides: list[str]) -> ReportTable:
    paired = len(sides) == 2
    gain = ["gain, points [95 %]", "won", "lost", "p"] if paired else []
    note = "Intervals of shares are Wilson's"
    return ReportTable(
        "Success",
        ["tasks", "number", *sides, *gain],
        [row if paired else row[:3] for row in _success_rows(facts)],
        f"{note}; the gain is paired and clustered by family." if paired else f"{note}.",
    )


def _flip_table(flips: list[Json], title: str, names: dict[str, str], most: int) -> ReportTable:
    rest = len(flips) - most
    return ReportTable(
        title,
        ["task", "pool", *(f"run of {names[side]}" for side in ("before", "after"))],
        [
            [_flip_name(flip), flip["pool"], flip["before"] or "-", flip["after"] or "-"]
            for flip in flips[:most]
        ],
        (f"{rest} more are in the JSON form. " if rest > 0 else "")
        + "burnish traces show ID shows a run.",
    )


def _success_rows(facts: Json) -> Iterator[list[str]]:
    for name, pool in facts["pools"].items():
        low, high = pool["ci95"]
        families = f" in {pool['families']} families" * (pool["families"] < pool["tasks"])
        yield [
            name,
            f"{pool['tasks']}{families}",
            *_rate_cells(facts, pool),
            f"{100 * pool['gain']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
            str(pool["won"]),
            str(pool["lost"]),
            f"{pool['p_value']:.2g}",
        ]
        if len(pool["by_kind"]) > 1:
            rows = pool["by_kind"].items()
            yield from (_group_row(facts, f"{name}: {k}", arms) for k, arms in rows)
        rows = pool["by_tag"].items()
        yield from (_group_row(facts, f"{name}, {tag}", arms) for tag, arms in rows)


def _group_row(facts: Json, name: str, arms: Json) -> list[str]:
    gain = f"{100 * (arms['after']['rate'] - arms['before']['rate']):+.1f}"
    total = str(arms["before"]["total"])
    return [name, total, *_rate_cells(facts, arms), gain, "", "", ""]


def _rate_cells(facts: Json, arms: Json) -> list[str]:
    return [_format_rate(arms[side]) for side in facts["sides"]]


def _flip_name(flip: Json) -> str:
    return flip["task"] + (f" (attempt {flip['attempt']})" if flip["attempt"] > 1 else "")


def _measure_rows(facts: Json) -> Iterator[list[str]]:
    sides = [facts["measures"][side] for side in facts["sides"]]
    for key, (title, digits) in _MEASURES.items():
        if any(key in side for side in sides):
            yield [title, *(_format_number(side.get(key), digits) for side in sides)]


def _call_rows(facts: Json) -> Iterator[list[str]]:
    for key, title in _CALLS.items():
        cells = [facts["calls"][side][key] for side in facts["sides"]]
        if any(cell["whole"] for cell in cells):
            yield [title, *map(_format_share, cells)]


def _mode_rows(facts: Json) -> Iterator[list[str]]:
    sides = [facts["failure_modes"][side] for side in facts["sides"]]
    for name, meaning in FAILURE_MODES.items():
        if any(name in side for side in sides):
            words = name.replace("_", " ")
            yield [words, *(str(side.get(name, 0)) for side in sides), meaning]


def _attempt_rows(facts: Json) -> Iterator[list[str]]:
    sides = [facts["attempts"][side] for side in facts["sides"]]
    for key in sides[0]:
        if any(side[key] for side in sides):
            yield [key.replace("_", " "), *(str(side[key]) for side in sides)]


def _format_rate(rate: Json) -> str:
    return f"{100 * rate['rate']:.1f} % [{100 * rate['low']:.0f}, {100 * rate['high']:.0f}]"


def _format_share(share: Json) -> str:
    if not share["whole"]:
        return "-"
    rate = wilson_rate(share["part"], share["whole"])
    shown = f"{100 * rate.rate:.1f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"
    return f"{shown} of {share['whole']}"


def _format_number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
