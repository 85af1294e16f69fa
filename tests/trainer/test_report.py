"""A report shows what changed, at what cost and how runs failed, in each of its forms alike."""

import html.parser
import json
import time

import matplotlib as mpl
import msgspec
import pytest
from failed_runs import DOMAINS, make_run, make_success
from typer.testing import CliRunner

import burnish
from burnish.capture.recorder.whole_runs import events_of
from burnish.cli.app import build_app
from burnish.cli.output import print_table
from burnish.errors import EvaluationError
from burnish.records import Decision, Evaluation, RetrainReport
from burnish_trainer.evaluation.comparison import compare_pool, pair_results
from burnish_trainer.evaluation.grading import AttemptResult, measure_cost
from burnish_trainer.report import (
    Prices,
    assemble_report,
    find_report,
    render_markdown,
    render_page,
)
from burnish_trainer.report.pictures import draw_evidence

NAMED = "task <1> | *x*"


def attempt(run, label, task, **fields):
    return AttemptResult(
        task_id=task, pool="heldout", kind="look up", attempt=1, label=label, trajectory_id=run and run.id,
        cost=measure_cost(run) if run else {}, **fields,
    )  # fmt: skip


@pytest.fixture
def evaluated(home):
    """A workspace with an evaluation of three tasks: one fixed, one broken, one whose run is gone."""
    workspace = burnish.Workspace()
    fixed, broken, gone = DOMAINS[:3]
    failing = (fixed.tool, fixed.arguments, "Error: busy")
    runs = [
        [
            make_run(fixed, [failing, failing], "It did not work."),
            make_success(broken),
            make_success(gone),
        ],
        [make_success(fixed), make_run(broken, [], broken.invented), None],
    ]
    tasks = [NAMED, broken.tool, gone.tool]
    stored = [
        [
            run and msgspec.structs.replace(run, id=f"{arm}{number}" * 16, task_id=tasks[number])
            for number, run in enumerate(several)
        ]
        for arm, several in enumerate(runs)
    ]
    for run in [*stored[0][:2], *stored[1][:2]]:
        for event, blobs in events_of(run, time.time_ns()):
            workspace.writer().append(event, blobs)
    before = [
        attempt(run, label, task)
        for run, label, task in zip(stored[0], ("fail", "success", "success"), tasks, strict=True)
    ]
    after = [
        attempt(run, label, task)
        for run, label, task in zip(stored[1], ("success", "fail"), tasks, strict=False)
    ]
    lost = attempt(None, "unknown", gone.tool, infrastructure=True, reason="ConnectError")
    arms = {"before": before, "after": [*after, lost]}
    evaluation = Evaluation(
        agent="desk", base_model="starter", before=None, after="desk@0123456789ab",
        pools={"heldout": compare_pool("heldout", pair_results(*arms.values()))}, trajectories=5,
        extras={"attempts": msgspec.to_builtins(arms)},
    )  # fmt: skip
    return workspace, evaluation


def test_flips_costs_calls_and_failure_modes_are_those_of_the_runs(evaluated):
    facts = assemble_report(evaluated[1], evaluated[0], prices=Prices(1.0, 2.0))
    assert [flip["task"] for flip in facts["flips"]["fixed"]] == [NAMED]
    assert [flip["before"] for flip in facts["flips"]["broken"]] == ["01" * 16]
    assert facts["failure_modes"] == {
        "before": {"repeats_broken_call": 1},
        "after": {"fabricated_answer": 1},
    }
    assert facts["attempts"]["before"] == {
        "all": 3, "success": 2, "fail": 1, "unknown": 0, "infrastructure": 0, "remembered": 0,
        "runs_missing": 1,
    }  # fmt: skip
    assert facts["attempts"]["after"]["infrastructure"] == 1
    failed = facts["calls"]["before"]["failed_calls"]
    assert (failed["part"], failed["whole"], failed["rate"]) == (2, 3, pytest.approx(2 / 3))
    assert failed["low"] < 2 / 3 < failed["high"]
    measured = facts["measures"]["before"]
    assert measured["tool_calls"] == pytest.approx(4 / 3)
    assert measured["usd_per_run"] == 0.0, "the runs have no counts of tokens"
    assert "usd_per_run" not in assemble_report(evaluated[1], evaluated[0])["measures"]["before"]


class Reader(html.parser.HTMLParser):
    """Collects the texts of a page, and what it would load."""

    def __init__(self):
        super().__init__()
        self.texts, self.loads = [], []

    def handle_data(self, data):
        self.texts.append(data)

    def handle_starttag(self, tag, attrs):
        self.loads += [
            value
            for name, value in attrs
            if name in ("src", "href", "xlink:href") and not str(value).startswith("#")
        ]


def test_the_page_is_self_contained_and_shows_names_as_they_are(evaluated):
    reader = Reader()
    reader.feed(render_page(assemble_report(evaluated[1], evaluated[0])))
    assert NAMED in reader.texts
    assert "repeats broken call" in reader.texts
    assert reader.loads == []


def test_markdown_keeps_a_table_whole_whatever_a_task_is_named(evaluated):
    text = render_markdown(assemble_report(evaluated[1], evaluated[0]))
    (line,) = [line for line in text.splitlines() if "task \\<1\\>" in line]
    assert line.replace("\\|", "").count("|") == 5
    assert "\\<1\\>" in line


def write_retrain(home, evaluation, name="retrain-desk-0001", **fields):
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    report = RetrainReport(
        agent="desk", run_id=name, path=str(folder), status="rejected", evaluation=evaluation,
        decision=Decision(decision="inconclusive", reasons=["too few tasks"]),
        stages=[{"name": "train", "status": "done", "seconds": 3.0, "reused": False}], **fields,
    )  # fmt: skip
    (folder / "report.json").write_bytes(msgspec.json.encode(report))


def test_the_command_shows_the_newest_retrain_and_writes_both_files(evaluated, home, tmp_path):
    write_retrain(home, evaluated[1])
    write_retrain(home, None, "retrain-desk-0002")  # stopped before its evaluation
    page, text = tmp_path / "out" / "r.html", tmp_path / "out" / "r.md"
    words = ["report", "desk", "--home", str(home), "--html", str(page), "--markdown", str(text)]

    shown = CliRunner().invoke(build_app(), words)
    assert shown.exit_code == 0, shown.output
    assert "inconclusive: too few tasks" in shown.stdout
    assert "Broken tasks" in shown.stdout
    assert page.read_text().startswith("<!doctype html>")
    assert "### Success" in text.read_text()
    found = CliRunner().invoke(build_app(), [*words, "--json"])
    assert json.loads(found.stdout)["run"] == "retrain-desk-0001"


ODD_NAMES = [
    "costs $x_{ and $5",
    "客服",
    "\x1b[31m\x00\u202e",
    "\ud800",
    "<script>alert(1)</script>",
    "_x",
]


@pytest.mark.parametrize("odd", ODD_NAMES)
def test_odd_names_break_neither_page_nor_picture_nor_terminal(evaluated, home, tmp_path, odd):
    workspace, evaluation = evaluated
    names = {"base_model": odd, "after": f"{odd}@0123456789ab"}
    facts = assemble_report(msgspec.structs.replace(evaluation, **names), workspace)
    facts["flips"]["fixed"][0]["task"] = odd

    page, text = render_page(facts), render_markdown(facts)

    assert "<script" not in page
    assert all(char.isprintable() or char == "\n" for char in page + text)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    print_table("tasks", ["task"], [[odd]])


def test_a_reason_of_any_length_fits_the_picture_of_the_evidence():
    for reason in ("costs $5 and $\\frac{", "x" * 900):
        drawn = draw_evidence([], [{"state": "ROLLED_BACK", "reason": reason}])
        assert reason[:20].replace("\\", "") in drawn.replace("\\", "")


def test_pictures_leave_the_callers_style_alone(evaluated):
    before = dict(mpl.rcParams)
    render_page(assemble_report(evaluated[1], evaluated[0]))
    assert dict(mpl.rcParams) == before


def test_a_damaged_newest_report_is_named_and_an_older_one_is_not_shown_in_its_place(
    evaluated, home
):
    write_retrain(home, evaluated[1], "retrain-desk-9999")
    write_retrain(home, evaluated[1], "retrain-desk-10000")
    assert find_report(home, "desk").name == "retrain-desk-10000"
    (home / "runs" / "retrain-desk-10000" / "report.json").write_bytes(b"{cut")

    with pytest.raises(EvaluationError, match=r"retrain-desk-10000.*cannot be read") as problem:
        find_report(home, "desk")
    assert problem.value.fix == "burnish report desk --run retrain-desk-9999"
    assert find_report(home, "desk", "retrain-desk-9999").name == "retrain-desk-9999"
    for name in ("../retrain-desk-9999", "*", "/etc"):
        with pytest.raises(EvaluationError, match="no evaluation"):
            find_report(home, "desk", name)


def test_attempts_of_a_wrong_form_are_one_clear_error(evaluated):
    odd = msgspec.structs.replace(evaluated[1], extras={"attempts": {"before": [{"task_id": 1}]}})
    with pytest.raises(EvaluationError, match="attempts of the evaluation cannot be read"):
        assemble_report(odd, evaluated[0])


def test_without_an_evaluation_the_error_names_the_command(home):
    with pytest.raises(EvaluationError, match="no evaluation of 'desk'") as problem:
        find_report(home, "desk")
    assert problem.value.fix == "burnish eval desk"
