"""A harder objective needs evidence from earlier rounds, and what is forced is on record."""

from __future__ import annotations

import pytest

from burnish.errors import TrainingError
from burnish_trainer.rounds.escalation import check_objective, level_of, recommend_objective
from burnish_trainer.rounds.history import RoundSummary


def a_round(number: int, gain: float | None, **changes) -> RoundSummary:
    facts = {
        "objective": "sft",
        "dataset": f"shop@{number:012d}",
        "rows": 800,
        "heldout": {"before": 0.6, "after": 0.62},
        "decision": "inconclusive",
    }
    return RoundSummary(
        number=number, run_id=f"r-{number}", status="rejected", gain=gain, **{**facts, **changes}
    )


STALLED = [a_round(1, 0.2), a_round(2, 0.005), a_round(3, -0.01)]


def test_the_first_rounds_imitate():
    advice = recommend_objective([])
    assert (advice.objective, advice.level) == ("sft", 0)
    assert "no round with sft/dft/rejection was evaluated" in advice.reasons[-1]
    unevaluated = [a_round(1, None), a_round(2, None)]
    assert recommend_objective(unevaluated).objective == "sft"


@pytest.mark.parametrize(
    ("rounds", "reason"),
    [
        ([a_round(1, 0.0, rows=120), a_round(2, 0.0, rows=200)], "200 rows"),
        ([a_round(1, 0.0)], "one round"),
        ([*STALLED[:2], a_round(3, 0.08, decision="promote")], "still gained +8.0"),
        (
            [*STALLED[:2], a_round(3, 0.0, heldout={"before": 0.96, "after": 0.97})],
            "97.0% of the held-out tasks",
        ),
        (
            [a_round(1, 0.0), a_round(2, 0.0, dataset="shop@000000000001")],
            "on different datasets",
        ),
    ],
)
def test_imitation_is_kept_while_it_may_still_help(rounds, reason):
    advice = recommend_objective(rounds)
    assert advice.objective == "sft"
    assert reason in advice.reasons[-1]


def test_two_rounds_without_a_gain_open_preferences_and_two_more_open_reinforcement():
    advice = recommend_objective(STALLED)
    assert (advice.objective, advice.level) == ("dpo", 1)
    assert "+0.5 (round 2), -1.0 (round 3) points, 62.0% of the held-out tasks" in advice.reasons[0]
    preferences = [a_round(4, 0.004, objective="dpo"), a_round(5, 0.0, objective="kto")]
    advice = recommend_objective([*STALLED, *preferences])
    assert (advice.objective, advice.level) == ("grpo", 2)
    assert len(advice.reasons) == 2


def test_more_rows_in_the_planned_round_count():
    few = [a_round(1, 0.0, rows=300), a_round(2, 0.0, rows=400)]
    assert recommend_objective(few).level == 0
    assert recommend_objective(few, rows=900).level == 1


def test_an_unproven_objective_is_refused_unless_it_is_forced():
    advice = recommend_objective([])
    assert check_objective("sft", advice, force=False) == []
    with pytest.raises(TrainingError, match="'dpo' without evidence that 'sft' falls short"):
        check_objective("dpo", advice, force=False)
    (forced,) = check_objective("grpo", advice, force=True)
    assert "objective 'grpo' without evidence" in forced
    assert check_objective("kto", recommend_objective(STALLED), force=False) == []
    assert [level_of(name) for name in ("sft", "kto", "ppo")] == [0, 1, 2]
