"""Promote, reject or inconclusive: each for its reason, on numbers computed by hand."""

from __future__ import annotations

import random

import msgspec
import pytest
from gate_by_hand import attempt, compare, measured, pool

from burnish.errors import EvaluationError
from burnish.records import PoolComparison
from burnish_exporters.tasks.task_sources import decode_tasks
from burnish_trainer import decide
from burnish_trainer.evaluation.comparison import (
    compare_pool,
    group_attempts,
    pair_results,
    task_facts,
)
from burnish_trainer.evaluation.statistics import wilson_rate

GOOD = {"total": 180, "before": 100, "won": 40, "lost": 2}


def test_a_clear_gain_without_losses_is_promoted():
    decision = decide(
        measured(pool("heldout", **GOOD), pool("standing", total=60, before=30, won=9, lost=0))
    )
    assert decision.decision == "promote"
    assert "+21.1 points" in decision.reasons[0]
    assert decision.facts["lower_bound"] > 0.1
    assert (decision.facts["tasks"], decision.facts["families"]) == (180, 180)


def test_a_gain_that_chance_can_explain_is_inconclusive_and_says_how_many_tasks_would_show_it():
    """8 won, 4 lost: one-sided exact p = P(X <= 4 | 12) = 0.194."""
    decision = decide(measured(pool("heldout", total=180, before=100, won=8, lost=4)))
    assert decision.decision == "inconclusive"
    assert "not shown" in decision.reasons[0]
    assert "tasks would show it" in decision.reasons[0]
    assert decision.facts["p_better"] == pytest.approx(794 / 4096)


def test_no_change_at_all_is_inconclusive():
    assert (
        decide(measured(pool("heldout", total=180, before=100, won=0, lost=0))).decision
        == "inconclusive"
    )


def test_a_loss_is_rejected_and_one_that_may_be_chance_is_held():
    worse = decide(measured(pool("heldout", total=180, before=100, won=2, lost=16)))
    held = decide(measured(pool("heldout", total=180, before=100, won=2, lost=4)))
    assert (worse.decision, held.decision) == ("reject", "inconclusive")


def test_a_gain_below_the_asked_one_is_not_enough():
    evaluation = measured(pool("heldout", total=180, before=100, won=20, lost=2))
    assert decide(evaluation).decision == "promote"
    assert decide(evaluation, {"min_gain": 0.08}).decision == "inconclusive"
    assert decide(evaluation, {"min_gain": 0.2}).decision == "reject"


def test_a_gain_that_is_shown_and_too_small_to_matter_is_held():
    evaluation = measured(pool("heldout", total=2000, before=1000, won=30, lost=5))
    assert decide(evaluation, {"min_effect": 0.0}).decision == "promote"
    held = decide(evaluation, {"min_effect": 0.015})
    assert held.decision == "inconclusive"
    assert "worth a change" in held.reasons[0]
    assert decide(evaluation, {"min_effect": 0.1}).decision == "reject"


# Families


@pytest.mark.parametrize("family", [3, 6])
def test_phrasings_of_one_task_count_as_one(family):
    """18 won, 3 lost: p = 0.0007 if independent; in families of 3: 6 and 1, p = 8/128."""
    evaluation = measured(pool("heldout", total=180, before=99, won=18, lost=6, family=family))
    decision = decide(evaluation)
    assert decision.decision == "inconclusive"
    assert f"in {180 // family} families" in decision.reasons[0]
    assert (
        decide(measured(pool("heldout", total=180, before=99, won=18, lost=6))).decision
        == "promote"
    )


def test_the_family_of_a_task_is_its_key_or_its_input_and_data():
    facts = task_facts(
        decode_tasks(
            [
                {"id": "a", "input": "total of 7"},
                {"id": "b", "input": "total of 7"},
                {"id": "c", "input": "total of 7", "world": 2},
                {"id": "d", "input": "sum of 7", "family": "seven"},
                {"id": "e", "input": "add 7", "family": "seven"},
            ]
        )
    )
    assert facts["a"].family == facts["b"].family
    assert facts["c"].family not in (facts["a"].family, facts["d"].family)
    assert facts["d"].family == facts["e"].family
    assert facts["d"].sha256 != facts["e"].sha256


def test_a_report_without_results_by_task_is_taken_to_be_in_families_of_three():
    counts = pool("heldout", total=180, before=99, won=18, lost=3)
    bare = PoolComparison(
        **{
            name: getattr(counts, name)
            for name in ("pool", "before", "after", "gain", "ci95", "won", "lost", "p_value")
        }
    )
    decision = decide(measured(bare))
    assert decision.decision == "inconclusive"
    assert any("families of 3" in reason for reason in decision.reasons)
    assert decide(measured(counts)).decision == "promote"


def test_a_report_of_counts_that_states_its_families_is_read_with_them():
    """15 won, 5 lost of 180: p = 0.021 if independent; in families of 6: 2 and 1."""
    counts = pool("heldout", total=180, before=99, won=15, lost=5)
    alone = msgspec.structs.replace(counts, tasks=[], families=180)
    decision = decide(measured(alone), {"min_effect": 0.0})
    assert decision.facts["p_better"] == pytest.approx(21700 / 2**20)
    assert (decision.decision, decision.facts["families"]) == ("promote", 180)
    assert not any("assumed" in reason for reason in decision.reasons)

    clustered = msgspec.structs.replace(alone, families=30, design_effect=5.0)
    decision = decide(measured(clustered))
    assert (decision.decision, decision.facts["families"]) == ("inconclusive", 30)
    assert decision.facts["p_better"] == 0.5


def test_one_task_or_two_decide_nothing():
    again = [[True, True], [True, True]]
    for before, won, lost in ((1, 0, 1), (0, 1, 0), (2, 0, 2), (0, 2, 0)):
        total = max(won + lost, before)
        few = pool("heldout", total=total, before=before, won=won, lost=lost, again=again[:total])
        assert decide(measured(few)).decision == "inconclusive"


def test_a_loss_in_two_families_is_not_shown():
    """20 of 60 lost, all in two of three families: three observations."""
    lost = compare("standing", [True] * 60, [n % 3 == 0 for n in range(60)], families=[n // 20 for n in range(60)])  # fmt: skip
    decision = decide(measured(pool("heldout", **GOOD), lost))
    assert decision.decision != "promote"


# Regressions


def test_regressions_that_the_current_version_has_too_are_no_reason():
    """Each attempt succeeds with probability .6 before and .8 after: a fifth of the solved tasks fail by chance."""
    rng = random.Random(3)
    before = [rng.random() < 0.6 for _ in range(180)]
    after = [rng.random() < 0.8 for _ in range(180)]
    again = [[rng.random() < 0.6 for _ in range(2)] if solved else [] for solved in before]

    once = decide(measured(compare("heldout", before, after)))
    known = decide(measured(compare("heldout", before, after, again=again)))

    assert once.decision == "inconclusive"
    assert "was not run again" in once.reasons[0]
    assert known.decision == "promote", known.reasons


def test_regressions_of_a_version_that_the_gain_rejects_ask_for_no_further_attempts():
    rejected = decide(measured(pool("heldout", total=100, before=80, won=0, lost=60)))
    assert rejected.decision == "reject"
    gain, regressions = rejected.reasons
    assert "not above" in gain
    assert "may be chance; the gain alone decides" in regressions
    assert "repeat_base" not in regressions


def test_regressions_of_a_version_that_never_fails_again_are_rejected_however_large_the_gain():
    """30 of 100 solved tasks are lost; run again twice, the current version solves all of them."""
    again = [[True, True] if n < 100 else [] for n in range(300)]
    lost = pool("heldout", total=300, before=100, won=120, lost=30, again=again)
    decision = decide(measured(lost))
    assert decision.decision == "reject"
    assert "30 of 100" in decision.reasons[0]
    assert "fails 0 of 200" in decision.reasons[0]


def test_regressions_a_little_above_the_limit_leave_doubt():
    """15 of 100: 5 points above the limit with a standard error of 3.6."""
    again = [[True, True] if n < 100 else [] for n in range(300)]
    decision = decide(
        measured(pool("heldout", total=300, before=100, won=120, lost=15, again=again))
    )
    assert decision.decision == "inconclusive"
    assert "may be above 10%" in decision.reasons[0]
    few = pool("heldout", total=300, before=100, won=120, lost=11, again=again)
    assert decide(measured(few)).decision == "promote"


def test_several_attempts_tell_how_often_the_current_version_loses_what_it_solved():
    """Two of three attempts succeed on every task: of the ordered pairs that begin with a success, half fail."""
    found = compare("heldout", [[True, True, False]] * 4, [[True, True, True]] * 4)
    task = found.tasks[0]
    assert (task.pairs, task.solved, task.repeats, task.lost_again) == (3, 2, 4, 2)


# Guards


def test_a_capability_that_is_shown_to_be_lost_is_rejected():
    decision = decide(
        measured(pool("heldout", **GOOD), pool("capability", total=60, before=50, won=0, lost=12)),
    )
    assert decision.decision == "reject"
    assert "capability -20.0 points" in decision.reasons[0]


def test_a_loss_of_exactly_the_allowed_share_is_allowed():
    """3 of 60 is 5 %, although 0.95 - 1.0 is a little less than -0.05."""
    lost = pool("capability", total=60, before=60, won=0, lost=3)
    assert lost.gain == -0.05
    assert decide(measured(pool("heldout", **GOOD), lost)).decision == "promote"


def test_a_capability_that_may_be_lost_is_inconclusive():
    decision = decide(
        measured(pool("heldout", **GOOD), pool("capability", total=60, before=50, won=0, lost=4)),
    )
    assert decision.decision == "inconclusive"


def test_limits_are_corrected_together():
    """9 of 60 lost alone is shown to be below -5 points (p = 0.010); one of five limits, it is not."""
    lost = pool("capability", total=60, before=50, won=0, lost=9)
    costs = [({"output_tokens": 40.0, "steps": 2.0, "tool_calls": 1.0},) * 2] * 180
    alone = decide(measured(pool("heldout", **GOOD), lost))
    beside = decide(
        measured(
            pool("heldout", **GOOD, costs=costs),
            lost,
            pool("standing", total=60, before=30, won=1, lost=1),
        )
    )
    assert alone.decision == "reject"
    assert beside.decision == "inconclusive"


def test_an_adapter_that_costs_too_much_is_rejected():
    costs = [({"output_tokens": 35.0 + n % 11}, {"output_tokens": 66.0}) for n in range(180)]
    decision = decide(measured(pool("heldout", **GOOD, costs=costs)))
    assert decision.decision == "reject"
    assert "to 66.0: more than 1.5 times" in decision.reasons[0]


def test_a_cost_that_one_run_alone_raises_leaves_doubt():
    costs = [
        ({"output_tokens": 40.0}, {"output_tokens": 41.0 + 9000 * (n == 7)}) for n in range(180)
    ]
    decision = decide(measured(pool("heldout", **GOOD, costs=costs)))
    assert decision.decision == "inconclusive"
    assert "may be more than 1.5 times" in decision.reasons[0]


@pytest.mark.parametrize("huge", [1e160, 1e300])
def test_huge_costs_are_compared_and_not_squared_away(huge):
    costs = [
        ({"output_tokens": huge * (1 + n % 3)}, {"output_tokens": huge * 9}) for n in range(180)
    ]
    assert decide(measured(pool("heldout", **GOOD, costs=costs))).decision == "reject"
    same = [({"output_tokens": huge * (1 + n % 3)},) * 2 for n in range(180)]
    assert decide(measured(pool("heldout", **GOOD, costs=same))).decision == "promote"


def test_a_level_near_nothing_promotes_nothing_and_still_decides():
    evaluation = measured(pool("heldout", **GOOD))
    assert decide(evaluation, {"confidence": 0.999999}, number=10**7).decision == "inconclusive"


def test_latency_has_a_limit_where_one_is_set():
    costs = [({"latency_s": 1.0 + n % 3}, {"latency_s": 9.0}) for n in range(180)]
    evaluation = measured(pool("heldout", **GOOD, costs=costs))
    assert decide(evaluation).decision == "promote"
    assert decide(evaluation, {"max_latency_ratio": 2.0}).decision == "reject"


# The aim "cost"


def test_a_cheaper_version_that_is_no_worse_is_promoted_for_its_cost():
    costs = [({"output_tokens": 90.0 + n % 7}, {"output_tokens": 40.0}) for n in range(400)]
    same = {"total": 400, "before": 300, "won": 4, "lost": 4}
    cheaper = measured(pool("heldout", **same, costs=costs))
    assert decide(cheaper).decision == "inconclusive"
    promoted = decide(cheaper, {"aim": "cost"})
    assert promoted.decision == "promote"
    assert "now" in promoted.reasons[0]

    dearer = measured(pool("heldout", **same, costs=[(b, b) for b, _ in costs]))
    assert decide(dearer, {"aim": "cost"}).decision == "inconclusive"
    worse = {"total": 400, "before": 300, "won": 4, "lost": 44}
    assert (
        decide(measured(pool("heldout", **worse, costs=costs)), {"aim": "cost"}).decision
        == "reject"
    )


# Level, missing results, rules


def test_later_decisions_on_a_set_need_more_evidence_and_say_so():
    """12 won, 3 lost: p = 0.0176. The first decision has level .025, the second .0083."""
    evaluation = measured(pool("heldout", total=180, before=100, won=12, lost=3))
    first, second, sixth = (decide(evaluation, number=n) for n in (1, 2, 6))
    assert first.decision == "promote"
    assert not any("decision" in reason for reason in first.reasons)
    assert second.decision == "inconclusive"
    assert "decision 2 on this held-out set" in second.reasons[-1]
    assert "fresh" not in second.reasons[-1]
    assert "fresh held-out tasks are due" in sixth.reasons[-1]
    assert sixth.facts["level"] == pytest.approx(0.05 / 42)


def test_attempts_without_a_result_leave_doubt_above_a_share():
    def found(unknown, errors):
        sides = {
            "before": {"attempts": 180, "errors": {}},
            "after": {"attempts": 180, "errors": {"APITimeoutError: slow": errors}},
        }
        return decide(
            measured(
                pool("heldout", **GOOD),
                unknown={"a call is not in the log": unknown},
                extras={"infrastructure": sides},
            )
        )

    assert found(36, 7).decision == "promote"
    assert "met an error of the infrastructure" in found(0, 8).reasons[0]
    assert "no verifier could decide 37 of 360" in found(37, 0).reasons[0]


def test_failures_that_only_the_new_version_has_undecided_leave_doubt():
    """Both succeed in 60 % of the attempts; no verifier can decide 40 % of the new version's failures."""
    rng, promoted = random.Random(5), 0
    for _ in range(40):
        arms = {
            side: [attempt("heldout", f"t{n}", 1, rng.random() < 0.6) for n in range(180)]
            for side in ("before", "after")
        }
        arms["after"] = [
            msgspec.structs.replace(one, label="unknown")
            if one.label == "fail" and rng.random() < 0.4
            else one
            for one in arms["after"]
        ]
        again = group_attempts(arms["before"], [attempt("heldout", f"t{n}", 2, rng.random() < 0.6) for n in range(180)])  # fmt: skip
        heldout = compare_pool("heldout", pair_results(*arms.values()), None, again)
        unknown = sum(one.label == "unknown" for one in arms["after"])
        decision = decide(
            measured(
                heldout,
                unknown={"no call of the tool": unknown},
                extras={
                    "attempts": msgspec.to_builtins(arms),
                    "infrastructure": {side: {"attempts": 180, "errors": {}} for side in arms},
                },
            )
        )
        promoted += decision.decision == "promote"
        assert any("cannot be compared" in reason for reason in decision.reasons)
    assert promoted == 0


def test_attempts_without_a_result_in_both_versions_alike_are_no_doubt():
    def decide_with(before, after):
        arms = {
            side: [
                msgspec.structs.replace(attempt("heldout", f"u{n}", 1, True), label="unknown")
                for n in range(number)
            ]
            for side, number in (("before", before), ("after", after))
        }
        extras = {"attempts": msgspec.to_builtins(arms)}
        return decide(measured(pool("heldout", **GOOD), extras=extras)).decision

    assert decide_with(9, 9) == decide_with(9, 12) == decide_with(0, 5) == "promote"
    assert decide_with(0, 9) == decide_with(9, 0) == "inconclusive"


def test_a_verifier_that_is_measured_to_be_wrong_leaves_doubt():
    doubts = {"verifier_doubts": ["the precision of goal_state may be as low as 41%"]}
    decision = decide(measured(pool("heldout", **GOOD), extras=doubts))
    assert (decision.decision, decision.reasons) == ("inconclusive", doubts["verifier_doubts"])


def test_an_evaluation_without_heldout_tasks_decides_nothing():
    with pytest.raises(EvaluationError, match="no held-out tasks"):
        decide(measured(pool("standing", **GOOD)))


def test_unknown_or_impossible_rules_are_refused():
    evaluation = measured(pool("heldout", **GOOD))
    with pytest.raises(EvaluationError, match="unknown rules: mingain"):
        decide(evaluation, {"mingain": 0.1})
    with pytest.raises(EvaluationError, match="rules are wrong"):
        decide(evaluation, {"confidence": 2.0})


def test_a_pool_without_attempts_has_the_whole_range():
    assert wilson_rate(0, 0).high == 1.0
