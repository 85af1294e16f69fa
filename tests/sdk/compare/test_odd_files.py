"""Odd values, names and forms in files of results neither end the reading nor change other entries."""

from __future__ import annotations

import json
import shutil
import zipfile

import pytest
from typer.testing import CliRunner

from burnish.cli.app import build_app
from burnish.compare import compare_files, read_results, render_markdown
from burnish.errors import EvaluationError

SAMPLE = {"id": "q", "epoch": 1, "scores": {"match": {"value": "C"}}}


def write(path, value):
    path.write_text(json.dumps(value))
    return path


def write_lines(path, entries, **options):
    path.write_text("\n".join(json.dumps(one, **options) for one in entries), encoding="utf-8")
    return path


@pytest.mark.parametrize("score", [10**400, -(10**400), 1e308, float("inf")])
def test_scores_that_cannot_be_added_up_are_left_out_and_counted(tmp_path, score):
    entries = [{"task": "a", "score": score}, {"task": "b", "score": 0.5}]
    found = read_results(write_lines(tmp_path / "r.jsonl", entries))

    assert [o.task for o in found.outcomes] == ["b"]
    assert dict(found.dropped) == {"a score that is not a finite number": 1}


def test_other_characters_that_end_a_line_stay_in_a_name(tmp_path):
    """JSON texts may hold U+2028 and U+0085 as they are."""
    entries = [{"task": "one\u2028two\u0085three", "success": True}, {"task": "b", "success": 1}]
    found = read_results(write_lines(tmp_path / "r.jsonl", entries, ensure_ascii=False))

    assert len(found.outcomes) == 2
    assert not found.dropped


def test_half_a_surrogate_pair_in_a_name_does_not_end_the_comparison(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"task": "\\ud83d", "success": true}\n{"task": "b", "success": true}\n')
    report = compare_files(path, path)

    assert report.tasks == 2
    render_markdown(report).encode()


def test_a_table_that_wrote_attempts_as_floats_is_read(tmp_path):
    entries = [{"task": "a", "success": True, "attempt": 1.0}, {"task": "a", "success": False, "attempt": 1.5}]  # fmt: skip
    found = read_results(write_lines(tmp_path / "r.jsonl", entries))

    assert [o.attempt for o in found.outcomes] == [1]
    assert dict(found.dropped) == {"an attempt that is not an integer": 1}


def test_names_steer_no_terminal_and_become_no_links(tmp_path):
    name = "\x1b[31mred\x1b]0;title\x07\u202e![x](http://example.com)"
    paths = [
        write_lines(tmp_path / f"{side}.jsonl", [{"task": name, "success": bool(side)}])
        for side in (0, 1)
    ]
    said = CliRunner().invoke(build_app(), ["compare", *map(str, paths)]).stdout
    text = render_markdown(compare_files(*paths))

    assert "red" in said
    assert all(char.isprintable() or char == "\n" for char in said + text)
    assert "](" not in text


def test_a_long_name_of_a_file_cuts_no_figure_off(tmp_path):
    path = write_lines(tmp_path / f"{'x' * 230}.jsonl", [{"task": "a", "success": True}])
    text = render_markdown(compare_files(path, path))

    assert "(exact McNemar)**" in text.splitlines()[0]


@pytest.mark.parametrize(
    ("value", "grade"),
    [("C", 1.0), ("yes", 1.0), ("True", 1.0), ("No", 0.0), ("0.25", 0.25), (True, 1.0), (3, 3.0)],
)
def test_grades_of_inspect_are_converted_as_inspect_does(tmp_path, value, grade):
    log = {"eval": {}, "samples": [{**SAMPLE, "scores": {"m": {"value": value}}}]}
    (found,) = read_results(write(tmp_path / "log.json", log)).outcomes

    assert found.value == grade


def test_samples_that_were_marked_as_invalid_are_left_out(tmp_path):
    invalid = {**SAMPLE, "id": "r", "invalidation": {"author": "me"}}
    found = read_results(write(tmp_path / "l.json", {"eval": {}, "samples": [SAMPLE, invalid]}))

    assert [o.task for o in found.outcomes] == ["q"]
    assert dict(found.dropped) == {"marked as invalid": 1}


def test_logs_of_early_versions_of_inspect_hold_one_score(tmp_path):
    early = {"id": 1, "epoch": 1, "score": {"value": "I", "answer": "x"}}
    (found,) = read_results(write(tmp_path / "l.json", {"eval": {}, "samples": [early]})).outcomes

    assert (found.task, found.value) == ("1", 0.0)


def test_an_archive_whose_samples_lie_in_folders_is_read_without_their_transcripts(tmp_path):
    path = tmp_path / "chunked.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("samples/q_epoch_1/sample.json", json.dumps(SAMPLE))
        archive.writestr("samples/q_epoch_1/messages/0.json", "[]")
        archive.writestr("samples/q_epoch_1/events/stats.json", "{}")
        archive.writestr("samples/r_epoch_1.json", json.dumps({**SAMPLE, "id": "r"}))
    found = read_results(path)

    assert {o.task for o in found.outcomes} == {"q", "r"}
    assert not found.dropped


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_a_sample_that_was_written_twice_the_later_one_counts(tmp_path):
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w") as archive:
        for grade in ("I", "C"):
            sample = {**SAMPLE, "scores": {"match": {"value": grade}}}
            archive.writestr("samples/q_epoch_1.json", json.dumps(sample))

    assert [o.value for o in read_results(path).outcomes] == [1.0]


def test_an_assessment_that_a_person_overrode_does_not_count(tmp_path):
    def assessment(value, **fields):
        return {"assessment_name": "correct", "feedback": {"value": value}, **fields}

    info = {
        "trace_id": "t",
        "tags": {"task": "a"},
        "assessments": [assessment("no"), assessment("yes", valid=False)],
    }
    (found,) = read_results(write(tmp_path / "traces.json", [{"info": info}])).outcomes

    assert found.value == 0.0


def test_results_of_tau_bench_are_read_by_trial(tmp_path):
    runs = [
        {"task_id": n, "reward": float(n % 2), "info": {}, "traj": [], "trial": trial}
        for n in range(3)
        for trial in range(2)
    ]
    found = read_results(write(tmp_path / "gpt-4o-airline.json", runs))

    assert (found.format, len(found.outcomes)) == ("tau-bench", 6)
    assert {(o.task, o.value) for o in found.outcomes} == {("0", 0.0), ("1", 1.0), ("2", 0.0)}


def test_an_attempt_that_the_backend_ended_is_told_from_one_without_a_verdict(tmp_path):
    arm = [
        {"task_id": "a", "label": "success", "attempt": "x"},
        {"task_id": "b", "label": "unknown", "infrastructure": True},
        {"task_id": "c", "label": "unknown"},
    ]
    path = write(tmp_path / "arm.json", arm)
    found = read_results(path)

    assert dict(found.dropped) == {
        "ended by an error of the backend": 1,
        "no verifier could decide it": 1,
    }
    other = tmp_path / "again.json"
    shutil.copy(path, other)
    assert compare_files(path, other).tasks == 1


def test_small_scores_beside_one_large_one_still_count(tmp_path):
    """40 tasks rise by a ten-thousandth each: every difference points the same way."""
    before = [{"task": f"t{n}", "score": 1e-4 * n} for n in range(40)]
    after = [{**one, "score": one["score"] + 1e-4 + 1e-6 * n} for n, one in enumerate(before)]
    report = compare_files(
        write_lines(tmp_path / "a.jsonl", before), write_lines(tmp_path / "b.jsonl", after)
    )

    assert report.verdict == "b_better"
    assert report.p_value < 1e-6


def test_a_metric_that_a_file_does_not_have_and_mixed_results_are_told(tmp_path):
    entries = [{"task": "a", "success": True}, {"task": "b", "score": 0.5}]
    path = write_lines(tmp_path / "r.jsonl", entries)
    text = render_markdown(compare_files(path, path, metric="f1"))

    assert "--metric f1 says nothing" in text
    assert "1 successes beside 1 scores" in text


def test_a_score_of_a_task_that_only_one_file_has_changes_no_test(tmp_path):
    tasks = [{"task": f"t{n}", "success": True} for n in range(4)]
    more = [*tasks, {"task": "alone", "score": 0.5}]
    paths = write_lines(tmp_path / "a.jsonl", tasks), write_lines(tmp_path / "b.jsonl", more)

    assert compare_files(*paths).metric == "success"


@pytest.mark.parametrize(
    ("cost", "reason"),
    [
        ("0.5", "a cost that is not a finite number"),
        (float("nan"), "a cost that is not a finite number"),
        (True, "a cost that is not a finite number"),
        ([1], "a cost that is not a finite number"),
        (-1, "a cost below 0"),
    ],
)
def test_a_bad_cost_is_counted_and_shown_and_its_outcome_kept(tmp_path, cost, reason):
    entries = [{"task": "a", "success": True, "cost": cost}, {"task": "b", "success": True, "cost": 2}]  # fmt: skip
    path = write_lines(tmp_path / "r.jsonl", entries)
    found = read_results(path)
    assert (len(found.outcomes), dict(found.dropped)) == (2, {})
    assert dict(found.ignored) == {reason: 1}
    said = CliRunner().invoke(build_app(), ["compare", str(path), str(path)]).stdout
    assert f"1 values are ignored: {reason}" in said
    assert "1 of 2 attempts of " in said
    assert "cost of an attempt: 2 cost -> 2 cost" in said


def test_a_bad_cost_is_counted_in_each_format(tmp_path):
    sample = {**SAMPLE, "model_usage": {"m": {"output_tokens": "many"}}}
    forms = {
        "inspect": {"eval": {}, "samples": [sample]},
        "tau2": {"simulations": [{"task_id": "a", "reward_info": {"reward": 1}, "agent_cost": "x"}]},
        "arm": [{"task_id": "a", "label": "success", "cost": {"output_tokens": "x"}}],
        "mlflow": {"columns": ["task", "m/score", "cost"], "data": [["a", 1, "x"]]},
    }  # fmt: skip
    for name, content in forms.items():
        found = read_results(write(tmp_path / f"{name}.json", content))
        assert dict(found.ignored) == {"a cost that is not a finite number": 1}, name


def test_a_family_of_a_wrong_form_is_counted(tmp_path):
    entries = [{"task": "a", "success": True, "cluster": ["x"]}]
    found = read_results(write_lines(tmp_path / "r.jsonl", entries))
    assert dict(found.ignored) == {"a family that is neither a text nor an integer": 1}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_is_read_in_the_encoding_that_its_mark_names(tmp_path, encoding, end):
    entries = [{"task": "prüfen", "success": True}, {"task": "b", "success": False}]
    path = tmp_path / "r.jsonl"
    text = end.join(json.dumps(one, ensure_ascii=False) for one in entries)
    path.write_bytes((text + end).encode(encoding))
    found = read_results(path)
    assert [(o.task, o.value) for o in found.outcomes] == [("prüfen", 1.0), ("b", 0.0)]
    assert not found.dropped


def test_lines_of_another_encoding_are_left_out_so_that_no_two_tasks_become_one(tmp_path):
    lines = ['{"task": "é", "success": true}', '{"task": "è", "success": false}', '{"task": "b", "success": true}']  # fmt: skip
    path = tmp_path / "r.jsonl"
    path.write_bytes("\n".join(lines).encode("latin-1"))
    found = read_results(path)
    assert [o.task for o in found.outcomes] == ["b"]
    assert dict(found.dropped) == {"bytes that are not UTF-8": 2}


def test_a_document_of_another_encoding_is_refused_with_the_command(tmp_path):
    log = {"eval": {}, "samples": [{**SAMPLE, "id": "é"}]}
    path = tmp_path / "log.json"
    path.write_bytes(json.dumps(log, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(EvaluationError, match="bytes that are not UTF-8") as refused:
        read_results(path)
    assert "iconv" in refused.value.fix


def test_files_that_were_joined_keep_the_lines_at_their_joints(tmp_path):
    line = json.dumps({"task": "a", "success": True})
    path = tmp_path / "r.jsonl"
    path.write_text(f"\ufeff{line}\n\ufeff{line.replace('a', 'b', 1)}\n", encoding="utf-8")
    path.write_text(f"\ufeff{line}\n\ufeff" + json.dumps({"task": "b", "success": True}))
    assert [o.task for o in read_results(path).outcomes] == ["a", "b"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n \n", b"\xef\xbb\xbf", b"\xff\xfe"],
    ids=["bytes", "lines", "utf-8", "utf-16"],
)
def test_an_empty_file_is_called_empty(tmp_path, content):
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match="is empty"):
        read_results(path)


def test_many_tasks_are_compared(tmp_path):
    """400 won and 300 lost of 20,000: the exact p-value of 400 heads of 700."""
    pairs = [(0, 1)] * 400 + [(1, 0)] * 300 + [(1, 1)] * 19_300
    paths = [
        write_lines(tmp_path / f"{side}.jsonl", [{"task": f"t{n}", "success": pair[side]} for n, pair in enumerate(pairs)])
        for side in (0, 1)
    ]  # fmt: skip
    report = compare_files(*paths)
    assert (report.tasks, report.verdict, report.gain) == (20_000, "b_better", 0.005)
    assert report.p_value == pytest.approx(0.000177, rel=0.02)
    assert len(render_markdown(report)) < 5000


def test_errors_of_single_samples_are_left_out_and_their_tasks_are_lacking(tmp_path):
    """B answers 20 of 40 samples in both epochs; the others end by an error in the second one."""

    def log(name, broken):
        samples = [
            {"id": f"q{n}", "epoch": epoch, "scores": {"m": {"value": "C" if epoch == 1 else "I"}},
             **({"error": {"message": "boom"}} if epoch == 2 and n < broken else {})}
            for n in range(40) for epoch in (1, 2)
        ]  # fmt: skip
        return write(tmp_path / name, {"eval": {}, "samples": samples})

    report = compare_files(log("a.json", 0), log("b.json", 20))
    assert dict(report.b.dropped) == {"ended by an error": 20}
    assert (report.gain, report.lacking, report.verdict) == (0.25, "b", "not_shown")
