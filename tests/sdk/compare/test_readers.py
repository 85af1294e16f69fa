"""Files that Inspect 0.3, MLflow 3, tau2-bench and burnish wrote themselves are read as what they say.

The files in `files/` were written by the tools: an Inspect task with a model that answers four sums, MLflow's
`genai.evaluate` and `models.evaluate`, and `Results.save` of tau2-bench. MLflow's were cut to some of their rows.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import msgspec
import pytest

from burnish.compare import compare_files, read_results
from burnish.errors import EvaluationError
from burnish.records import Evaluation, PoolComparison, TaskComparison
from burnish.statistics import wilson_rate

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize("ending", ["json", "eval"])
def test_inspect_logs_are_read_by_sample_and_epoch(ending):
    found = read_results(FILES / f"inspect-after.{ending}")
    raw = json.loads((FILES / "inspect-after.json").read_text())["samples"]
    assert found.format == "inspect"
    assert {o.task for o in found.outcomes} == {f"q{n}" for n in range(4)}
    assert {o.attempt for o in found.outcomes} == {1}
    if ending == "json":
        said = {s["id"]: s["scores"]["match"]["value"] for s in raw}
        assert {o.task: o.value for o in found.outcomes} == {
            task: float(grade == "C") for task, grade in said.items()
        }
        assert {o.cost for o in found.outcomes} == {3.0, 4.0}


def test_both_forms_of_an_inspect_log_compare_alike():
    reports = [
        compare_files(FILES / f"inspect-before.{ending}", FILES / f"inspect-after.{ending}")
        for ending in ("json", "eval")
    ]
    assert all(report.tasks == 4 for report in reports)
    assert all(report.gain >= 0 for report in reports)


def test_an_inspect_archive_that_is_cut_or_damaged_is_named(tmp_path):
    whole = (FILES / "inspect-after.eval").read_bytes()
    cut = tmp_path / "cut.eval"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EvaluationError):
        read_results(cut)
    with zipfile.ZipFile(FILES / "inspect-after.eval") as archive:
        first = next(i for i in archive.infolist() if i.filename.startswith("samples/"))
    place = first.header_offset + 30 + len(first.filename) + 8
    damaged = tmp_path / "damaged.eval"
    damaged.write_bytes(whole[:place] + bytes(40) + whole[place + 40 :])
    found = read_results(damaged)
    assert len(found.outcomes) == 3
    assert dict(found.dropped) == {"a sample that is damaged or has no id": 1}


@pytest.mark.parametrize("form", ["table", "rows", "traces"])
def test_mlflow_runs_are_read_in_each_form(form):
    found = read_results(FILES / f"mlflow-after-{form}.json")
    assert found.format == "mlflow"
    assert not found.dropped
    assert {o.value for o in found.outcomes} <= {0.0, 1.0}
    names = {o.task for o in found.outcomes}
    assert ("3+1" in names) if form == "table" else ('{"question": "3+1"}' in names)
    report = compare_files(
        FILES / f"mlflow-before-{form}.json", FILES / f"mlflow-after-{form}.json"
    )
    assert report.tasks == len(names)
    assert report.gain > 0


def test_an_expectation_of_mlflow_is_no_score_and_another_metric_is_refused():
    with pytest.raises(EvaluationError, match="has the metrics correct, not 'answer'"):
        read_results(FILES / "mlflow-after-traces.json", metric="answer")


def test_tau2_results_are_read_by_trial_without_errors_of_the_infrastructure():
    raw = json.loads((FILES / "tau2-after.json").read_text())["simulations"]
    found = read_results(FILES / "tau2-after.json")
    assert (found.format, len(found.outcomes)) == ("tau2", len(raw) - 1)
    assert dict(found.dropped) == {"ended by infrastructure_error": 1}
    solved = sum(s["reward_info"]["reward"] for s in raw if s["reward_info"])
    assert sum(o.value for o in found.outcomes) == solved
    report = compare_files(FILES / "tau2-before.json", FILES / "tau2-after.json")
    assert (report.tasks, report.families, report.a.attempts) == (8, 8, 23)
    assert report.verdict == "b_better"
    assert report.a.cost == pytest.approx(0.0133, abs=1e-3)


def evaluation(path, after):
    """A burnish evaluation of 20 tasks of which 8 were solved before, and these numbers now."""
    tasks = [
        TaskComparison(
            task=f"t{n}",
            family=f"t{n}",
            pairs=1,
            won=int(n >= 8 and n in after),
            lost=int(n < 8 and n not in after),
            solved=int(n < 8),
            cost={"output_tokens": (40.0, 30.0)},
        )
        for n in range(20)
    ]
    won, lost = sum(t.won for t in tasks), sum(t.lost for t in tasks)
    pool = PoolComparison(
        pool="heldout",
        before=wilson_rate(8, 20),
        after=wilson_rate(8 + won - lost, 20),
        gain=(won - lost) / 20,
        ci95=(-1, 1),
        won=won,
        lost=lost,
        p_value=1.0,
        tasks=tasks,
    )
    found = Evaluation(
        agent="a", base_model="b", before=None, after="x", pools={"heldout": pool}, trajectories=0
    )
    path.write_bytes(msgspec.json.encode(found))
    return path


def test_a_burnish_evaluation_holds_two_sides(tmp_path):
    path = evaluation(tmp_path / "evaluation.json", range(1, 18))
    report = compare_files(f"{path}#before", path)
    assert (report.a.name, report.b.name) == ("evaluation.json#before", "evaluation.json#after")
    assert (report.a.mean, report.b.mean) == (0.4, 0.85)
    assert (len(report.fixed), report.broken) == (10, ["t0"])
    assert (report.a.cost, report.b.cost, report.verdict) == (40.0, 30.0, "b_better")
    other = evaluation(tmp_path / "other.json", range(4))
    assert compare_files(path, other).verdict == "a_better"


def test_a_cached_arm_is_read_and_undecided_attempts_are_counted(tmp_path):
    arm = [
        {"task_id": f"t{n}", "pool": "standing", "attempt": 1, "label": label, "cost": {}}
        for n, label in enumerate(["success", "fail", "unknown"])
    ]
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(arm))
    found = read_results(path)
    assert [(o.pool, o.task, o.value) for o in found.outcomes] == [
        ("standing", "t0", 1.0),
        ("standing", "t1", 0.0),
    ]
    assert dict(found.dropped) == {"no verifier could decide it": 1}


@pytest.mark.parametrize(
    "content",
    [
        {"pools": {"heldout": {"tasks": [7, None]}}},
        {"pools": {"heldout": {"tasks": [{"task": "x"}]}}},
        {"pools": {"heldout": 3}},
        {"simulations": [3, {"task_id": "x", "reward_info": 7}, {"task_id": None}]},
        {"eval": {}, "samples": [3, {"id": "x"}, {"id": "x", "scores": {"m": 7}}]},
        {"columns": ["inputs", "m/score"], "data": [3, [], ["x", None], ["x", [1]]]},
        {"traces": [3, {"info": 7}, {"info": {"trace_id": "x", "assessments": [7]}}]},
        [{"task_id": 7, "label": "x"}, 3],
        [{"info": {"trace_id": "t", "tags": 7, "assessments": 8}}],
    ],
)
def test_what_only_looks_like_a_known_format_is_one_clear_error(tmp_path, content):
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(content, indent=1))
    with pytest.raises(EvaluationError):
        read_results(path)
