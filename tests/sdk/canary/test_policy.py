"""The policy turns evidence into moves."""

import pytest

from burnish.canary.analysis import Evidence
from burnish.canary.policy import RolloutPosition, advise_move, count_step_threads
from burnish.project import CanaryConfig

CONFIG = CanaryConfig(steps=[0.01, 0.25, 0.5, 1.0], min_threads=30)
LAST = RolloutPosition(step=2, canary_on_step=99)


def evidence(**changes):
    given = {
        "worse": 0.1,
        "not_worse": 1.0,
        "guards": {"errors": 0.5, "latency": 0.5},
        "ratio": 1.0,
        "threads": {"stable": 200, "canary": 60},
        "successes": {"stable": 160, "canary": 42},
    }
    return Evidence(**given | changes)


def test_success_is_judged_at_four_fifths_of_alpha():
    """alpha .05: success at .04, so the evidence needed is 25."""
    lower = {"stable": 160, "canary": 36}
    assert advise_move(evidence(worse=24.9, successes=lower), LAST, CONFIG).move == "stay"
    told = advise_move(evidence(worse=25.1, successes=lower), LAST, CONFIG)
    assert told.move == "rollback"
    assert "60% against 80%" in told.reason


def test_evidence_without_a_failure_of_the_canary_rolls_nothing_back():
    """100 against 100 %: successes of stable alone can add up to evidence."""
    perfect = {"stable": 200, "canary": 60}
    assert advise_move(evidence(worse=99.0, successes=perfect), LAST, CONFIG).move == "stay"
    nobody = {"threads": {"stable": 0, "canary": 60}, "successes": {"stable": 0, "canary": 0}}
    assert advise_move(evidence(worse=99.0, **nobody), LAST, CONFIG).move == "stay"


def test_where_outcomes_stay_away_unequally_their_comparison_is_void():
    unequal = {"missing": 21.0, "missed": {"stable": 10, "canary": 90}}
    told = advise_move(evidence(worse=99.0, not_worse=99.0, **unequal), LAST, CONFIG)
    assert told.move == "pause"
    assert "60% of the canary's threads have none in time, 5% of stable's" in told.reason
    served = RolloutPosition(step=2, canary_on_step=99, promoted=True)
    assert advise_move(evidence(worse=99.0, **unequal), served, CONFIG).move == "stay"
    guard = {"errors": 999.0, "latency": 1.0}
    assert advise_move(evidence(guards=guard, **unequal), LAST, CONFIG).move == "rollback"


def test_guards_share_the_last_fifth():
    """Two guards share .01: each needs 200."""
    assert (
        advise_move(evidence(guards={"errors": 199.0, "latency": 1.0}), LAST, CONFIG).move == "stay"
    )
    told = advise_move(evidence(guards={"errors": 201.0, "latency": 1.0}), LAST, CONFIG)
    assert told.move == "rollback"
    assert "'errors'" in told.reason


def test_without_guards_success_has_all_of_alpha():
    assert advise_move(evidence(worse=20.1, guards={}), LAST, CONFIG).move == "rollback"


def test_a_promotion_needs_proof_and_enough_threads_on_the_last_step():
    proof = evidence(not_worse=20.1)
    few = evidence(not_worse=20.1, threads={"stable": 200, "canary": 29})

    assert advise_move(proof, LAST, CONFIG).move == "promote"
    assert advise_move(few, LAST, CONFIG).move == "stay"
    assert advise_move(evidence(not_worse=19.9), LAST, CONFIG).move == "stay"
    assert advise_move(proof, RolloutPosition(step=1, canary_on_step=3), CONFIG).move == "stay"


def test_a_step_needs_its_threads_and_evidence_that_leans_against_worse():
    needed = count_step_threads(CONFIG)
    assert needed == 10

    def at(judged, worse):
        return advise_move(
            evidence(worse=worse), RolloutPosition(step=0, canary_on_step=judged), CONFIG
        ).move

    assert at(9, 0.1) == "stay"
    assert at(10, 0.1) == "step"
    assert at(10, 0.9) == "stay"


def test_what_stays_unclear_pauses_and_never_ships():
    many = {"stable": 7000, "canary": 1000}

    assert advise_move(evidence(threads=many), LAST, CONFIG).move == "pause"
    old = RolloutPosition(step=2, canary_on_step=1, age_s=15 * 86400)
    assert advise_move(evidence(), old, CONFIG).move == "pause"


def test_a_wrong_sample_ratio_pauses_even_with_proof():
    assert advise_move(evidence(not_worse=1e6, ratio=1001.0), LAST, CONFIG).move == "pause"


@pytest.mark.parametrize(("worse", "move"), [(0.1, "stay"), (26.0, "rollback")])
def test_after_a_promotion_only_the_rollback_is_armed(worse, move):
    place = RolloutPosition(step=2, canary_on_step=99, promoted=True)

    assert advise_move(evidence(worse=worse, not_worse=1e9), place, CONFIG).move == move
