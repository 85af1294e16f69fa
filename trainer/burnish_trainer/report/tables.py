"""Arrange the facts of a report as tables of text, which all forms of it show alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from burnish_trainer.report.failure_modes import FAILURE_MODES
from burnish_trainer.report.figure_tables import list_figure_tables
from burnish_trainer.report.figures.shares import describe_share
from burnish_trainer.report.sides import SIDES
from burnish_trainer.report.table_cells import (
    ReportTable,
    format_gain,
    format_number,
    format_p,
    format_rate,
    format_share,
)

Json = dict[str, Any]
_MEASURES = {
    "steps": ("model calls of a run", 2),
    "tool_calls": ("tool calls of a run", 2),
    "input_tokens": ("input tokens of a run", 0),
    "output_tokens": ("output tokens of a run", 0),
    "tokens_per_success": ("tokens for each success", 0),
    "latency_mean_s": ("latency, mean, s", 3),
    "latency_p50_s": ("latency p50, s", 3),
    "latency_p95_s": ("latency p95, s", 3),
    "usd_per_run": ("US dollars of a run", 5),
    "usd_per_success": ("US dollars for each success", 5),
}

_REASONS = 20  # of unfinished attempts that are named
_LONGEST = 300  # characters of a reason

_CHANGED = {"latency_mean_s": "latency_s"}
"""The measure of a pair of attempts that a row of the costs shows."""


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
    yield _cost_table(facts, sides)
    yield from list_figure_tables(facts)
    yield ReportTable(
        "Failure modes",
        ["class", *sides, "meaning"],
        list(_mode_rows(facts)),
        "Failed runs by the most specific class that fits; shares are of all failed runs.",
        "no failed run is in the workspace",
    )
    yield ReportTable(
        "Attempts",
        ["result", *sides],
        list(_attempt_rows(facts)),
        "Remembered results were made by an earlier evaluation; burnish eval --fresh repeats them.",
    )
    yield _unfinished_table(facts, sides)
    yield ReportTable(
        "Notes",
        ["what else the evaluation met"],
        [[note] for note in facts.get("notes", [])],
    )
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
    gain = (
        ["gain, points [95 %]", "won", "lost", "p", "lost of the solved [95 %]"] if paired else []
    )
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
        ["task", "pool", *(f"run of {names[side]}" for side in SIDES)],
        [
            [name_flip(flip), flip["pool"], flip["before"] or "-", flip["after"] or "-"]
            for flip in flips[:most]
        ],
        (f"{rest} more are in the JSON form. " if rest > 0 else "")
        + "burnish traces show ID shows a run.",
        anchors=tuple(name_anchor(flip) for flip in flips[:most] if "steps" in flip),
    )


def name_anchor(flip: Json) -> str:
    """Return the id of the part of a page that shows both runs of a flip."""
    digest = hashlib.sha256(
        f"{flip['pool']}/{flip['task']}/{flip['attempt']}".encode(errors="replace")
    )
    return f"runs-{digest.hexdigest()[:12]}"


def _success_rows(facts: Json) -> Iterator[list[str]]:
    for name, pool in facts["pools"].items():
        families = f" in {pool['families']} families" * (pool["families"] < pool["tasks"])
        yield [
            name,
            f"{pool['tasks']}{families}",
            *(format_rate(pool[side]) for side in facts["sides"]),
            format_gain(pool),
            str(pool["won"]),
            str(pool["lost"]),
            format_p(pool["p_value"]),
            format_share(pool["regressions"]),
        ]


def name_flip(flip: Json) -> str:
    """Return the name of a flipped task, with the number of a further attempt."""
    return flip["task"] + (f" (attempt {flip['attempt']})" if flip["attempt"] > 1 else "")


def _cost_table(facts: Json, sides: list[str]) -> ReportTable:
    measures = [facts["measures"][side] for side in facts["sides"]]
    changes = facts["cost_changes"]
    rows = [
        [
            title,
            *(format_number(side.get(key), digits) for side in measures),
            *([_format_change(changes.get(_CHANGED.get(key, key)), digits)] if changes else []),
        ]
        for key, (title, digits) in _MEASURES.items()
        if any(key in side for side in measures)
    ]
    more = ["more of a held-out run [95 %]"] if changes else []
    priced = any("usd_per_run" in side for side in measures)
    note = "A success costs all runs, failed ones too, over the number of successes."
    return ReportTable(
        "Cost",
        ["measure", *sides, *more],
        rows,
        note if priced else f"{note} For US dollars give --prices.",
        "no run recorded its tokens",
    )


def _format_change(change: Json | None, digits: int) -> str:
    if change is None:
        return "-"
    low, high = change["ci95"]
    return f"{change['change']:+,.{digits}f} [{low:+,.{digits}f}, {high:+,.{digits}f}]"


def _mode_rows(facts: Json) -> Iterator[list[str]]:
    sides = [facts["failure_modes"][side] for side in facts["sides"]]
    for name, meaning in FAILURE_MODES.items():
        if any(name in side for side in sides):
            shares = [describe_share(side.get(name, 0), sum(side.values()), "") for side in sides]
            yield [name.replace("_", " "), *map(format_share, shares), meaning]


def _unfinished_table(facts: Json, sides: list[str]) -> ReportTable:
    several = facts["unfinished"]
    rows = [
        [one["reason"][:_LONGEST], one["result"], *(str(one[side]) for side in facts["sides"])]
        for one in several[:_REASONS]
    ]
    rest = len(several) - _REASONS
    return ReportTable(
        "Unfinished attempts",
        ["reason", "result", *sides],
        rows,
        f"{rest} more reasons are in the JSON form." if rest > 0 else "",
    )


def _attempt_rows(facts: Json) -> Iterator[list[str]]:
    sides = [facts["attempts"][side] for side in facts["sides"]]
    for key in sides[0]:
        if any(side[key] for side in sides):
            yield [key.replace("_", " "), *(str(side[key]) for side in sides)]
