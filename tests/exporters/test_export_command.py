"""`burnish dataset export` writes a version for a consumer and counts the rows that it leaves out."""

import json
from functools import partial

import pytest

from burnish.cli.app import build_app
from burnish_exporters import build_dataset


@pytest.fixture
def cli(command_line):
    return partial(command_line, "dataset", "export")


@pytest.fixture
def version(make_run):
    """Three tasks, each with a long right answer and a short wrong one."""
    runs = [
        make_run(10 * task + good, calls=1, task_id=f"t{task}", request=f"Where is {task}?", success=bool(good),
                 answer="It is in Oslo, at the harbour." if good else "No.")
        for task in range(3) for good in (0, 1)
    ]  # fmt: skip
    return build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})


def test_rows_are_written_and_counted(version, tmp_path, cli):
    code, printed, _ = cli(
        "support", "--format", "openai", "--to", tmp_path / "rows.jsonl", "--json"
    )

    report = json.loads(printed)
    assert (code, report["version"], report["read"], report["written"]) == (0, version.id, 3, 3)
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [len(json.loads(line)["messages"]) for line in lines] == [3, 3, 3]


def test_what_pairs_would_teach_is_printed_with_its_warning(version, cli):
    code, printed, _ = cli("support", "--format", "trl-dpo-step")

    assert code == 0
    for said in ("from siblings", "mean steps", "other words", "warning: chosen is longer"):
        assert said in printed


def test_it_ends_as_documented(version, tmp_path, cli):
    there = tmp_path / "there.jsonl"
    there.write_text("")
    assert cli("support", "--format", "no-such-form")[0] == 1
    assert "rm " in cli("support", "--format", "openai", "--to", there)[2]
    assert there.read_text() == ""
    assert cli("support")[0] == 2
    assert "burnish dataset export support" in cli("--help")[1]


def test_commands_of_a_group_may_come_from_several_packages_and_are_there_once():
    """`dataset export` and `dataset preview` join the group by entry points, however often the tree is built."""
    for _ in range(2):
        app = build_app()
    (group,) = (g.typer_instance for g in app.registered_groups if g.name == "dataset")

    names = [command.name for command in group.registered_commands]

    assert {"build", "export", "preview"} <= set(names)
    assert len(names) == len(set(names))
