"""Promote, reject or inconclusive: each for its reason, on numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from burnish.errors import EvaluationError
from burnish.records import Evaluation, PoolComparison
from burnish_trainer import decide
from burnish_trainer.evaluation.comparison import compare_pool
from burnish_trainer.evaluation.grading import AttemptResult
from burnish_trainer.evaluation.statistics import mcnemar_p_value, paired_interval, wilson_rate


def pool(name: str, *, total: int, before: int, won: int, lost: int, cost=None) -> PoolComparison:
    after = before + won - lost
    return PoolComparison(
        pool=name,
        before=wilson_rate(before, total),
        after=wilson_rate(after, total),
        gain=(after - before) / total,
        ci95=paired_interval(won, lost, total),
        won=won,
        lost=lost,
        p_value=mcnemar_p_value(won, lost),
        cost=cost or {},
    )


def measured(*pools: PoolComparison) -> Evaluation:
    return Evaluation(
        agent="support",
        base_model="starter",
        before=None,
        after="support@0123456789ab",
        pools={p.pool: p for p in pools},
        trajectories=0,
    )


GOOD = {"total": 180, "before": 100, "won": 40, "lost": 2}


def test_a_clear_gain_without_losses_is_promoted():
    decision = decide(
        measured(pool("heldout", **GOOD), pool("standing", total=60, before=30, won=9, lost=0))
    )
    assert decision.decision == "promote"
    assert "+21.1 points" in decision.reasons[0]


def test_a_gain_that_chance_can_explain_is_inconclusive():
    """8 won, 4 lost: two-sided exact p = 2 * P(X <= 4 | 12) = 0.388."""
    decision = decide(measured(pool("heldout", total=180, before=100, won=8, lost=4)))
    assert decision.decision == "inconclusive"
    assert "not shown" in decision.reasons[0]


def test_no_change_at_all_is_inconclusive():
    assert (
        decide(measured(pool("heldout", total=180, before=100, won=0, lost=0))).decision
        == "inconclusive"
    )


def test_a_loss_is_rejected():
    decision = decide(measured(pool("heldout", total=180, before=100, won=2, lost=9)))
    assert decision.decision == "reject"


def test_a_gain_below_the_asked_one_is_not_enough():
    evaluation = measured(pool("heldout", total=180, before=100, won=20, lost=2))
    assert decide(evaluation).decision == "promote"
    assert decide(evaluation, {"min_gain": 0.08}).decision == "inconclusive"
    assert decide(evaluation, {"min_gain": 0.2}).decision == "reject"


def test_too_many_regressions_are_rejected_however_large_the_gain():
    """11 of 100 solved tasks lost is more than 10 %."""
    decision = decide(measured(pool("heldout", total=180, before=100, won=60, lost=11)))
    assert decision.decision == "reject"
    assert "11 of 100" in decision.reasons[0]


def test_a_capability_that_is_shown_to_be_lost_is_rejected():
    decision = decide(
        measured(pool("heldout", **GOOD), pool("capability", total=60, before=50, won=0, lost=12)),
    )
    assert decision.decision == "reject"
    assert "capability -20.0 points" in decision.reasons[0]


def test_a_loss_of_exactly_the_allowed_share_is_allowed():
    """3 of 60 is 5 %, although 0.95 - 1.0 is a little less than -0.05."""

    def result(number, label):
        return AttemptResult(
            task_id=str(number), pool="capability", kind="k", attempt=1, label=label
        )

    pairs = [(result(n, "success"), result(n, "fail" if n < 3 else "success")) for n in range(60)]
    lost = compare_pool("capability", pairs)
    assert lost.gain == -0.05
    assert decide(measured(pool("heldout", **GOOD), lost)).decision == "promote"


def test_a_capability_that_may_be_lost_is_inconclusive():
    decision = decide(
        measured(pool("heldout", **GOOD), pool("capability", total=60, before=50, won=0, lost=4)),
    )
    assert decision.decision == "inconclusive"


def test_an_adapter_that_costs_too_much_is_rejected():
    cost = {
        "output_tokens": {"before": 40.0, "after": 61.0},
        "steps": {"before": 2.0, "after": 2.0},
    }
    decision = decide(measured(pool("heldout", **GOOD, cost=cost)))
    assert decision.decision == "reject"
    assert "40.0 to 61.0" in decision.reasons[0]


def test_an_evaluation_without_heldout_tasks_decides_nothing():
    with pytest.raises(EvaluationError, match="no held-out tasks"):
        decide(measured(pool("standing", **GOOD)))


def test_unknown_or_impossible_rules_are_refused():
    evaluation = measured(pool("heldout", **GOOD))
    with pytest.raises(EvaluationError, match="unknown rules: mingain"):
        decide(evaluation, {"mingain": 0.1})
    with pytest.raises(EvaluationError, match="rules are wrong"):
        decide(evaluation, {"confidence": 2.0})


def test_wilson_interval_agrees_with_the_textbook():
    """15 of 148 (Newcombe 1998, method 3): 0.0624 to 0.1605."""
    rate = wilson_rate(15, 148)
    assert (round(rate.low, 4), round(rate.high, 4)) == (0.0624, 0.1605)
    assert wilson_rate(0, 0).high == 1.0


@pytest.mark.parametrize(
    ("won", "lost", "total"), [(0, 1, 44), (12, 3, 60), (78, 2, 240), (5, 5, 40)]
)
def test_at_the_ends_of_tangos_interval_the_score_statistic_is_the_normal_quantile(
    won, lost, total
):
    """The nuisance share is found here by maximising the likelihood, not by the closed form."""
    from scipy.optimize import minimize_scalar

    for gain, wanted in zip(paired_interval(won, lost, total), (1.96, -1.96), strict=True):
        same = total - won - lost

        def unlikely(q, gain=gain, same=same):
            return -(won * np.log(q + gain) + lost * np.log(q) + same * np.log(1 - 2 * q - gain))

        low, high = max(0.0, -gain) + 1e-12, (1 - gain) / 2 - 1e-12
        q = minimize_scalar(
            unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
        ).x
        score = (won - lost - total * gain) / (total * (2 * q + gain - gain**2)) ** 0.5
        assert score == pytest.approx(wanted, abs=2e-3)


def test_an_interval_has_width_even_where_nothing_differs():
    """b = c = 0: z^2 / (n + z^2) on both sides, 3.8415 / 103.8415."""
    low, high = paired_interval(0, 0, 100)
    assert high == pytest.approx(0.03699, abs=1e-4)
    assert low == pytest.approx(-0.03699, abs=1e-4)


def test_mcnemar_counts_the_two_tails():
    """2 * (C(10,0) + C(10,1)) / 2^10 = 22 / 1024."""
    assert mcnemar_p_value(9, 1) == pytest.approx(22 / 1024)
    assert mcnemar_p_value(0, 0) == 1.0
