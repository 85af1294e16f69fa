"""Tests and intervals against textbooks, brute force and simulation."""

from __future__ import annotations

import itertools
import random

import pytest

from burnish.statistics import (
    PairedTask,
    count_tasks_needed,
    holm_adjust,
    level_left,
    mcnemar_p_value,
    measure_excess_loss,
    measure_gain,
    measure_mean_gain,
    paired_interval,
    sign_flip_p_value,
    smallest_detectable_gain,
    spend_level,
    student_quantile,
    student_tail,
    wilson_rate,
)


def test_wilson_interval_agrees_with_the_textbook():
    """15 of 148 (Newcombe 1998, method 3): 0.0624 to 0.1605."""
    rate = wilson_rate(15, 148)
    assert (round(rate.low, 4), round(rate.high, 4)) == (0.0624, 0.1605)


@pytest.mark.parametrize(
    ("won", "lost", "total"), [(0, 1, 44), (12, 3, 60), (78, 2, 240), (5, 5, 40)]
)
def test_at_the_ends_of_tangos_interval_the_score_statistic_is_the_normal_quantile(
    won, lost, total
):
    """The nuisance share is found here by maximising the likelihood, not by the closed form."""
    np = pytest.importorskip("numpy")
    minimize_scalar = pytest.importorskip("scipy.optimize").minimize_scalar

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


def test_with_one_pair_a_cluster_sign_flips_are_mcnemars_test():
    for won, lost in ((9, 1), (3, 0), (40, 22), (700, 640)):
        p = sign_flip_p_value([1] * won + [-1] * lost)
        assert 2 * p == pytest.approx(mcnemar_p_value(won, lost))


@pytest.mark.parametrize("seed", range(5))
def test_sign_flips_are_those_of_all_patterns(seed):
    rng = random.Random(seed)
    sums = [rng.randint(-4, 6) for _ in range(9)]
    patterns = itertools.product((1, -1), repeat=9)
    signed = [sum(sign * abs(s) for sign, s in zip(p, sums, strict=True)) for p in patterns]
    assert sign_flip_p_value(sums) == sum(s >= sum(sums) for s in signed) / 512
    assert sign_flip_p_value([]) == sign_flip_p_value([0, 0]) == 1.0


def test_sums_of_common_size_are_those_of_ones_and_large_sets_are_nearly_exact():
    assert sign_flip_p_value([6, 6, 6, -6]) == sign_flip_p_value([1, 1, 1, -1])
    exact = sign_flip_p_value([1, 2] * 60 + [-1, -2] * 40)
    large = sign_flip_p_value([1] * 10_200 + [-1] * 9_900)
    assert exact == pytest.approx(0.0041, abs=2e-4)  # 60 of a spread of 22.4
    assert large == pytest.approx(0.0174, abs=5e-4)


def tasks_of(results):
    return [
        PairedTask(str(n), str(family), pairs=1, won=int(d > 0), lost=int(d < 0))
        for n, (family, d) in enumerate(results)
    ]


def test_families_that_move_together_count_once():
    """Ten families of 4, of which 6 win whole and 1 loses whole: p = 8/128, and a design effect near 4."""
    moves = [1] * 6 + [-1] + [0] * 3
    together = measure_gain(tasks_of([(f, d) for f, d in enumerate(moves) for _ in range(4)]))
    assert together.p_better == 8 / 128
    assert together.design_effect == pytest.approx(4 * 10 / 9)
    alone = measure_gain(tasks_of([(n, d) for n, d in enumerate(moves * 4)]))
    assert alone.design_effect == 1.0
    assert alone.low > together.low
    assert alone.gain == together.gain == 0.5


def test_a_family_alone_and_no_task_show_nothing():
    one = measure_gain(tasks_of([("same", 1)] * 50))
    assert one.p_better == 0.5
    assert one.low < 0.3
    none = measure_gain([])
    assert (none.low, none.high, none.p_value) == (-1.0, 1.0, 1.0)


def test_the_interval_of_families_holds_the_truth_as_often_as_it_says():
    """60 families of 3 whose members agree in four of five; true gain 10 points; 95 % of 400 intervals."""
    rng, held = random.Random(5), 0
    for _ in range(400):
        results = []
        for family in range(60):
            shared = rng.choices((1, -1, 0), (0.15, 0.05, 0.8))[0]
            for _ in range(3):
                own = rng.choices((1, -1, 0), (0.15, 0.05, 0.8))[0]
                results.append((family, shared if rng.random() < 0.8 else own))
        gain = measure_gain(tasks_of(results))
        held += gain.low <= 0.1 <= gain.high
    assert 0.92 <= held / 400 <= 0.98


def test_few_families_show_a_loss_no_more_often_than_the_level_says():
    """3 families of 30 whose true differences vary by 20 points about 0; 2.5 % on each side of 1,000 rounds."""
    rng, above, below = random.Random(8), 0, 0
    for _ in range(1000):
        results = []
        for family in range(3):
            shift = rng.gauss(0, 0.2)
            chances = (0.24 + max(0.0, shift), 0.24 + max(0.0, -shift), 0.4)
            results += [(family, d) for d in rng.choices((1, -1, 0), chances, k=30)]
        gain = measure_gain(tasks_of(results))
        above += gain.low > 0
        below += gain.p_below(0.0) <= 0.025
    assert max(above, below) <= 40  # of 1,000 at 2.5 %: more in 1 of 500 seeds


def test_students_distribution_is_that_of_the_tables():
    """Two-sided 95 %: 12.706, 4.303, 3.182, 2.571, 2.042 at 1, 2, 3, 5 and 30 degrees of freedom."""
    known = {1: 12.706, 2: 4.303, 3: 3.182, 5: 2.571, 30: 2.042}
    found = {freedom: round(student_quantile(0.95, freedom), 3) for freedom in known}
    assert found == known
    assert student_quantile(0.9999, 3) == pytest.approx(28.000, abs=1e-3)
    assert student_tail(2.0, 5) + student_tail(-2.0, 5) == pytest.approx(1.0)
    assert student_tail(2.571, 5) == pytest.approx(0.025, abs=1e-4)
    assert (student_tail(9.0, 0), student_quantile(0.95, 0)) == (0.5, float("inf"))


def test_a_few_large_differences_are_no_normal_distribution():
    """Three equal differences of any size have p = 1/8; beside small ones the large one decides."""
    assert sign_flip_p_value([10**9] * 3) == 1 / 8
    assert sign_flip_p_value([10**9 + n for n in range(3)]) == pytest.approx(1 / 8)
    assert sign_flip_p_value([10**9, *range(1, 25)]) > 0.4


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e90])
def test_the_scale_of_scores_does_not_matter(scale):
    differences = [(str(n), scale * (1 + n % 3)) for n in range(20)]
    gain = measure_mean_gain(differences, span=max(1.0, 3 * scale))
    assert gain.p_better == 2**-20
    assert 0 < gain.low < gain.gain


def test_two_tasks_that_are_lost_show_no_share_of_losses():
    tasks = [PairedTask(str(n), str(n), 1, 0, 1, solved=1, repeats=2) for n in range(2)]
    found = measure_excess_loss(tasks)
    assert found.excess == 1.0
    assert student_tail((found.excess - 0.1) / found.error, found.freedom) > 0.05


def test_losses_beyond_those_of_the_base_itself():
    """Each of 20 tasks was solved once; the base fails 5 of 40 repeats, the new version 6 of 20."""
    tasks = [
        PairedTask(str(n), str(n), 1, 0, int(n < 6), solved=1, repeats=2, lost_again=int(n < 5))
        for n in range(20)
    ]
    found = measure_excess_loss(tasks)
    assert found.excess == pytest.approx(6 / 20 - 5 / 40)
    assert 0.04 < found.error < 0.15
    never = measure_excess_loss([task._replace(repeats=0, lost_again=0) for task in tasks])
    assert (never.repeats, never.excess) == (0, 0.3)


def test_equal_noisy_versions_have_no_excess_on_average():
    rng, total = random.Random(11), 0.0
    for _ in range(200):
        tasks = []
        for n in range(60):
            rate = rng.betavariate(2, 1.4)
            solved, again = rng.random() < rate, sum(rng.random() > rate for _ in range(2))
            lost = solved and rng.random() > rate
            tasks.append(
                PairedTask(str(n), str(n), 1, 0, int(lost), int(solved), 2 * solved, again * solved)
            )
        total += measure_excess_loss(tasks).excess
    assert abs(total / 200) < 0.015


def test_holm_steps_down_and_keeps_the_order():
    assert holm_adjust({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06}
    )
    assert holm_adjust({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm_adjust({}) == {}


def test_levels_of_all_decisions_add_up_to_no_more_than_the_whole():
    levels = [spend_level(0.05, n) for n in range(1, 1001)]
    assert levels[0] == 0.025
    assert sum(levels) + level_left(0.05, 1000) == pytest.approx(0.05)
    assert levels == sorted(levels, reverse=True)


def test_the_number_of_tasks_is_that_of_connors_formula():
    """Gain .1, lost .05: psi = .2; (1.96 sqrt(.2) + .8416 sqrt(.19))^2 / .01 = 154.5."""
    assert count_tasks_needed(0.1) == 155
    assert count_tasks_needed(0.1, design_effect=3) == 464
    assert smallest_detectable_gain(155) == pytest.approx(0.1, abs=1e-3)
    assert smallest_detectable_gain(3) is None


def test_the_planned_number_of_tasks_shows_the_gain_as_often_as_planned():
    rng, shown = random.Random(1), 0
    for _ in range(400):
        moves = rng.choices((1, -1, 0), (0.15, 0.05, 0.8), k=count_tasks_needed(0.1))
        shown += measure_gain(tasks_of(list(enumerate(moves)))).p_better <= 0.025
    assert 0.72 <= shown / 400 <= 0.87
