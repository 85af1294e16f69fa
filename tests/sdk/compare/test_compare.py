"""Two files of results give one verdict, whatever tool wrote them; what cannot be read is counted."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from burnish.cli.app import build_app
from burnish.compare import compare_files, read_results, render_markdown
from burnish.errors import EvaluationError


def write(path, entries):
    path.write_text("\n".join(json.dumps(one) for one in entries) + "\n")
    return path


def results(won, lost, kept=60, failed=40):
    """Results before and after by task: so many are won, lost, kept and failed."""
    pairs = [(0, 1)] * won + [(1, 0)] * lost + [(1, 1)] * kept + [(0, 0)] * failed
    return [
        [{"task": f"t{n}", "success": bool(pair[side])} for n, pair in enumerate(pairs)]
        for side in (0, 1)
    ]


@pytest.fixture
def files(tmp_path):
    def make(before, after):
        return write(tmp_path / "a.jsonl", before), write(tmp_path / "b.jsonl", after)

    return make


def test_a_gain_is_shown_with_its_flips_by_name(files):
    """9 won, 1 lost of 110: p = 22/1024."""
    report = compare_files(*files(*results(9, 1)))
    assert (report.verdict, report.metric, report.tasks) == ("b_better", "success", 110)
    assert report.p_value == pytest.approx(22 / 1024)
    assert report.test == "exact McNemar"
    assert report.fixed == [f"t{n}" for n in range(9)]
    assert report.broken == ["t9"]
    assert (report.a.mean, report.b.mean) == (61 / 110, 69 / 110)
    assert report.interval[0] > 0


def test_the_other_way_round_it_is_a_loss_and_a_few_flips_show_nothing(files, tmp_path):
    before, after = files(*results(9, 1))
    assert compare_files(after, before).verdict == "a_better"
    few = compare_files(*files(*results(4, 2)))
    assert few.verdict == "not_shown"
    assert few.tasks_needed is not None
    assert few.smallest_gain is not None
    assert few.tasks_needed > 106
    assert few.smallest_gain > 0.04


def test_clusters_and_attempts_count_once(files):
    """12 won and 0 lost in 2 clusters of 6 is 2 to 0: p = 1/2."""
    before, after = results(12, 0)
    for side in (before, after):
        for n, one in enumerate(side):
            one["cluster"] = n // 6
    report = compare_files(*files(before, after))
    assert report.verdict == "not_shown"
    assert report.p_value == 0.5
    assert report.test == "exact sign flips over families"

    attempts = [
        [
            {"task": f"t{n}", "success": k < solved, "attempt": k}
            for n in range(30)
            for k in range(3)
        ]
        for solved in (1, 2)
    ]
    report = compare_files(*files(*attempts))
    assert (report.tasks, report.families, report.gain) == (30, 30, pytest.approx(1 / 3))
    assert (report.verdict, len(report.unsteady), report.fixed) == ("b_better", 30, [])


def test_scores_and_unequal_attempts_are_compared_by_their_means(files):
    rng = random.Random(2)
    before = [{"task": f"t{n}", "score": rng.random() * 0.5} for n in range(40)]
    after = [{**one, "score": one["score"] + 0.1 + 0.05 * rng.random()} for one in before]
    report = compare_files(*files(before, after))
    assert (report.verdict, report.metric) == ("b_better", "score")
    assert 0.1 < report.interval[0] < report.gain < report.interval[1] < 0.15

    single, triple = results(9, 1)[0], [one for one in results(9, 1)[1] for _ in range(3)]
    report = compare_files(*files(single, triple))
    assert (report.metric, report.gain) == ("success", pytest.approx(8 / 110))
    assert report.test == "sign flips over families, t interval"
    assert report.fixed == sorted(f"t{n}" for n in range(9))


def test_equal_files_are_called_different_in_at_most_five_percent(files):
    rng, called = random.Random(4), 0
    for _ in range(100):
        before = [{"task": str(n), "success": rng.random() < 0.6} for n in range(60)]
        after = [{"task": str(n), "success": rng.random() < 0.6} for n in range(60)]
        called += compare_files(*files(before, after)).verdict != "not_shown"
    assert called <= 10  # of 100 at 5 %: more in 1 of 100 seeds


def test_costs_are_compared_per_attempt_and_per_success(files):
    before, after = results(9, 1)
    for side, cost in ((before, 4.0), (after, 3.0)):
        for one in side:
            one["cost"] = cost
    report = compare_files(*files(before, after))
    assert (report.a.cost, report.b.cost) == (4.0, 3.0)
    assert report.a.cost_per_success == pytest.approx(4 * 110 / 61)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not a JSON object"),
        ("7", "not a JSON object"),
        ('{"success": true}', "no task"),
        ('{"task": "", "success": true}', "no task"),
        ('{"task": true, "success": true}', "no task"),
        ('{"task": "x"}', "no success and no score"),
        ('{"task": "x", "success": "yes"}', "a success that is neither true nor false"),
        ('{"task": "x", "success": null, "score": 1}', "a success that is neither true nor false"),
        ('{"task": "x", "score": NaN}', "a score that is not a finite number"),
        ('{"task": "x", "score": "1"}', "a score that is not a finite number"),
        ('{"task": "x", "success": 1, "attempt": "1"}', "an attempt that is not an integer"),
        ("[" * 5000, "not a JSON object"),
    ],
)
def test_a_line_without_an_outcome_is_counted_and_ends_nothing(tmp_path, line, reason):
    path = tmp_path / "r.jsonl"
    path.write_text(f'{{"task": 1, "success": true}}\n{line}\n\n{{"task": "2", "success": 0}}\n')
    found = read_results(path)
    assert [(o.task, o.value) for o in found.outcomes] == [("1", 1.0), ("2", 0.0)]
    assert dict(found.dropped) == {reason: 1}


def test_the_same_attempt_twice_counts_once(tmp_path):
    lines = [
        {"task": "x", "success": True, "attempt": 1},
        {"task": "x", "success": False, "attempt": 1},
    ]
    found = read_results(write(tmp_path / "r.jsonl", lines))
    assert [o.value for o in found.outcomes] == [1.0]
    assert dict(found.dropped) == {"the same attempt twice": 1}


def test_files_that_say_nothing_are_refused(tmp_path, files):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    for path in (empty, tmp_path / "missing.jsonl", tmp_path):
        with pytest.raises(EvaluationError):
            read_results(path)
    (tmp_path / "other.json").write_text('{"name": "x",\n "version": 1}')
    with pytest.raises(EvaluationError, match="none of the known formats"):
        read_results(tmp_path / "other.json")
    with pytest.raises(EvaluationError, match="no task in common: 'p' in one, 'q'"):
        compare_files(*files([{"task": "p", "success": True}], [{"task": "q", "success": True}]))


def test_tasks_of_one_file_alone_are_counted_apart(files):
    before, after = results(9, 1)
    report = compare_files(*files([*before, {"task": "old", "success": True}], after))
    assert (report.tasks, report.a.only_here, report.b.only_here) == (110, 1, 0)
    assert "1 tasks are in a.jsonl alone" in render_markdown(report)


def test_a_file_that_lacks_its_failures_is_not_called_better(files, tmp_path):
    before = [{"task": str(i), "success": i % 10 < 6} for i in range(200)]
    after = [{**one, "success": True if 2 < int(one["task"]) % 10 < 9 else None} for one in before]
    report = compare_files(*files(before, after))
    assert (report.verdict, report.lacking) == ("not_shown", "b")
    assert report.interval[0] > 0.3
    assert sum(report.b.dropped.values()) == 80
    assert "b.jsonl lacks more tasks than chance explains" in render_markdown(report)
    for wanted in ("better", "not-worse", "non-inferior"):
        assert run(tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--require", wanted).exit_code == 3

    turned = compare_files(*files(after, before))
    assert (turned.verdict, turned.lacking) == ("not_shown", "a")


def test_a_file_that_lacks_as_many_tasks_as_the_other_is_judged(files):
    before, after = results(60, 10)
    report = compare_files(*files(before[3:], after[:-3]))
    assert (report.verdict, report.lacking) == ("b_better", None)


def run(*words):
    return CliRunner().invoke(build_app(), ["compare", *map(str, words)])


def test_the_exit_code_is_that_of_what_is_required(files, tmp_path):
    before, after = files(*results(9, 1))
    assert run(before, after).exit_code == 0
    assert run(after, before).exit_code == 3
    assert run(after, before, "--require", "not-worse").exit_code == 3
    assert run(after, before, "--require", "non-inferior", "--margin", "0.3").exit_code == 0
    few = files(*results(4, 2))
    assert run(*few).exit_code == 3
    assert run(*few, "--require", "not-worse").exit_code == 0
    assert "no difference is shown" in run(*few).stdout


def test_the_command_writes_json_and_markdown(files, tmp_path):
    before, after = files(*results(9, 1))
    said = json.loads(run(before, after, "--json").stdout)
    assert (said["verdict"], said["a"]["format"]) == ("b_better", "jsonl")
    run(before, after, "--markdown", tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("**b.jsonl is better: success +7.3 points")
    assert "- fixed (9): `t0`, `t1`" in text


def test_names_of_tasks_do_not_become_markdown(files):
    before, after = results(9, 1)
    for side in (before, after):
        side[0]["task"] = "x`|<script>\n# title"
    text = render_markdown(compare_files(*files(before, after)))
    assert "<script>" not in text
    assert "\n# title" not in text


def test_comparing_imports_no_package_of_training(files):
    before, after = files(*results(9, 1))
    code = (
        "import sys; from burnish.cli import main; sys.argv[1:] = sys.argv[1:]\n"
        "from burnish.compare import compare_files; compare_files(*sys.argv[1:])\n"
        "heavy = {'torch', 'numpy', 'scipy', 'langgraph', 'burnish_trainer', 'burnish_exporters'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(before), str(after)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
