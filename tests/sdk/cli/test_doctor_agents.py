"""`burnish doctor` reads the task sets, opens the environment and prepares the verifiers of each agent."""

from __future__ import annotations

import json
import os
import sys

import pytest

from burnish.project import AgentConfig, load_project
from burnish.records import Task
from burnish.testing.recording import Recording
from burnish_exporters.commands.checking import check_agent
from burnish_exporters.commands.environment_check import check_environment
from burnish_exporters.tasks.set_versions import record_version

ENVIRONMENT = """
import os

HELD = []

class Fine:
    def open(self, task):
        self.rows = [task["id"]]

    def state(self):
        return {"rows": self.rows}

    def close(self):
        self.rows = None

class Shut(Fine):
    def open(self, task):
        raise ConnectionError("database orders is away")

class Stuck(Fine):
    def close(self):
        raise OSError("still in use")

class Odd(Fine):
    def state(self):
        return {"rows": object()}

class Half:
    def open(self, task):
        pass

class Leaking(Fine):
    rows = []

    def open(self, task):
        self.rows.append(task["id"])

    def close(self):
        pass

class Counting(Leaking):
    pass

class Holding(Fine):
    def open(self, task):
        super().open(task)
        HELD.append(os.open(__file__, os.O_RDONLY))

class Slow(Fine):
    async def open(self, task):
        self.rows = [task["id"]]
"""


@pytest.fixture
def agent(project):
    """Add lines to the agent's table, and return the problems that are found."""
    (project / "world.py").write_text(ENVIRONMENT)
    (project / "tasks").mkdir()
    (project / "tasks/heldout.jsonl").write_text(json.dumps({"id": "t1", "input": "go"}) + "\n")

    def check(*lines):
        with (project / "burnish.toml").open("a") as file:
            file.write("\n".join(['tasks = "tasks/"', *lines, ""]))
        return look(project)

    yield check
    for number in getattr(sys.modules.get("world"), "HELD", []):
        os.close(number)


def look(project, home=None):
    config = load_project(project / "burnish.toml").agents["support"]
    return list(check_agent(config, project, home or project / "none"))


def test_an_agent_whose_parts_open_is_well(agent):
    assert agent('environment = "world:Fine"') == []


def test_an_environment_with_coroutines_is_opened(agent):
    assert agent('environment = "world:Slow"') == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Shut", "did not open: ConnectionError: database orders is away"),
        ("Stuck", "did not close: OSError: still in use"),
        ("Odd", "did not give its state as plain data"),
        ("Half", "has no state, close"),
        ("Leaking", "starts task 't1' in another state"),
        ("Holding", "each attempt leaves 1 open files and 0 threads"),
    ],
)
def test_an_environment_that_fails_or_leaks_is_named(agent, name, said):
    (found,) = agent(f'environment = "world:{name}"')
    assert said in found.found
    assert found.fix


def test_a_first_state_that_differs_by_design_is_no_leak(agent):
    lines = ['environment = "world:Counting"', "[agent.support.evaluate]", "same_start = false"]
    assert agent(*lines) == []


def test_an_environment_that_never_opens_is_named(project):
    (project / "endless.py").write_text(
        "import threading\nclass World:\n    def open(self, task):\n        threading.Event().wait()\n"
        "    def state(self): ...\n    def close(self): ...\n"
    )
    config = AgentConfig(
        name="support", build="a:b", base_model="starter", environment="endless:World"
    )
    (found,) = check_environment(config, project, [Task(id="t", input="x")], limit_s=0.2)
    assert "did not open and close twice within 0.2 s" in found.found


def test_wrong_lines_of_task_files_are_named(project, agent):
    (project / "tasks/standing.jsonl").write_text('{"id": "s1"}\n')
    found = agent()
    assert {one.found for one in found} == {
        f"1 lines in {project / 'tasks'} hold no task: standing.jsonl, line 1: no input"
    }
    assert found[0].fix == f"edit {project / 'tasks/standing.jsonl'}"


def test_task_sets_that_differ_from_their_lock_are_named(project, agent):
    record_version(project / "tasks", "test")
    assert agent() == []
    with (project / "tasks/heldout.jsonl").open("a") as file:
        file.write(json.dumps({"id": "t2", "input": "go on"}) + "\n")
    (found,) = look(project)
    assert "names version 1, and the files hold other tasks" in found.found


def test_a_lock_that_cannot_be_read_is_named(project, agent):
    (project / "tasks/tasks.lock").write_text("{")
    (found,) = agent()
    assert "tasks.lock" in found.found


def test_recorded_environments_need_runs_and_names_of_writing_tools(agent):
    (found,) = agent('environment = "replay"')
    assert "1 of 1 tasks name no run to replay, such as 't1'" in found.found


def test_a_shadow_without_writing_tools_is_named(agent):
    (found,) = agent('environment = "shadow"')
    assert "no tool that writes" in found.found


def test_the_command_shows_each_problem_with_its_command(agent, project, burnish):
    (project / "tasks/tasks.lock").write_text("{")
    assert len(agent('environment = "world:Shut"')) == 2
    found = burnish("doctor", "--json", code=1)
    shown = [one for one in found if one["name"] == "agent support" and not one["ok"]]
    assert len(shown) == 2
    assert len({one["fix"] for one in shown}) == 2


CHECKS = {
    "sound": "def reached(run, state):\n    return True\n",
    "crash": "def reached(run, state):\n    raise KeyError('total')\n",
    "dice": "seen = []\ndef reached(run, state):\n    seen.append(run.id)\n    return seen.count(run.id) % 2 == 1\n",
    "blind": "def reached(run, state):\n    return None\n",
}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("crash", "verifier goal_state failed on run"),
        ("dice", "gave success and then fail on the same run"),
    ],
)
def test_a_verifier_that_cannot_be_relied_on_is_named(project, kind, said):
    (project / "clerk_checks.py").write_text(CHECKS[kind])
    (problem,) = [one for one in look(project, project / ".burnish") if not isinstance(one, str)]
    assert said in problem.found
    assert "burnish traces show" in problem.fix


def test_a_verifier_that_decides_no_run_is_noted_and_with_three_runs_a_problem(project):
    (project / "clerk_checks.py").write_text(CHECKS["blind"])
    told = "verifier goal_state decides none of 2 recorded runs"
    found = look(project, project / ".burnish")
    assert any(isinstance(one, str) and told in one for one in found)
    recording = Recording(project / ".burnish")
    recording.write_run("2a2b" * 8, task_id="task-2", task="order 2")
    recording.writer.close()
    (problem,) = [one for one in look(project, project / ".burnish") if not isinstance(one, str)]
    assert "verifier goal_state decides none of 3 recorded runs" in problem.found


def test_verifiers_are_tried_on_recorded_runs_and_judges_are_left_out(project):
    (project / "jury.py").write_text(
        "def make():\n    raise AssertionError('a judge must not be asked')\n"
    )
    text = (project / "burnish.toml").read_text()
    judge = '{ judge = { model = "jury:make", rubric = "Is it right?" } }'
    (project / "burnish.toml").write_text(text.replace("verify = [", f"verify = [{judge}, "))
    found = look(project, project / ".burnish")
    assert "tried twice on 2 recorded runs: goal_state" in found
    assert [one for one in found if isinstance(one, str) and one.startswith("not tried")]
    assert not [one for one in found if not isinstance(one, str) and "reached" in one.found]


def test_outcomes_that_have_not_come_yet_are_no_problem(project):
    text = (project / "burnish.toml").read_text()
    old = '{ goal_state = "clerk_checks:reached" }'
    (project / "burnish.toml").write_text(text.replace(old, '"outcome"'))
    notes = [one for one in look(project, project / ".burnish") if isinstance(one, str)]
    assert any("it waits for outcomes" in note for note in notes)


def test_doctor_shows_what_was_tried(project, burnish):
    findings = burnish("doctor", "--json", "--home", ".burnish")
    (agent,) = [one for one in findings if one["name"] == "agent support" and one["ok"]]
    assert "tried twice on 2 recorded runs: goal_state" in agent["detail"]
