"""Lineage from a span to the adapter and back: every artefact names its inputs and its products."""

import json

import pytest
from typer.testing import CliRunner

import burnish
from burnish.cli.app import build_app
from burnish.errors import WorkspaceError
from burnish.workspace import Workspace
from burnish_exporters import BuildOptions, build_dataset


@pytest.fixture
def made(home):
    """A captured run, a dataset of it, a later version of that, and an adapter trained on the first."""
    for n in (1, 2):
        with (
            burnish.task(id=f"task-{n}"),
            burnish.trace(agent="support", thread_id=f"t{n}"),
            burnish.trace.model_call(
                model="m", messages=[{"role": "user", "content": f"Number {n}?"}]
            ) as call,
        ):
            call.reply("fine")
        burnish.outcome(thread_id=f"t{n}", success=n == 1, source="crm")
    burnish.flush(5)
    workspace = Workspace()
    options = BuildOptions(key=b"key")
    first = build_dataset(workspace, agent="support", verify=["outcome"], options=options)
    second = build_dataset(
        workspace, agent="support", verify=["outcome"], recipe={"weigh": "task"}, options=options
    )
    folder = home / "adapters" / "support@a1"
    folder.mkdir(parents=True)
    (folder / "burnish.json").write_text(json.dumps({"id": "support@a1", "dataset": first.id}))
    used, unused = sorted(workspace.trajectories(), key=lambda run: run.task_id)
    return workspace, (first.id, second.id), used, unused


def tree(node, direction):
    """Kinds and ids below a node."""
    return [
        (child["kind"], child["id"], tree(child, direction)) for child in node.get(direction) or ()
    ]


def test_a_run_was_made_into_rows_datasets_and_adapters(made):
    workspace, (first, second), used, unused = made

    found = workspace.lineage(used.id)

    ((kind, _, datasets),) = tree(found, "children")
    assert (found["kind"], kind) == ("trajectory", "row")
    assert sorted(datasets) == sorted(
        [
            ("dataset", first, [("adapter", "support@a1", []), ("dataset", second, [])]),
            ("dataset", second, []),
        ]
    )
    assert workspace.lineage(unused.id)["children"] == []


def test_a_row_comes_from_its_run_and_a_span_is_part_of_one(made):
    workspace, (first, _), used, _ = made
    (row,) = workspace.lineage(used.id)["children"]

    one = workspace.lineage(row["id"])
    two = workspace.lineage(used.model_calls[0].span_id)

    assert [(p["kind"], p["id"]) for p in one["parents"]] == [("trajectory", used.id)]
    assert first in {child["id"] for child in one["children"]}
    assert two["kind"] == "span"
    assert tree(two, "children")[0][:2] == ("trajectory", used.id)
    assert tree(two, "children")[0][2][0][:2] == ("row", row["id"])


def test_versions_are_walked_both_ways(made):
    workspace, (first, second), _, _ = made

    assert tree(workspace.lineage("support@a1"), "parents") == [("dataset", first, [])]
    assert tree(workspace.lineage(second), "parents") == [("dataset", first, [])]
    assert {child[1] for child in tree(workspace.lineage(first), "children")} == {
        "support@a1",
        second,
    }
    assert workspace.lineage(first)["trajectories"] == 1


def test_a_row_whose_run_was_forgotten_still_names_it(made):
    workspace, _, used, _ = made
    (row,) = workspace.lineage(used.id)["children"]

    workspace.forget(thread_id="t1")

    found = Workspace().lineage(row["id"])
    assert [(p["kind"], p["id"]) for p in found["parents"]] == [("missing", used.id)]
    assert found["children"]


@pytest.mark.parametrize("name", ["nothing", "f" * 16, "f" * 32, ""])
def test_a_name_of_nothing_is_an_error(made, name):
    with pytest.raises(WorkspaceError):
        made[0].lineage(name)


def test_the_command_prints_both_directions(made):
    _, (first, second), used, _ = made

    shown = CliRunner().invoke(build_app(), ["lineage", first], catch_exceptions=False).stdout
    told = CliRunner().invoke(build_app(), ["lineage", used.id, "--json"], catch_exceptions=False)

    assert shown.startswith(f"dataset {first}")
    assert "comes from: nothing" in shown
    assert "  adapter support@a1" in shown
    assert f"  dataset {second}" in shown
    assert json.loads(told.stdout)["kind"] == "trajectory"
