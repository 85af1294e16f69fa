"""Task files: one task a line; a wrong line is named by its number and refuses the set."""

from __future__ import annotations

import json

import pytest

from burnish.errors import EvaluationError, VerificationError
from burnish.project import decode_agent
from burnish.records import Trajectory
from burnish_exporters.tasks.harbor import read_reward
from burnish_exporters.tasks.set_versions import read_manifest, record_version
from burnish_exporters.tasks.task_files import read_task_file, read_tasks, write_tasks
from burnish_exporters.tasks.task_sources import hash_tasks, load_tasks
from burnish_exporters.verify import make_verifiers

TASK = {"id": "a", "input": "What is 1 + 1?"}


def agent(tasks):
    table = {"build": "m:b", "base_model": "starter", "tasks": tasks}
    return decode_agent("shop", table, "burnish.toml, [agent.shop]")


def write(path, *rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    )


def test_a_folder_gives_each_pool_its_tasks(tmp_path):
    write(tmp_path / "tasks/heldout.jsonl", TASK, {**TASK, "id": "b", "retired": "2026-11-28"})
    write(
        tmp_path / "tasks/heldout-refunds.jsonl",
        {**TASK, "id": "c", "tags": ["edge"], "kind": "refund"},
    )
    write(
        tmp_path / "tasks/mixed.jsonl",
        {**TASK, "id": "d", "pool": "standing", "order": 7, "origin": {"x": 1}},
    )
    found = {p: load_tasks(agent("tasks/"), tmp_path, p) for p in ("heldout", "standing", "train")}
    assert {pool: [t.id for t in tasks] for pool, tasks in found.items()} == {
        "heldout": ["c", "a"], "standing": ["d"], "train": [],
    }  # fmt: skip
    assert (found["heldout"][0].tags, found["heldout"][0].kind) == (["edge"], "refund")
    assert found["standing"][0].data == {"id": "d", "input": TASK["input"], "order": 7}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: no JSON"),
        ("[1]", "line 2: a list, not an object"),
        ('{"input": 1}', "line 2: no id"),
        ('{"id": 5, "input": 1}', "line 2: id is 5, not a text"),
        ('{"id": " ", "input": 1}', "line 2: id is ' '"),
        ('{"id": "b"}', "line 2: no input"),
        ('{"id": "b", "input": 1, "tags": "edge"}', "line 2: tags is 'edge', not a list"),
        ('{"id": "b", "input": 1, "kind": 3}', "line 2: kind is 3"),
        ('{"id": "b", "input": 1, "pool": "held-out"}', "expected 'heldout'"),
        ('{"id": "b", "input": 1, "retired": true}', "retired is True"),
        ('{"id": "a", "input": 1}', "line 2: the id 'a' is that of line 1"),
        ('{"id": "b", "input": NaN}', "line 2: no JSON"),
        ("[" * 100_000, "line 2: "),
        ('{"id": "\\ud800", "input": 1}', "line 2: "),
    ],
)
def test_a_wrong_line_refuses_the_set_and_the_others_are_read(tmp_path, line, told):
    path = tmp_path / "heldout.jsonl"
    write(path, TASK, f"{line}\n", "\n", {**TASK, "id": "z"})
    found = read_task_file(path)
    assert [one.task.id for one in found.tasks] == ["a", "z"]
    assert len(found.problems) == 1
    assert told in str(found.problems[0])
    with pytest.raises(EvaluationError, match=r"1 lines in .* hold no task"):
        load_tasks(agent("heldout.jsonl"), tmp_path, "heldout")


def test_bytes_that_are_no_text_are_a_wrong_line(tmp_path):
    path = tmp_path / "heldout.jsonl"
    path.write_bytes(
        b"\xef\xbb\xbf" + json.dumps(TASK).encode() + b'\r\n{"id": "\xff", "input": 1}\n'
    )
    found = read_task_file(path)
    assert ([one.task.id for one in found.tasks], len(found.problems)) == (["a"], 1)


def test_one_id_in_two_files_and_two_sources_is_refused(tmp_path):
    write(tmp_path / "tasks/heldout.jsonl", TASK)
    write(tmp_path / "tasks/standing.jsonl", TASK)
    with pytest.raises(EvaluationError, match=r"two tasks have the id 'a': heldout.jsonl, line 1"):
        read_tasks(tmp_path / "tasks")
    write(tmp_path / "other.jsonl", {**TASK, "pool": "heldout"})
    (tmp_path / "tasks/standing.jsonl").unlink()
    with pytest.raises(EvaluationError, match="two tasks have the id 'a'"):
        load_tasks(agent(["tasks/", "other.jsonl"]), tmp_path, "heldout")


def test_functions_and_files_are_joined(tmp_path):
    (tmp_path / "own_tasks_of_the_joined.py").write_text(
        "def tasks(pool): return [{'id': pool, 'input': 1, 'tags': ['edge']}]\n"
    )
    write(tmp_path / "tasks/heldout.jsonl", TASK)
    found = load_tasks(agent(["own_tasks_of_the_joined:tasks", "tasks/"]), tmp_path, "heldout")
    assert [(task.id, task.tags) for task in found] == [("heldout", ["edge"]), ("a", [])]


def test_a_missing_place_and_a_file_of_no_pool_are_errors(tmp_path):
    with pytest.raises(EvaluationError, match="does not exist"):
        load_tasks(agent("tasks/"), tmp_path, "heldout")
    write(tmp_path / "some.jsonl", TASK)
    with pytest.raises(EvaluationError, match="named after none of train, heldout"):
        load_tasks(agent("some.jsonl"), tmp_path, "heldout")


def test_some_of_many_training_tasks_depend_on_the_seed(tmp_path):
    write(tmp_path / "train.jsonl", *({**TASK, "id": str(n)} for n in range(50)))
    draw = [
        [t.id for t in load_tasks(agent("train.jsonl"), tmp_path, "train", 5, seed)]
        for seed in (1, 1, 2)
    ]
    assert draw[0] == draw[1] != draw[2]
    assert len(set(draw[0])) == 5


def test_tasks_are_appended_and_retired_in_one_step(tmp_path):
    path = tmp_path / "tasks/heldout.jsonl"
    write_tasks(path, [TASK])
    write_tasks(path, [{**TASK, "id": "b", "input": "wörd"}], retire=["a"], at="2026-11-29")
    assert [(one.task.id, one.retired) for one in read_tasks(path)] == [("a", True), ("b", False)]
    before = path.read_bytes()
    with pytest.raises(EvaluationError, match="already holds a task 'b'"):
        write_tasks(path, [{**TASK, "id": "c"}, {**TASK, "id": "b"}])
    assert path.read_bytes() == before


def test_versions_name_the_hash_that_an_evaluation_names(tmp_path):
    folder = tmp_path / "tasks"
    write(folder / "heldout.jsonl", TASK)
    first = record_version(folder, "add")
    assert record_version(folder, "add") == first
    assert first.pools["heldout"].sha256 == hash_tasks(
        load_tasks(agent("tasks/"), tmp_path, "heldout")
    )
    write(folder / "heldout.jsonl", {**TASK, "tags": ["edge"]})
    assert record_version(folder, "add").version == 1, "a tag makes no other task"
    write_tasks(folder / "heldout.jsonl", [{**TASK, "id": "b"}], retire=["a"], at="now")
    second = record_version(folder, "refresh")
    assert (second.version, second.pools["heldout"].tasks, second.pools["heldout"].retired) == (
        2,
        1,
        1,
    )
    assert [one.version for one in read_manifest(folder).versions] == [1, 2]


def test_a_verifier_finds_the_references_of_tasks(tmp_path):
    write(tmp_path / "tasks/heldout.jsonl", {**TASK, "reference": "2"},
          {**TASK, "id": "b", "reference": {"answer": "3", "state": {}}}, {**TASK, "id": "c"})  # fmt: skip
    (verifier,) = make_verifiers([{"reference_match": "tasks/"}], tmp_path)
    said = {
        task: verifier.verify(
            Trajectory(id="1", agent="shop", status="completed", task_id=task, answer="3")
        ).label
        for task in ("a", "b", "c")
    }
    assert said == {"a": "fail", "b": "success", "c": "unknown"}
    write(tmp_path / "tasks/heldout.jsonl", "{")
    with pytest.raises(VerificationError, match="line 1"):
        make_verifiers([{"reference_match": "tasks/"}], tmp_path)


HARBOR = """
version = "1.0"
[metadata]
difficulty = "easy"
category = "programming"
tags = ["edge", "ssh"]
created = 2026-11-28
[verifier]
timeout_sec = 120.0
[agent]
timeout_sec = 300.0
[environment]
cpus = 2
"""


def test_folders_of_harbor_tasks_are_tasks(tmp_path):
    for name in ("one", "two"):
        folder = tmp_path / "tasks/heldout" / name
        (folder / "tests").mkdir(parents=True)
        (folder / "task.toml").write_text(HARBOR)
        (folder / "instruction.md").write_text(f"# Make key {name}\n")
    found = load_tasks(agent("tasks/"), tmp_path, "heldout")
    assert [task.id for task in found] == ["one", "two"]
    one = found[0]
    assert one.input == {"messages": [{"role": "user", "content": "# Make key one"}]}
    assert (one.kind, one.tags) == ("programming", ["edge", "ssh"])
    assert one.data["harbor"]["tests"] == str(tmp_path / "tasks/heldout/one/tests")
    assert one.data["harbor"]["environment"] is None
    assert one.data["harbor"]["agent_timeout_s"] == 300.0
    assert load_tasks(agent("tasks/heldout"), tmp_path, "heldout") == found
    assert load_tasks(agent("tasks/"), tmp_path, "standing") == []
    (tmp_path / "tasks/heldout/two/instruction.md").unlink()
    with pytest.raises(EvaluationError, match=r"Harbor task .*two"):
        load_tasks(agent("tasks/"), tmp_path, "heldout")


@pytest.mark.parametrize(
    ("more", "instruction", "said"),
    [
        ("", "\n", r"instruction\.md is empty"),
        ('[[steps]]\nname = "step-1"\n', "Go", "has 1 steps"),
    ],
)
def test_a_harbor_task_without_one_request_is_refused(tmp_path, more, instruction, said):
    (tmp_path / "task.toml").write_text(HARBOR + more)
    (tmp_path / "instruction.md").write_text(instruction)
    with pytest.raises(EvaluationError, match=said):
        load_tasks(agent("."), tmp_path, "heldout")


def test_a_harbor_reward_is_read(tmp_path):
    assert read_reward(tmp_path) is None
    (tmp_path / "reward.txt").write_text("0.5\n")
    assert read_reward(tmp_path) == {"reward": 0.5}
    (tmp_path / "reward.json").write_text('{"tests": 1, "style": 0.2}')
    assert read_reward(tmp_path) == {"tests": 1.0, "style": 0.2}
    (tmp_path / "reward.json").write_text("[]")
    with pytest.raises(EvaluationError, match="reward"):
        read_reward(tmp_path)
