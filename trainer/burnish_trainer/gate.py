"""Decide on an evaluation: promote, reject or inconclusive, with reasons.

`decide` is the entry; it is a pure function of the evaluation, the rules and the number of the decision on this
held-out set.

- *Promote*: the gain on held-out tasks is shown at the level of this decision (`burnish.statistics.multiplicity`), is
  large enough to matter, and no other rule objects. With the aim "cost", success is shown to stay within the margin and
  output tokens are shown to fall.
- *Reject*: the version is shown to be no better, or shown to break a limit. The limits (standing and capability pool,
  regressions, cost, latency) are tested together with Holm's correction.
- *Inconclusive*: all other results, among them too little data, too many attempts without a result, and losses that
  the current version may have by chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from burnish.errors import EvaluationError
from burnish.project import GateConfig
from burnish.records import Decision, Evaluation, PoolComparison
from burnish.statistics.multiplicity import holm_adjust, level_left, spend_level
from burnish.statistics.paired import PairedGain
from burnish.statistics.planning import count_tasks_needed
from burnish_trainer.gate_evidence import (
    cost_guards,
    cost_saving,
    describe_unequal_missing,
    describe_unstable,
    format_points,
    gain_of,
    pool_guard,
    regression_guard,
    states_families,
)

REFRESH_FROM = 5
"""Number of decisions on one set from which fresh tasks are due: the level is 1/15 of the first."""

_WORDS = 300  # characters of an error in a reason, so that the server's words are among them


class CheckedLimit(NamedTuple):
    """A limit that was tested together with the others.

    Attributes:
        name: Name of the metric.
        p_worse: Its one-sided p-value: small if the limit is broken.
        p_adjusted: The p-value after Holm's correction over all limits.
        verdict: "reject" if it is shown to be broken, "inconclusive" if it may be; empty if it holds.
        statement: The measurement, with what speaks against it.
    """

    name: str
    p_worse: float
    p_adjusted: float
    verdict: str
    statement: str


Rules = GateConfig
Found = tuple[str, str]
"""A verdict that a rule asks for, "reject" or "inconclusive", and why."""


@dataclass(frozen=True, slots=True)
class _Case:
    """An evaluation with everything that its rules need."""

    evaluation: Evaluation
    heldout: PoolComparison
    gain: PairedGain
    rules: Rules
    number: int

    @property
    def alpha(self) -> float:
        return 1 - self.rules.confidence

    @property
    def level(self) -> float:
        return spend_level(self.alpha, self.number)

    @property
    def bound(self) -> float:
        """The lower bound of the gain at the level of this decision."""
        return self.gain.interval(1 - 2 * self.level)[0]


def decide(
    evaluation: Evaluation, rules: Rules | dict[str, Any] | None = None, *, number: int = 1
) -> Decision:
    """Hold an evaluation against the gate's rules.

    Args:
        evaluation: What was measured.
        rules: A GateConfig, or some of its fields; by default its defaults.
        number: Number of this decision on the held-out set; `heldout_uses.count_decision` returns it.

    Raises:
        EvaluationError: The rules are wrong, or no held-out tasks were evaluated.
    """
    settled = _make_rules(rules)
    heldout = evaluation.pools.get("heldout")
    if heldout is None:
        raise EvaluationError(
            f"the evaluation has no held-out tasks, only {', '.join(evaluation.pools) or 'none'}",
            "the pool heldout",
            f"burnish eval {evaluation.agent}",
        )
    case = _Case(evaluation, heldout, gain_of(heldout), settled, max(1, number))
    aim = _check_cost_aim(case) if settled.aim == "cost" else _check_gain(case)
    found = [*aim, *_check_guards(case), *_check_rounds(case), *_check_missing(case)]
    verdicts = {verdict for verdict, _ in found}
    decision = "reject" if "reject" in verdicts else "inconclusive" if verdicts else "promote"
    reasons = [reason for _, reason in found] or [_promotion_reason(case)]
    return Decision(
        decision=decision,
        reasons=[*reasons, *_describe_use(case)],
        rules=msgspec.to_builtins(settled),
        facts=_collect_facts(case),
    )


def check_limits(
    evaluation: Evaluation, rules: Rules, *, gain: PairedGain | None = None
) -> list[CheckedLimit]:
    """Test the limits of an evaluation together; a limit that is not shown to be broken may still leave doubt.

    Args:
        evaluation: What was measured.
        rules: The gate's rules.
        gain: The gain on held-out tasks; by default it is measured.
    """
    pools = evaluation.pools
    if gain is None and "heldout" in pools:
        gain = gain_of(pools["heldout"])
    rejected = gain is not None and rejects_by_gain(gain, rules)
    guards = [
        regression_guard(pools, rules.max_regression_rate, rejected=rejected),
        pool_guard(pools.get("standing"), 0.0, rules.max_capability_drop),
        pool_guard(pools.get("capability"), rules.max_capability_drop, rules.max_capability_drop),
        *(cost_guards(pools["heldout"], rules) if "heldout" in pools else []),
    ]
    known = {guard.name: guard for guard in guards if guard is not None}
    adjusted = holm_adjust({name: guard.p_worse for name, guard in known.items()})
    found: list[CheckedLimit] = []
    for name, guard in known.items():
        verdict, end = "", ""
        if adjusted[name] <= (1 - rules.confidence) / 2:
            verdict, end = "reject", guard.broken
        elif guard.doubt:
            verdict, end = "inconclusive", guard.doubt
        statement = f"{guard.statement}: {end}" if verdict else guard.statement
        found.append(CheckedLimit(name, guard.p_worse, adjusted[name], verdict, statement))
    return found


def rejects_by_gain(gain: PairedGain, rules: Rules) -> bool:
    """Return whether the gain on held-out tasks alone rejects, whatever the other rules find.

    Args:
        gain: The gain on held-out tasks.
        rules: The gate's rules.
    """
    high = gain.interval(rules.confidence)[1]
    if rules.aim == "cost":
        return high < -rules.margin
    return high <= rules.min_gain or high < rules.min_effect


def _make_rules(given: Rules | dict[str, Any] | None) -> Rules:
    if isinstance(given, Rules):
        return given
    unknown = set(given or {}) - set(Rules.__struct_fields__)
    problem = f"unknown rules: {', '.join(sorted(unknown))}" if unknown else ""
    try:
        rules = msgspec.convert(given or {}, Rules)
    except msgspec.ValidationError as error:
        rules, problem = Rules(), str(error)
    if problem:
        raise EvaluationError(
            f"the gate's rules are wrong: {problem}",
            f"some of {', '.join(Rules.__struct_fields__)}",
            "look at [agent.NAME.gate] in burnish.toml",
        )
    return rules


def _check_gain(case: _Case) -> list[Found]:
    """Require a gain that is shown at this decision's level and is large enough to matter."""
    gain, rules, statement = case.gain, case.rules, _describe_gain(case)
    needed = max(rules.min_gain, rules.min_effect)
    if rejects_by_gain(gain, rules):
        return [("reject", f"{statement}: not above {format_points(needed)}")]
    if case.bound <= rules.min_gain or gain.p_better > case.level:
        return [
            (
                "inconclusive",
                f"{statement}: a gain over {format_points(rules.min_gain)} is not shown"
                f"{_describe_needed(case)}",
            )
        ]
    if gain.gain < rules.min_effect:
        least = format_points(rules.min_effect)
        return [("inconclusive", f"{statement}: smaller than the {least} that are worth a change")]
    return []


def _check_cost_aim(case: _Case) -> list[Found]:
    """Require success within the margin, and fewer output tokens."""
    margin, statement = case.rules.margin, _describe_gain(case)
    if rejects_by_gain(case.gain, case.rules):
        return [("reject", f"{statement}: shown to be below {format_points(-margin)}")]
    found: list[Found] = []
    if case.bound <= -margin:
        found.append(("inconclusive", f"{statement}: may be below {format_points(-margin)}"))
    saving = cost_saving(case.heldout)
    if saving is None:
        found.append(("inconclusive", "no output tokens were counted, so no saving is shown"))
    elif saving.p_worse > case.level:
        found.append(("inconclusive", f"{saving.statement}: a saving is not shown"))
    return found


def _check_guards(case: _Case) -> list[Found]:
    """Object for each limit that is shown to be broken, or that may be."""
    limits = check_limits(case.evaluation, case.rules, gain=case.gain)
    return [(one.verdict, one.statement) for one in limits if one.verdict]


def _check_rounds(case: _Case) -> list[Found]:
    """Object to a collapse over the rounds, as the guards found it."""
    guards: Any = case.evaluation.extras.get("guards") or {}
    verdicts = {"reject": "reject", "doubt": "inconclusive"}
    return [
        (verdicts[one["severity"]], one["statement"])
        for one in guards.get("findings", [])
        if one["severity"] in verdicts
    ]


def _check_missing(case: _Case) -> list[Found]:
    """Too many attempts without a result leave doubt, and so does a verifier that is measured to be wrong."""
    evaluation, rules = case.evaluation, case.rules
    lost, attempts, statement = _count_lost(evaluation)
    found: list[Found] = []
    if attempts and lost > rules.max_infrastructure_errors * attempts:
        found.append(
            ("inconclusive", f"{statement}, more than {rules.max_infrastructure_errors:.0%}")
        )
    unknown = sum(evaluation.unknown.values())
    if attempts and unknown > rules.max_unknown * attempts:
        reason = max(evaluation.unknown.items(), key=lambda one: one[1])[0]
        found.append(
            (
                "inconclusive",
                f"no verifier could decide {unknown} of {attempts} attempts ({reason[:120]}), "
                f"more than {rules.max_unknown:.0%}",
            )
        )
    doubts: Any = evaluation.extras.get("verifier_doubts") or []
    skipped: Any = evaluation.extras.get("skipped") or 0
    if attempts and skipped > rules.max_unknown * attempts:
        options: Any = evaluation.extras.get("options") or {}
        found.append(
            (
                "inconclusive",
                f"the limit of {options.get('token_limit')} tokens was reached before {skipped} of {attempts} attempts, "
                f"more than {rules.max_unknown:.0%}",
            )
        )
    unequal = describe_unequal_missing(evaluation, 1 - rules.confidence)
    doubts = [*doubts, *describe_unstable(evaluation), *filter(None, [unequal])]
    return [*found, *(("inconclusive", str(doubt)) for doubt in doubts)]


def _count_lost(evaluation: Evaluation) -> tuple[int, int, str]:
    """Attempts that errors of backend or environment ended, all attempts, and both as a sentence."""
    sides: Any = evaluation.extras.get("infrastructure") or {}
    errors = [error for side in sides.values() for error in side["errors"].items()]
    lost, attempts = sum(n for _, n in errors), sum(side["attempts"] for side in sides.values())
    statement = f"{lost} of {attempts} attempts met an error of the infrastructure"
    if errors:
        statement += f" ({max(errors, key=lambda error: error[1])[0][:_WORDS]})"
    return lost, attempts, statement


def _describe_gain(case: _Case) -> str:
    gain = case.gain
    low, high = gain.interval(case.rules.confidence)
    tasks = case.heldout.tasks
    statement = f"held-out gain {format_points(gain.gain)} [{format_points(low)}, {format_points(high)}] over "
    if not tasks:
        return f"{statement}{gain.pairs} tasks"
    counted = f"{len(tasks)} tasks"
    if gain.pairs > len(tasks):
        counted += f" with {gain.pairs} attempts"
    return statement + counted + (f" in {gain.clusters} families" * (gain.clusters < len(tasks)))


def _describe_needed(case: _Case) -> str:
    """Tell how many tasks would show the gain that was seen."""
    gain = case.gain
    surplus = gain.gain - case.rules.min_gain
    if surplus <= 0:
        return ""
    tasks = len(case.heldout.tasks) or gain.pairs
    needed = count_tasks_needed(
        surplus,
        level=case.level,
        lost=gain.lost / max(gain.pairs, 1),
        design_effect=gain.design_effect * tasks / max(gain.pairs, 1),
    )
    return f"; about {needed} tasks would show it" if needed > tasks else ""


def _promotion_reason(case: _Case) -> str:
    others = ", ".join(
        f"{name} {format_points(pool.gain)}"
        for name, pool in case.evaluation.pools.items()
        if name != "heldout"
    )
    statement = f"{_describe_gain(case)}, {case.gain.won} won, {case.gain.lost} lost"
    lost, _, faults = _count_lost(case.evaluation)
    saving = cost_saving(case.heldout) if case.rules.aim == "cost" else None
    more = [others, saving.statement if saving else "", faults if lost else ""]
    return "; ".join([statement, *filter(None, more)])


def _describe_use(case: _Case) -> list[str]:
    """Tell how often the held-out set was used before, and what is left of its level."""
    notes = []
    if not states_families(case.heldout):
        notes.append(
            "the report has no results by task, so families of 3 are assumed; "
            f"burnish eval {case.evaluation.agent} measures them"
        )
    if case.number > 1:
        statement = (
            f"decision {case.number} on this held-out set: its level is {case.level:.2g} "
            f"of {case.alpha:.2g}, {level_left(case.alpha, case.number):.2g} is left for later ones"
        )
        refresh = f"; fresh held-out tasks are due: burnish tasks refresh {case.evaluation.agent}"
        due = refresh if case.number >= REFRESH_FROM else ""
        notes.append(statement + due)
    return notes


def _collect_facts(case: _Case) -> dict[str, Any]:
    gain = case.gain
    return {
        "gain": gain.gain,
        "lower_bound": case.bound,
        "p_better": gain.p_better,
        "tasks": len(case.heldout.tasks) or gain.pairs,
        "families": gain.clusters,
        "design_effect": round(gain.design_effect, 4),
        "decision_on_set": case.number,
        "level": case.level,
        "level_left": level_left(case.alpha, case.number),
        "fresh_tasks_due": case.number >= REFRESH_FROM,
    }


__all__ = ["CheckedLimit", "Rules", "check_limits", "decide", "rejects_by_gain"]
