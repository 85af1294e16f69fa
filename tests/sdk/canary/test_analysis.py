"""The evidence is a fair bet under the null hypothesis and grows under the alternative."""

import importlib.util
import json
import math
import random
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.canary import Analysis
from burnish.canary.analysis import FIRST_WEIGHT
from burnish.canary.document import RolloutDocument
from burnish.canary.e_process import (
    NOT_WORSE_GRID,
    WORSE_GRID,
    EProcess,
    RatioEProcess,
    find_nearest_null,
)
from burnish.canary.evaluator import PhaseEvaluator
from burnish.canary.ledger import Thread
from burnish.canary.policy import RolloutPosition, advise_move
from burnish.project import CanaryConfig

ROOT = Path(__file__).parents[3]


def simulation():
    path = ROOT / "benchmarks" / "canary" / "simulation.py"
    spec = importlib.util.spec_from_file_location("canary_simulation", path)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def expected_factor(test, share, stable, canary):
    """The mean of the next factor, by going through all four cases."""
    before = test.state()
    total = 0.0
    for on_canary, hit in product((False, True), repeat=True + 1):
        arm = share if on_canary else 1 - share
        rate = canary if on_canary else stable
        test.restore(before)
        start = test.log_evidence
        test.add(on_canary, hit, share)
        total += arm * (rate if hit else 1 - rate) * math.exp(test.log_evidence - start)
    test.restore(before)
    return total


def fed(test, seed, share, stable, canary, threads):
    chance = random.Random(seed)
    for _ in range(threads):
        on_canary = chance.random() < share
        hit = chance.random() < (canary if on_canary else stable)
        test.add(on_canary, hit, share)
    return test


@given(
    st.integers(0, 9),
    st.integers(0, 60),
    st.floats(0.01, 0.95),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_no_null_distribution_makes_the_bet_favourable(seed, threads, share, stable, better):
    """Margin 0, the canary fails at most as often: the next factor's mean is at most 1."""
    test = fed(EProcess(WORSE_GRID), seed, 0.3, 0.2, 0.4, threads)

    assert expected_factor(test, share, stable, stable * better) <= 1 + 1e-9


@given(
    st.integers(0, 9),
    st.integers(0, 60),
    st.floats(0.01, 0.95),
    st.floats(0.05, 1.0),
    st.floats(0.0, 1.0),
)
def test_nor_does_one_at_or_below_the_margin(seed, threads, share, stable, worse):
    """Margin 5 points, the canary's success is at most stable's minus the margin."""
    test = fed(EProcess(NOT_WORSE_GRID, margin=0.05), seed, 0.3, 0.8, 0.8, threads)

    assert expected_factor(test, share, stable, (stable - 0.05) * worse) <= 1 + 1e-6


def test_equal_arms_make_the_bet_against_worse_exactly_fair():
    test = fed(EProcess(WORSE_GRID), 1, 0.5, 0.2, 0.3, 40)

    assert expected_factor(test, 0.25, 0.37, 0.37) == pytest.approx(1.0, abs=1e-12)


def test_one_factor_by_hand():
    """Prior rate .5 for one thread, one shift of .2, share .25, the canary fails.

    q = .7; the nearest null gives both arms .25 * .7 + .75 * .5 = .55; the factor is .7 / .55.
    """
    test = EProcess(((0.2, 1.0),))
    test.add(canary=True, hit=True, share=0.25)

    assert math.exp(test.log_evidence) == pytest.approx(0.7 / 0.55)


@given(
    st.floats(0.001, 0.999),
    st.floats(0.0, 0.9),
    st.floats(0.01, 0.99),
    st.floats(0.01, 0.3),
)
def test_the_nearest_null_is_the_nearest(control, gain, share, margin):
    """No other distribution on the border has a smaller relative entropy."""
    shifted = min(control + gain, 0.999)
    found = find_nearest_null(control, shifted, share, margin)

    def entropy(x):
        return share * kl(shifted, x - margin) + (1 - share) * kl(control, x)

    assert entropy(found) <= entropy(np.linspace(margin + 1e-6, 1 - 1e-6, 2000)).min() + 1e-9


def kl(p, q):
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def test_the_arithmetic_of_the_benchmark_is_that_of_the_product():
    fleet = simulation()
    rng = np.random.default_rng(0)
    rollouts, threads = 6, 150
    for grid, margin in ((WORSE_GRID, 0.0), (NOT_WORSE_GRID, 0.05)):
        many = fleet.ShiftTests(rollouts, grid, margin=margin, prior=(0.7, 9.0))
        singles = [EProcess(grid, margin=margin, prior=(0.7, 9.0)) for _ in range(rollouts)]
        for _ in range(threads):
            share = rng.choice([0.01, 0.25, 0.5], rollouts)
            canary, hit = rng.random(rollouts) < share, rng.random(rollouts) < 0.7
            many.add(canary, hit, share)
            for row, single in enumerate(singles):
                single.add(bool(canary[row]), bool(hit[row]), float(share[row]))

        assert many.log_evidence() == pytest.approx([s.log_evidence for s in singles], abs=1e-9)


def test_the_arithmetic_of_the_benchmark_restarts_and_clusters_like_the_product():
    fleet = simulation()
    rng = np.random.default_rng(4)
    rollouts, users = 5, 7
    many = fleet.ShiftTests(rollouts, WORSE_GRID, first=FIRST_WEIGHT)
    clusters = fleet.Users(rollouts, users)
    singles = [Analysis() for _ in range(rollouts)]
    share = np.full(rollouts, 0.4)
    for _ in range(200):
        canary, success = rng.random(rollouts) < 0.4, rng.random(rollouts) < 0.7
        user, known = rng.integers(users, size=rollouts), rng.random(rollouts) < 0.8
        many.add(canary, ~success, share, known)
        clusters.add(user, canary, success, known)
        for row in np.flatnonzero(known):
            arm = "canary" if canary[row] else "stable"
            singles[row].add(arm, bool(success[row]), 0.4, user=str(user[row]))

    effects = [single.evidence().design_effect for single in singles]
    assert clusters.design_effect() == pytest.approx(effects)
    logs = [
        math.log(single.evidence().worse) * effect
        for single, effect in zip(singles, effects, strict=True)
    ]
    assert many.log_evidence() == pytest.approx(logs, abs=1e-6)


@pytest.mark.parametrize(
    "world",
    [
        {"rate": lambda _: 0.8, "gain": -0.35, "missing": lambda canary, _: 0.2 + 0.0 * canary},
        {"rate": lambda _: 0.9, "gain": 0.05, "users": 9, "spread": 0.05, "min_threads": 20},
        {"rate": lambda _: 0.8, "gain": 0.0, "missing": lambda canary, _: 0.6 * canary},
    ],
    ids=["worse", "better", "missing"],
)
def test_a_rollout_of_the_benchmark_ends_as_the_product_ends_it(world):
    """The same threads go through `PhaseEvaluator`; state and canary threads must be the same."""
    fleet = simulation()
    played: list[list] = [[] for _ in range(5)]

    class Recorded(fleet.Fleet):
        def judge(self, *drawn):
            for row, number in enumerate(self.which):
                if not self.ended[number]:
                    played[number].append([part if part is None else part[row] for part in drawn])
            super().judge(*drawn)

    done = Recorded(fleet.World(threads=700, steps=(0.25, 0.5, 1.0), **world), 5, seed=3).run()

    states = {"back": "ROLLED_BACK", "paused": "PAUSED", "promoted": "PROMOTED", "": "CANARY"}
    for threads, ended in zip(played, done.ended, strict=True):
        document = RolloutDocument(
            state="CANARY", rollout="r", phase_id="r", share=0.25, config=done.config
        )
        evaluator = PhaseEvaluator(document)
        for canary, success, error, in_time, share, _, user in threads:
            assert document.state == "CANARY"
            thread = Thread(
                thread="t", assigned_ns=0, arm="canary" if canary else "stable", share=float(share),
                success=bool(success), breaches={"errors": bool(error)},
                user=None if user is None else str(user),
            )  # fmt: skip
            if in_time:
                document = evaluator.take_outcome(thread, document)
            else:
                evaluator._take_missing(thread)
                document = evaluator.decide_move(document, 0)
        assert document.state == states[ended]
    assert set(done.ended) - {""}


def test_after_many_good_threads_a_drop_is_seen_in_the_last_ones():
    """The version was 5 points better than the hold-back for 3,000 threads, then 25 worse."""
    analysis, counts = Analysis(), {"stable": 0, "canary": 0}
    for number in range(3500):
        arm = "canary" if number % 2 else "stable"
        counts[arm] += 1
        fails = {"stable": 4, "canary": 2 if number > 3000 else 5}[arm]
        analysis.add(arm, counts[arm] % fails > 0, 0.5)
    evidence = analysis.evidence()

    assert evidence.rate("canary") > evidence.rate("stable")
    told = advise_move(
        evidence, RolloutPosition(step=0, canary_on_step=0, promoted=True), CanaryConfig()
    )
    assert told.move == "rollback"
    assert "lately" in told.reason
    restored = Analysis.restore(json.loads(json.dumps(analysis.state()))).evidence()
    assert restored.recent == evidence.recent


def test_the_mean_of_evidence_with_restarts_grows_by_the_weight_of_each_thread():
    """Equal arms: the mean is first + n * restart at most, here 0.25 + 6 * 0.1."""
    test = EProcess(((0.2, 1.0),), first=0.25, restart=0.1)

    def mean(test, threads):
        if not threads:
            return math.exp(test.log_evidence)
        before, total = test.state(), 0.0
        for canary, hit in product((False, True), repeat=2):
            test.restore(before)
            test.add(canary, hit, 0.3)
            total += (0.3 if canary else 0.7) * (0.4 if hit else 0.6) * mean(test, threads - 1)
        test.restore(before)
        return total

    assert mean(test, 6) == pytest.approx(0.25 + 6 * 0.1)


@pytest.mark.slow
def test_a_drop_after_thousands_of_healthy_threads_is_found_about_as_fast_as_one_at_once():
    """80 -> 60 % behind a hold-back of 5 %, median of 60 each."""
    fleet = simulation()
    fresh = np.median(fleet.drop_threads(60, 1, 0))
    aged = fleet.drop_threads(60, 2, 3000)
    late = np.median(aged[aged >= 3000]) - 3000

    assert late <= 1.5 * fresh
    assert (aged < 3000).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 60)


def test_unequal_missingness_is_evidence_whichever_arm_it_is_in():
    for away in ("stable", "canary"):
        analysis = Analysis()
        for number in range(120):
            arm = "canary" if number % 2 else "stable"
            if arm == away and number % 3:
                analysis.add_missing(arm, 0.5)
            else:
                analysis.add(arm, True, 0.5)

        evidence = analysis.evidence()
        assert evidence.missing > 20
        assert evidence.missing_rate(away) == pytest.approx(2 / 3, abs=0.01)


def test_equal_missingness_is_none():
    """80 rollouts with 30 % missing: more than 11 above 1 / .05 have a chance below 1 in 1,000."""
    alarms = 0
    for seed in range(80):
        analysis, chance = Analysis(), random.Random(seed)
        for _ in range(300):
            arm = "canary" if chance.random() < 0.25 else "stable"
            if chance.random() < 0.3:
                analysis.add_missing(arm, 0.25)
            else:
                analysis.add(arm, True, 0.25)
        alarms += analysis.evidence().missing >= 20

    assert alarms <= 11


def test_threads_of_one_user_count_less_where_the_canary_is_good_for_some_users_only():
    """Ten users: the canary always helps one half and always fails the other."""
    apart, alone = Analysis(), Analysis()
    for number in range(400):
        user, arm = number % 10, "canary" if number % 20 >= 10 else "stable"
        success = user < 5 if arm == "canary" else number % 3 > 0
        apart.add(arm, success, 0.5, user=f"u{user}")
        alone.add(arm, success, 0.5)

    assert alone.evidence().design_effect == 1.0
    assert apart.evidence().design_effect > 4
    assert apart.evidence().worse < alone.evidence().worse


def test_users_who_differ_but_are_served_alike_by_both_arms_count_fully():
    analysis, chance = Analysis(), random.Random(2)
    for _ in range(4000):
        user, arm = chance.randrange(40), chance.choice(("stable", "canary"))
        analysis.add(arm, chance.random() < user / 40, 0.5, user=f"u{user}")

    assert analysis.evidence().design_effect < 1.6


def test_equal_arms_seldom_raise_a_false_alarm_however_often_one_looks():
    """Check 300 rollouts of 1,000 threads: at most 5 % plus three deviations raise an alarm."""
    fleet = simulation()
    world = fleet.World(rate=lambda _: 0.7, gain=0.0, threads=1000, steps=(0.25, 0.5, 1.0))
    done = fleet.Fleet(world, 300, seed=11).run()

    assert done.share("back") <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_an_arm_that_is_twenty_points_worse_is_found_soon():
    fleet = simulation()
    world = fleet.World(rate=lambda _: 0.8, gain=-0.2, threads=2500, steps=(0.1, 1.0))
    done = fleet.Fleet(world, 400, seed=12).run()

    assert done.share("back") > 0.98
    assert done.canary_threads(0.5) <= 40


def test_a_canary_that_is_as_good_is_shown_to_be_within_the_margin():
    analysis, chance = Analysis(margin=0.1), random.Random(5)
    for _ in range(3000):
        analysis.add(chance.choice(("stable", "canary")), chance.random() < 0.8, 0.5)

    evidence = analysis.evidence()
    assert evidence.not_worse > 20
    assert evidence.worse < 1


def test_successes_and_threads_are_counted_by_arm():
    analysis = Analysis()
    for arm, success in (("stable", True), ("canary", False), ("stable", False)):
        analysis.add(arm, success, 0.5)

    evidence = analysis.evidence()
    assert evidence.threads == {"stable": 2, "canary": 1}
    assert evidence.successes == {"stable": 1, "canary": 0}
    assert (evidence.rate("stable"), evidence.rate("canary")) == (0.5, 0.0)
    assert Analysis().evidence().rate("canary") is None


def test_a_guard_is_watched_apart_from_success():
    analysis = Analysis(guards=("errors",))
    for number in range(120):
        arm = "canary" if number % 2 else "stable"
        analysis.add(arm, True, 0.5, {"errors": arm == "canary" and number % 4 == 1})

    evidence = analysis.evidence()
    assert evidence.guards["errors"] > 100
    assert evidence.worse < 1


def test_history_sharpens_the_first_look_and_is_capped():
    def after_ten_failures(history):
        analysis = Analysis(history=history)
        for _ in range(10):
            analysis.add("canary", False, 0.25)
        return analysis.evidence().worse

    assert after_ten_failures((28, 30)) > after_ten_failures((0, 0))
    assert after_ten_failures((2800, 3000)) == pytest.approx(
        after_ten_failures((280, 300)), rel=0.1
    )


def test_the_state_is_plain_data_from_which_another_process_goes_on():
    one, chance = Analysis(margin=0.07, guards=("errors",), history=(5, 9)), random.Random(1)

    def feed(analysis):
        arm = chance.choice(("stable", "canary"))
        analysis.add(arm, chance.random() < 0.7, 0.5, {"errors": chance.random() < 0.1})
        analysis.assigned(arm, 0.5)

    for _ in range(40):
        feed(one)
    other = Analysis.restore(json.loads(json.dumps(one.state())))
    assert other.evidence() == one.evidence()
    saved = chance.getstate()
    feed(one)
    chance.setstate(saved)
    feed(other)
    assert other.evidence() == one.evidence()


def test_threads_that_do_not_reach_the_canary_as_planned_raise_the_ratio_alarm():
    """Planned 10 %, real 5 %."""
    test, chance = RatioEProcess(), random.Random(3)
    needed = 0
    while test.log_evidence < math.log(1000) and needed < 3000:
        test.add(chance.random() < 0.05, 0.1)
        needed += 1

    assert 100 < needed < 1500


def test_threads_that_do_raise_none():
    for seed in range(40):
        test, chance = RatioEProcess(), random.Random(seed)
        for number in range(1500):
            share = 0.05 if number < 700 else 0.25
            test.add(chance.random() < share, share)
            assert test.log_evidence < math.log(1000)
