"""An evaluation tells which of its tasks are also training tasks, and the report shows it."""

from __future__ import annotations

import pytest

import burnish
from burnish_trainer import evaluate
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.evaluation.guards.leak import find_trained_tasks
from burnish_trainer.evaluation.notes import evaluation_notes
from burnish_trainer.report import assemble_report, list_reports, render_markdown


def task(name, number, text):
    return {"id": name, "number": number, "input": {"messages": [("user", text)]}}


@pytest.mark.slow
def test_measured_tasks_that_also_train_are_counted_and_shown(shop, engine):
    # The pool train of the shop holds the orders 80 to 87.
    tasks = [
        task("heldout-1", 1, "total of order 80"),
        task("heldout-2", 2, "Total of order 81?"),
        task("train-82", 82, "what does it cost"),
        task("heldout-4", 4, "total of order 4"),
    ]
    found = evaluate("shop", adapters=[None], tasks={"heldout": tasks, "standing": tasks[3:]})
    facts = found.extras["also_trained"]
    trained = facts["heldout"]["trained"]
    assert set(trained) == {"heldout-1", "heldout-2", "train-82"}
    assert trained["heldout-1"] == "exact"
    assert trained["train-82"] == "same id"
    assert facts["standing"] == {"tasks": 1, "trained": {}}
    (note,) = [one for one in evaluation_notes(found) if "training tasks" in one]
    assert note.startswith("heldout: 3 of 4 tasks are also training tasks")
    assert "heldout-1" in note
    assert "burnish tasks check shop" in note
    workspace = burnish.Workspace()
    report = assemble_report(list_reports(workspace.home, "shop")[0], workspace)
    assert note in report["notes"]
    assert "3 of 4 tasks are also training tasks" in render_markdown(report)


def test_near_duplicates_count_by_the_rule_of_task_sets(shop):
    text = (shop / "shop.py").read_text()
    asked = "please tell me the whole total of the green order with both of its items and the tax"
    (shop / "shop.py").write_text(text.replace('f"total of order {i}"', f'f"{asked} {{i}}"'))
    from burnish_exporters.tasks.task_sources import decode_tasks

    said = asked.replace("please tell", "kindly tell")
    pools = {"heldout": decode_tasks([task("a", 1, f"{said} 80"), task("b", 2, f"{said} 12")])}
    (trained,) = [one["trained"] for one in find_trained_tasks(load_agent("shop"), pools).values()]
    assert trained["a"] in ("near duplicate", "13-gram")


def test_training_tasks_that_cannot_be_read_are_named(shop):
    text = (shop / "shop.py").read_text()
    (shop / "shop.py").write_text(text.replace('"train": 80', '"other": 80'))
    found = find_trained_tasks(load_agent("shop"), {"heldout": []})
    assert "problem" in found["heldout"]
