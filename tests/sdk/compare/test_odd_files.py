"""Odd values, names and forms in files of results neither end the reading nor change other entries."""

from __future__ import annotations

import json
import shutil
import zipfile

import pytest
from typer.testing import CliRunner

from burnish.cli.app import build_app
from burnish.compare import compare_files, read_results, render_markdown

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
