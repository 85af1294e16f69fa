"""Verifiers and rewards are measured before they are trusted; held-out data stays out."""

import pytest

from burnish.errors import ExportError
from burnish_exporters import build_dataset
from burnish_exporters.curate.steps.contamination import OverlapIndex, read_benchmark
from burnish_exporters.verify import audit, audit_sample, tpe, wilson


def test_the_wilson_interval_of_nine_in_ten():
    """Centre (.9 + 3.8415/20) / 1.38415 = .7890, half width 1.96 sqrt(.009 + .0096) / 1.38415 = .1931."""
    rate = wilson(9, 10)

    assert rate.rate == 0.9
    assert (rate.low, rate.high) == (
        pytest.approx(0.5958, abs=1e-3),
        pytest.approx(0.9821, abs=1e-3),
    )
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


def test_precision_and_recall_are_of_the_verifiers_successes():
    """It claims 4 successes of which 3 are; 5 runs are successes; one truth is unknown and says nothing."""
    said_and_true = [("success", "success")] * 3 + [("success", "fail"), ("fail", "success")]
    said_and_true += [("unknown", "success"), ("success", "unknown"), ("fail", "fail")]

    quality = audit(said_and_true)

    assert (quality.precision.successes, quality.precision.total) == (3, 4)
    assert (quality.recall.successes, quality.recall.total) == (3, 5)
    assert (quality.unknown, quality.labelled, quality.trusted) == (1, 7, False)


def test_a_verifier_is_trusted_from_the_floor_on():
    """Without an error, 34 successes have a lower bound under .9, 40 above."""
    assert not audit([("success", "success")] * 34).trusted
    assert audit([("success", "success")] * 40).trusted
    assert audit([("success", "success")] * 34, floor=0.8).trusted


def test_a_sample_is_random_repeatable_and_of_the_size_that_was_asked_for(make_run):
    runs = [make_run(n) for n in range(50)]

    one, two, other = (audit_sample(iter(runs), 10, seed=seed) for seed in (1, 1, 2))

    assert one == two != other
    assert len({run.id for run in one}) == 10
    assert len(audit_sample(runs, 100)) == 50


GOOD, BAD = [{"ok": 1, "size": n} for n in range(20)], [{"ok": 0, "size": n} for n in range(20)]


@pytest.mark.parametrize(
    ("reward", "auc", "accepted"),
    [
        (lambda run: run["ok"], 1.0, True),
        (lambda run: 0, 0.5, False),
        (lambda run: run["size"], 0.5, False),
        (lambda run: -run["ok"], 0.0, False),
        (lambda run: 1 / 0, 0.0, False),
        (lambda run: float("nan"), 0.0, False),
    ],
)
def test_a_reward_is_accepted_only_if_it_ranks_successes_above_failures(reward, auc, accepted):
    check = tpe(reward, GOOD, BAD)

    assert (check.auc, check.accepted) == (auc, accepted)
    assert bool(check.counterexamples) == (not accepted)


def test_the_worst_counterexample_comes_first():
    check = tpe(lambda run: run["size"], [{"size": 3}, {"size": 9}], [{"size": 1}, {"size": 8}])

    assert check.counterexamples == [{"success": 0, "failure": 1, "rewards": [3.0, 8.0]}]


LONG = "please tell me in which city the order of my colleague with the blue coat was left"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (LONG, "exact"),
        (LONG.upper() + "!", "exact"),
        (f"Hello. {LONG} yesterday", "13-gram"),
        ("where is my order please now today", "near duplicate"),
        ("where is my parcel", None),
        ("cancel order 18", None),
        ("", None),
    ],
)
def test_overlap_has_three_kinds_and_another_number_is_another_request(text, kind):
    held = OverlapIndex([LONG, "Where is my order, please, now?", "cancel order 17"])

    assert held.find_overlap(text) == kind


def test_benchmark_files_hold_lines_or_json_lines(tmp_path):
    path = tmp_path / "bench.jsonl"
    path.write_text(
        'plain line\n"quoted"\n{"question": "q?"}\n'
        '{"messages": [{"role": "user", "content": "asked"}, {"role": "assistant", "content": "no"}]}\n'
    )

    assert read_benchmark(path) == ["plain line", "quoted", "q?", "asked"]
    with pytest.raises(ExportError, match="benchmark file"):
        read_benchmark(tmp_path / "none")


def test_requests_of_a_named_benchmark_never_enter_training(make_run, tmp_path):
    (tmp_path / "bench.txt").write_text("Where is order 1?\n")

    version = build_dataset(
        [make_run(1), make_run(2)],
        agent="support",
        verify=["outcome"],
        recipe={"benchmarks": [str(tmp_path / "bench.txt")]},
    )

    assert [row["task_id"] for row in version.rows()] == ["task-2"]
    dropped = {r: n for stage in version.manifest.funnel for r, n in stage["dropped"].items()}
    assert dropped == {"contamination: exact": 1}
