"""Folders that Harbor's own command writes are tasks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from burnish.errors import EvaluationError
from burnish_exporters.tasks.harbor import is_harbor_folder, read_harbor_tasks

HARBOR = Path(__file__).parents[2] / ".venv-harbor/bin"
READ = """
import sys
from pathlib import Path
from harbor.models.task.task import Task
task = Task(Path(sys.argv[1]))
print(task.name, task.config.agent.timeout_sec, task.paths.tests_dir, sep="|")
"""


def write(folder, name, *options):
    subprocess.run(
        [HARBOR / "harbor", "init", f"acme/{name}", "--task", *options],
        cwd=folder, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return folder / name


def test_a_task_that_harbor_wrote_is_read_as_harbor_reads_it(tmp_path):
    folder = write(tmp_path, "one", "--include-standard-metadata")
    (folder / "instruction.md").write_text("Write hello into hello.txt\n")
    told = subprocess.run(
        [HARBOR / "python", "-c", READ, str(folder)],
        check=True, capture_output=True, text=True, timeout=120,
    ).stdout.strip()  # fmt: skip
    name, limit, tests = told.splitlines()[-1].split("|")
    assert is_harbor_folder(tmp_path)
    (task,) = read_harbor_tasks(tmp_path)
    assert (task.id, task.kind) == (name, "software_engineering")
    assert task.input["messages"][0]["content"] == "Write hello into hello.txt"
    assert task.data["harbor"]["agent_timeout_s"] == float(limit)
    assert Path(task.data["harbor"]["tests"]) == Path(tests)
    assert task.data["harbor"]["verifier"]["environment_mode"] == "separate"


def test_a_task_without_package_is_named_after_its_folder(tmp_path):
    folder = write(tmp_path, "two", "--no-package", "--no-pytest", "--no-solution")
    (folder / "instruction.md").write_text("Go\n")
    assert [task.id for task in read_harbor_tasks(tmp_path)] == ["two"]


def test_an_unwritten_instruction_and_a_task_of_steps_are_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write(tmp_path / "a", "empty")
    with pytest.raises(EvaluationError, match=r"instruction\.md is empty"):
        read_harbor_tasks(tmp_path / "a")
    write(tmp_path / "b", "long", "--steps", "2")
    with pytest.raises(EvaluationError, match="has 2 steps"):
        read_harbor_tasks(tmp_path / "b")
