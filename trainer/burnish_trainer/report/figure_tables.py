"""Arrange slices, pass@k, conduct, limits, power, rounds and learning curves as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from burnish_trainer.report.table_cells import (
    ReportTable,
    format_gain,
    format_number,
    format_p,
    format_rate,
    make_row,
)

Json = dict[str, Any]
_CONDUCT = {
    "tool_selection": "runs that call the tools of a success",
    "arguments": "calls with the arguments of a success",
    "unneeded_calls": "calls of tools that no success calls",
    "failed_calls": "calls that failed",
    "ignored_results": "runs that fail because they ignore what their calls found",
    "instruction_hierarchy": "success where instructions contradict each other",
    "abstention": "success where the agent should abstain",
    "needless_abstention": "runs that call no tool where each success does",
}
_GAIN = ["gain, points [95 %]"]


def list_figure_tables(facts: Json) -> Iterator[ReportTable]:
    """Yield the tables of the figures beside success, flips and cost.

    Args:
        facts: As `assemble_report` returns them.
    """
    names = [facts["names"][side] for side in facts["sides"]]
    paired = len(names) == 2
    yield _slice_table(facts, names, paired=paired)
    yield _arm_table(facts["arms"])
    yield _pass_at_table(facts, names, paired=paired)
    yield ReportTable(
        "Conduct",
        ["share", *(f"{name} [95 %]" for name in names)],
        [
            make_row(title, [facts["calls"][side][key] for side in facts["sides"]])
            for key, title in _CONDUCT.items()
        ],
        "Tools and arguments are compared with other successful runs of the same task, of either version.",
    )
    yield _limit_table(facts["limits"])
    yield _power_table(facts["power"])
    yield _gap_table(facts)
    yield _round_table(facts["rounds"])
    yield _learning_table(facts)


def _slice_table(facts: Json, names: list[str], *, paired: bool) -> ReportTable:
    rows: list[list[str]] = []
    for pool, several in facts["slices"].items():
        for one in several:
            rates = [format_rate(one[side]) for side in facts["sides"]]
            gain = [format_gain(one), format_p(one["p_adjusted"])] if paired else []
            rows.append([f"{pool}: {one['name']}", str(one["tasks"]), *rates, *gain])
    width = len(names) + 2 * paired
    rows += [
        [name, "0", reason, *["-"] * (width - 1)]
        for name, reason in facts["missing_slices"].items()
    ]
    gain = [*_GAIN, "p (Holm)"] if paired else []
    note = "Kinds and tags of tasks. " + "The p-values of a pool are corrected together." * paired
    return ReportTable("Slices", ["slice", "tasks", *names, *gain], rows, note.strip())


def _arm_table(found: Json) -> ReportTable:
    if "missing" in found:
        return ReportTable("Arms", [], [], missing=found["missing"])
    rows = [_arm_row(one) for one in found["arms"]]
    rows += [[kind, why, *["-"] * 6] for kind, why in found["missing_arms"].items()]
    notes = [
        f"{one['name']}: {', '.join(one['differs'])}" for one in found["arms"] if one["differs"]
    ]
    told = "All stored evaluations of the same held-out tasks, each paired with the base."
    return ReportTable(
        "Arms",
        ["arm", "success", "gain over the base, points [95 %]", "won", "lost", "p", "p (Holm)",
         "tokens for each success"],
        rows,
        " ".join([told, *(f"{note}." for note in notes)]),
    )  # fmt: skip


def _arm_row(one: Json) -> list[str]:
    success = one["success"]
    compared = [
        format_gain(one) if "gain" in one else "-",
        *(str(one.get(key, "-")) for key in ("won", "lost")),
        format_p(one.get("p_value")),
        format_p(one["p_adjusted"]),
    ]
    tokens = format_number(one["costs"].get("tokens_per_success"), 0)
    return [one["name"], success.get("missing") or format_rate(success), *compared, tokens]


def _pass_at_table(facts: Json, names: list[str], *, paired: bool) -> ReportTable:
    rows: list[list[str]] = []
    for pool, several in facts["pass_at"].items():
        for one in several:
            rates = [format_rate(one[side]) for side in facts["sides"]]
            gain = [format_gain(one), format_p(one["p_value"])] if paired else []
            rows.append([f"{pool}: pass@{one['k']}", str(one["tasks"]), *rates, *gain])
    once = all(one["k"] == 1 for several in facts["pass_at"].values() for one in several)
    note = (
        "Each task was attempted once; attempts = 4 in [agent.NAME.evaluate] of burnish.toml gives pass@4."
        if once
        else "The share of tasks that at least one of k attempts solves; intervals over families of tasks."
    )
    gain = [*_GAIN, "p"] if paired else []
    return ReportTable(
        "Pass@k", ["tasks", "number", *names, *gain], rows, note, "no verifier decided an attempt"
    )


def _limit_table(limits: list[Json]) -> ReportTable:
    words = {"reject": "broken", "inconclusive": "may be broken", "": "holds"}
    rows = [
        [
            one["name"].replace("_", " "),
            *(
                ["not measured", "-", "-", one["missing"]]
                if "missing" in one
                else [
                    words[one["verdict"]],
                    format_p(one["p_worse"]),
                    format_p(one["p_adjusted"]),
                    one["statement"],
                ]
            ),
        ]
        for one in limits
    ]
    return ReportTable(
        "Limits",
        ["limit", "result", "p", "p (Holm)", "measured"],
        rows,
        "One-sided p-values against the limit that the gate sets, corrected together.",
        "one version alone has nothing that could get worse",
    )


def _power_table(power: Json) -> ReportTable:
    if "missing" in power:
        return ReportTable("Power", [], [], missing=power["missing"])
    smallest, needed = power["smallest_gain"], power["tasks_for_gain"]
    number = power["decision_on_set"]
    used = f"decision {number} on this set"
    if not power["decided"]:
        used = f"no decision was made; the next on this set is number {number}"
    rows = [
        ["held-out tasks", f"{power['tasks']} in {power['families']} families"],
        ["level of the decision", f"{power['level']:.2g}, {used}"],
        [
            "smallest gain that the set shows in 4 of 5 runs",
            "none" if smallest is None else f"{100 * smallest:.1f} points",
        ],
        ["tasks for a gain of 5 points", f"{power['tasks_for_5_points']:,}"],
        [
            "tasks for the gain that was seen",
            "no gain was seen" if needed is None else f"{needed:,}",
        ],
    ]
    due = (
        "Fresh held-out tasks are due: burnish tasks refresh. " if power["fresh_tasks_due"] else ""
    )
    assumed = f"{power['assumed'][0].upper()}{power['assumed'][1:]}; a plan before the run assumes the same."
    return ReportTable("Power", ["held-out set", ""], rows, due + assumed)


def _gap_table(facts: Json) -> ReportTable:
    rows: list[list[str]] = []
    for side in facts["sides"]:
        gap = facts["gap"][side]
        if "missing" not in gap:
            ends = f"[{100 * gap['low']:+.1f}, {100 * gap['high']:+.1f}]"
            rates = [f"{100 * gap[key]:.1f} %" for key in ("train", "heldout")]
            rows.append([facts["names"][side], *rates, f"{100 * gap['gap']:+.1f} {ends}"])
    return ReportTable(
        "Training and held-out",
        ["version", "tasks of training", "held-out tasks", "gap, points [95 %]"],
        rows,
        "A large gap says that the version has memorised its training set.",
        facts["gap"]["after"].get("missing", ""),
    )


def _round_table(rounds: list[Json]) -> ReportTable:
    steps = sorted({int(k) for one in rounds for k in one["pass_at"]})
    shown = sorted({steps[0], steps[-1]}) if steps else []
    rows: list[list[str]] = []
    for one in rounds:
        passed = [one["pass_at"].get(str(k)) for k in shown]
        distinct = one["distinct_of_a_run"]
        external = one["external_share"]
        rows.append(
            [
                _name_round(one),
                format_rate(one["success"]),
                *("-" if rate is None else format_rate(rate) for rate in passed),
                *(format_number(distinct[key], 2) for key in ("actions", "sequences", "states")),
                format_number(one["entropy"], 3),
                "-" if external is None else f"{100 * external:.0f} %",
            ]
        )
    uncaptured = all(one["entropy"] is None for one in rounds)
    return ReportTable(
        "Rounds",
        ["round", "success", *(f"pass@{k}" for k in shown), "distinct calls of a run",
         "distinct courses", "distinct final states", "entropy, nats", "data from elsewhere"],
        rows,
        "Held-out tasks. Courses are sequences of calls with the final answer."
        + " No log-probabilities were captured, so there is no entropy." * uncaptured,
        "no held-out task was attempted",
    )  # fmt: skip


def _name_round(one: Json) -> str:
    """Return the name of a round with its objective, and a word if it was measured on other tasks."""
    told = [one["objective"] or "", "" if one["same_tasks"] else "other tasks"]
    facts = ", ".join(filter(None, told))
    return one["name"] + (f" ({facts})" if facts else "")


def _learning_table(facts: Json) -> ReportTable:
    rows: list[list[str]] = []
    for side in facts["sides"]:
        curve = facts["learning"][side]
        if "missing" not in curve:
            figures = (curve[key] for key in ("first_loss", "last_loss", "lowest_loss"))
            rows.append(
                [
                    facts["names"][side],
                    curve["run"],
                    str(curve["steps"]),
                    *(format_number(value, 4) for value in figures),
                    format_number(curve["last_accuracy"], 3),
                ]
            )
    columns = ["version", "training", "steps", "first loss", "last loss", "lowest loss"]
    missing = facts["learning"]["after"].get("missing", "")
    return ReportTable(
        "Learning curve", [*columns, "accuracy on learned tokens"], rows, missing=missing
    )
