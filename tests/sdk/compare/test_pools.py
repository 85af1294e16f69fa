"""Pools of tasks are compared apart: the held-out tasks decide, the others are guards, tasks of training decide nothing."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from burnish.cli.app import build_app
from burnish.compare import compare_files, read_results, render_markdown
from burnish.errors import EvaluationError


def attempts(pool, solved, tasks=40, **fields):
    """An arm's attempts at tasks of a pool, of which the first ones are solved."""
    return [
        {
            "task_id": f"t{n}", "pool": pool, "kind": "k", "attempt": 1,
            "label": "success" if n < solved else "fail", "cost": {"output_tokens": 10.0}, **fields,
        }
        for n in range(tasks)
    ]  # fmt: skip


def undecided(pool, tasks):
    return attempts(pool, 0, tasks, label="unknown", infrastructure=True)


@pytest.fixture
def compare(tmp_path):
    def run(before, after, **options):
        paths = tmp_path / "a.json", tmp_path / "b.json"
        for path, arm in zip(paths, (before, after), strict=True):
            path.write_text(json.dumps(arm))
        return compare_files(*paths, **options)

    return run


@pytest.fixture
def exit_code(tmp_path):
    def run(*more):
        words = ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), *more]
        return CliRunner().invoke(build_app(), words).exit_code

    return run


def test_a_gain_on_heldout_tasks_is_not_mixed_with_a_loss_on_a_guard(compare, exit_code):
    before = attempts("heldout", 10) + attempts("standing", 30)
    report = compare(before, attempts("heldout", 30) + attempts("standing", 5))
    assert (report.pool, report.tasks, report.gain) == ("heldout", 40, 0.5)
    (guard,) = report.guards
    assert (guard.pool, guard.gain, guard.verdict) == ("standing", -25 / 40, "a_better")
    assert (report.verdict, report.broken_guards) == ("guard_broken", ["standing"])
    assert "does not hold the guards (standing)" in render_markdown(report)
    for wanted in ("better", "not-worse", "non-inferior"):
        assert exit_code("--require", wanted) == 3


def test_a_guard_that_holds_leaves_the_verdict_to_the_heldout_tasks(compare, exit_code):
    before = attempts("heldout", 10) + attempts("standing", 30)
    report = compare(before, attempts("heldout", 30) + attempts("standing", 29))
    assert (report.verdict, report.broken_guards) == ("b_better", [])
    assert exit_code() == 0
    assert "guard holds: success -2.5 points" in render_markdown(report)


def test_guards_are_corrected_together(compare):
    """6 lost of 40 is p = 1/32 alone, and 3/32 as the smallest of three."""
    before, after = [], []
    for pool, lost in (("heldout", -20), ("standing", 6), ("capability", 0), ("edge", 0)):
        before += attempts(pool, 20)
        after += attempts(pool, 20 - lost)
    report = compare(before, after)
    assert {one.pool: one.p_value for one in report.guards} == {
        "standing": pytest.approx(3 / 32),
        "capability": 1.0,
        "edge": 1.0,
    }
    assert report.verdict == "b_better"
    alone = compare(before[:80], after[:80])
    assert alone.guards[0].p_value == pytest.approx(1 / 32)
    assert alone.verdict == "guard_broken"


def test_tasks_of_training_are_shown_and_decide_nothing(compare):
    before = attempts("heldout", 10) + attempts("train", 40)
    report = compare(before, attempts("heldout", 30) + attempts("train", 10))
    assert (report.verdict, list(report.guards)) == ("b_better", [])
    assert [one.pool for one in report.shown] == ["train"]
    assert "tasks of training decide nothing" in render_markdown(report)


def test_a_guard_without_any_result_of_b_does_not_hold(compare, exit_code):
    before = attempts("heldout", 10) + attempts("standing", 30)
    report = compare(before, attempts("heldout", 30) + undecided("standing", 40))
    assert (report.verdict, report.unmeasured) == ("guard_broken", ["standing"])
    assert "left every result out" in render_markdown(report)
    assert exit_code() == 3


def test_a_guard_that_b_did_not_attempt_is_named(compare):
    report = compare(attempts("heldout", 10) + attempts("standing", 30), attempts("heldout", 30))
    assert (report.verdict, report.uncompared) == ("b_better", {"standing": 40})
    assert "standing: 40 tasks of one file alone" in render_markdown(report)


def test_attempts_that_are_left_out_count_as_lacking_where_others_of_the_task_remain(compare):
    """Of two attempts at each task, B's failed one ended without a result in 20 tasks."""
    twice = [{**one, "attempt": n} for one in attempts("heldout", 20) for n in (1, 2)]
    after = [
        {**one, "label": "unknown" if one["attempt"] == 2 and n < 40 else "success"}
        for n, one in enumerate(twice)
    ]
    report = compare(twice, after)
    assert (report.tasks, report.lacking, report.verdict) == (40, "b", "not_shown")


def test_the_pool_that_decides_can_be_named_and_must_be_common(compare, exit_code):
    before = attempts("standing", 10) + attempts("capability", 10)
    after = attempts("standing", 30) + attempts("capability", 10)
    with pytest.raises(EvaluationError, match="no task of the pool heldout in common, only of"):
        compare(before, after)
    assert exit_code() == 1
    report = compare(before, after, pool="standing")
    assert (report.pool, report.verdict) == ("standing", "b_better")
    assert exit_code("--pool", "standing") == 0
    assert exit_code("--pool", "edge") == 1
    alone = compare(before[:40], after[:40])
    assert (alone.pool, alone.verdict) == ("standing", "b_better")


def test_lines_may_name_a_pool(tmp_path):
    entries = [
        {"task": "x", "success": True, "pool": "standing"},
        {"task": "x", "success": False},
        {"task": "x", "success": False, "pool": []},
    ]
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(map(json.dumps, entries)))
    found = read_results(path)
    assert [(o.pool, o.task, o.value) for o in found.outcomes] == [
        ("standing", "x", 1.0),
        ("heldout", "x", 0.0),
    ]
    assert dict(found.dropped) == {"a pool that is not a name": 1}


def test_the_terminal_shows_costs_and_guards(compare, tmp_path):
    before = attempts("heldout", 10) + attempts("standing", 30)
    compare(before, attempts("heldout", 30, cost={"output_tokens": 5}) + attempts("standing", 30))
    words = ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    said = CliRunner().invoke(build_app(), words).stdout
    assert "cost of an attempt: 10 output tokens -> 5 output tokens" in said
    assert "cost per success: 40 output tokens -> 6.667 output tokens" in said
    assert "guard holds" in said


def test_the_log_of_an_unfinished_arm_is_read(tmp_path):
    results = [{"result": one} for one in attempts("heldout", 1, tasks=2)]
    ended = [
        {"ended": {"task_id": f"t{n}", "pool": "heldout", "kind": "k", "attempt": 1}}
        for n in (1, 2)
    ]
    path = tmp_path / "arm.jsonl"
    path.write_text("\n" + "\n".join(json.dumps(one) for one in [*ended, *results]) + '\n{"resu')
    found = read_results(path)
    assert (found.format, [o.value for o in found.outcomes]) == ("burnish", [1.0, 0.0])
    assert dict(found.dropped) == {
        "an attempt that ended and has no result yet": 1,
        "a line that is cut or damaged": 1,
    }
    path.write_text(json.dumps(results[0]))
    assert len(read_results(path).outcomes) == 1
