"""A report names versions, prompts, decisions, remembered and unfinished attempts, and fits a narrow terminal."""

from __future__ import annotations

import msgspec
import pytest
from test_report import evaluated, write_retrain  # noqa: F401 - a fixture
from typer.testing import CliRunner

from burnish.cli.app import build_app
from burnish.project import GateConfig
from burnish.records import Task
from burnish_trainer.evaluation.power import describe_power, measure_power
from burnish_trainer.heldout_uses import decide_and_record
from burnish_trainer.report import assemble_report, find_report, render_markdown, render_page
from burnish_trainer.report.lookup import ReportedEvaluation
from burnish_trainer.report.tables import list_tables


def rendered(evaluation, workspace, width):
    """The lines that the command prints in a terminal of a width."""
    write_retrain(workspace.home, evaluation)
    done = CliRunner().invoke(build_app(), ["report", "desk"], env={"COLUMNS": str(width)})
    assert done.exit_code == 0, done.output
    return done.stdout


def with_prompt(evaluation):
    prompt = "desk-prompt@0123456789ab"
    extras = {
        **evaluation.extras,
        "remembered": {"before": 3, "after": 1},
        "tasks_sha256": {"heldout": "s"},
    }
    return msgspec.structs.replace(evaluation, after_prompt=prompt, extras=extras)


@pytest.mark.parametrize("width", [80, 40, 300])
def test_each_cell_of_each_table_is_whole_in_a_narrow_terminal(evaluated, width):  # noqa: F811
    """No word of a cell is cut in two: words of names and figures are in the output as they are."""
    workspace, evaluation = evaluated[0], with_prompt(evaluated[1])
    shown = rendered(evaluation, workspace, width)
    found = find_report(workspace.home, "desk")
    tables = list_tables(assemble_report(found, workspace), flips=10)
    cells = {cell for table in tables for row in table.rows for cell in row}
    words = {word for cell in cells for word in cell.split()}
    lost = sorted(word for word in words if word not in shown and len(word) < width - 6)
    assert lost == []
    drawn = [line for line in shown.splitlines() if line[:1] in "┏┃┡│└"]
    assert all(len(line) <= width for line in drawn)


def test_remembered_results_and_reasons_of_unfinished_attempts_are_shown(evaluated):  # noqa: F811
    workspace, evaluation = evaluated
    attempts = evaluation.extras["attempts"]
    late = {**attempts["after"][0], "status": "time", "label": "fail", "reason": "ran for 60 s"}
    skipped = {**attempts["after"][0], "status": "skipped", "label": "unknown", "reason": None}
    after = [*attempts["after"], late, late, skipped]
    extras = {"attempts": {**attempts, "after": after}, "remembered": {"before": 3}}
    facts = assemble_report(msgspec.structs.replace(evaluation, extras=extras), workspace)
    assert [facts["attempts"][side]["remembered"] for side in ("before", "after")] == [3, 0]
    assert facts["unfinished"] == [
        {"result": "did not finish, fail", "reason": "ran for 60 s", "before": 0, "after": 2},
        {"result": "error of the infrastructure, does not count", "reason": "ConnectError",
         "before": 0, "after": 1},
        {"result": "not made", "reason": "no reason was recorded", "before": 0, "after": 1},
    ]  # fmt: skip
    for text in (render_page(facts), render_markdown(facts)):
        assert "ran for 60 s" in text
        assert "remembered" in text


def test_rounds_name_the_prompt_version(evaluated):  # noqa: F811
    workspace, evaluation = evaluated
    prompted = msgspec.structs.replace(with_prompt(evaluation), after=None)
    rounds = assemble_report(prompted, workspace)["rounds"]
    assert [one["name"] for one in rounds] == ["base", "base with prompt desk-prompt@0123456789ab"]
    stored = {"rounds": [{"adapter": None}, {"adapter": None}]}  # as earlier versions wrote them
    extras = {**prompted.extras, "guards": stored}
    again = assemble_report(msgspec.structs.replace(prompted, extras=extras), workspace)["rounds"]
    assert [one["name"] for one in again] == [one["name"] for one in rounds]


def test_the_number_of_a_decision_is_that_which_was_counted(evaluated):  # noqa: F811
    workspace, evaluation = evaluated
    power = assemble_report(evaluation, workspace)["power"]
    assert (power["decision_on_set"], power["decided"]) == (1, False)
    first = decide_and_record(workspace.home, evaluation, GateConfig())
    other = msgspec.structs.replace(evaluation, after="desk@ba9876543210")
    assert decide_and_record(workspace.home, other, GateConfig()).facts["decision_on_set"] == 2
    for decision in (first, None):
        found = ReportedEvaluation("eval", 0.0, evaluation, decision)
        power = assemble_report(found, workspace)["power"]
        assert (power["decision_on_set"], power["decided"]) == (1, True)
    alone = msgspec.structs.replace(evaluation, after=None)
    assert decide_and_record(workspace.home, alone, GateConfig()).facts["decision_on_set"] == 1
    found = ReportedEvaluation("eval", 0.0, alone, decide_and_record(workspace.home, alone, GateConfig()))  # fmt: skip
    power = assemble_report(found, workspace)["power"]
    assert (power["decision_on_set"], power["decided"]) == (3, False)


def test_the_power_in_the_report_is_that_which_was_told_before_the_run(evaluated):  # noqa: F811
    workspace, evaluation = evaluated
    heldout = [
        Task(id=t.task, input={"messages": []}, data={"family": t.family})
        for t in evaluation.pools["heldout"].tasks
    ]
    before = measure_power(workspace.home, heldout, GateConfig())
    told = describe_power(workspace.home, "desk", heldout, GateConfig())
    after = assemble_report(evaluation, workspace)["power"]
    assert (after["tasks"], after["families"]) == (before.tasks, before.families)
    assert (after["level"], after["decision_on_set"]) == (before.level, before.number)
    assert after["smallest_gain"] == before.smallest
    assert after["tasks_for_5_points"] == before.needed
    assert after["assumed"] in told
    (table,) = (
        t for t in list_tables(assemble_report(evaluation, workspace)) if t.title == "Power"
    )
    assert "5 % of the tasks are lost" in table.note
