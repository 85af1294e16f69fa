"""`burnish init` writes a project that loads and runs, and overwrites nothing without `--force`."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.cli.init import find_graphs
from burnish.config import config_file
from burnish.errors import SettingsError
from burnish.project import load_project

GRAPH = """\
from langgraph.graph import START, MessagesState, StateGraph


def not_a_graph(path):
    return open(path).read()


def analyst(llm):
    graph = StateGraph(MessagesState)
    graph.add_node("think", lambda state: {"messages": [llm.invoke(state["messages"])]})
    graph.add_edge(START, "think")
    return graph.compile()


ready = analyst(None).compile()
"""


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty folder, the working folder of the test."""
    folder = tmp_path / "init project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def real(*words: str, cwd: Path, code: int = 0) -> str:
    """Run the command line in a separate process; return both its outputs."""
    done = subprocess.run(
        [sys.executable, "-m", "burnish.cli", *words],
        cwd=cwd,
        env={key: value for key, value in os.environ.items() if not key.startswith("BURNISH_")},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def files_of(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_an_empty_folder_becomes_a_project_that_doctor_finds_well(empty):
    said = real("init", "--yes", cwd=empty)

    assert files_of(empty) == ["agent.py", "burnish.toml", "checks.py", "tasks.py"]
    assert 'agent="init-project"' in said
    assert said.rstrip().endswith("burnish doctor")
    assert "!!" not in real("doctor", cwd=empty)


@pytest.mark.slow
def test_what_was_written_runs_as_it_is(empty):
    real("init", "--agent", "adder", cwd=empty)

    said = real("eval", "adder", cwd=empty, code=3)

    assert "inconclusive" in said  # two held-out tasks prove nothing
    assert "verdict" in real("traces", "list", cwd=empty)


def test_an_agent_of_the_project_is_found_and_its_file_is_left_alone(empty, burnish):
    package = empty / "shop"
    package.mkdir()
    (package / "graphs.py").write_text(GRAPH)

    said = burnish("init", "--agent", "analyst")

    assert list(find_graphs(empty)) == ["shop.graphs:analyst"]
    assert load_project(empty / "burnish.toml").agents["analyst"].build == "shop.graphs:analyst"
    assert files_of(empty) == ["burnish.toml", "checks.py", "tasks.py"]
    assert "from shop.graphs import analyst" in said


def test_options_stand_in_the_file_whatever_letters_they_hold(empty, burnish):
    (empty / "graphs.py").write_text(GRAPH)
    words = (
        "--graph",
        "graphs:analyst",
        "--base-model",
        'C:\\models\\"q"',
        "--backend",
        "http://x",
    )

    burnish("init", "--agent", "Prüfer 1", *words)

    (agent,) = load_project(empty / "burnish.toml").agents.values()
    assert (agent.name, agent.build) == ("Prüfer 1", "graphs:analyst")
    assert (agent.base_model, agent.backend) == ('C:\\models\\"q"', "http://x")


@pytest.mark.parametrize("name", ["burnish.toml", "checks.py", "tasks.py"])
def test_a_file_that_exists_is_kept_and_then_nothing_is_written(empty, burnish, name):
    (empty / name).write_text("# mine\n")

    with pytest.raises(SettingsError, match=f"{name} in .* would be overwritten"):
        burnish("init", "--yes")

    assert files_of(empty) == [name]
    assert (empty / name).read_text() == "# mine\n"
    burnish("init", "--yes", "--force")
    assert "# mine" not in (empty / name).read_text()


def test_force_keeps_the_agent_that_the_project_has(empty, burnish):
    (empty / "agent.py").write_text(GRAPH)

    burnish("init", "--yes", "--force")

    assert (empty / "agent.py").read_text() == GRAPH


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ("graphs:nothing", "one of not_a_graph, analyst"),
        ("graphs:ready", "a function that gets a chat model"),
        ("nowhere:build", "a module of the project"),
        ("graphs.py", '"module:function"'),
        ("graphs:a b", '"module:function"'),
    ],
)
def test_a_graph_that_cannot_be_built_is_an_error_before_anything_is_written(
    empty, burnish, graph, said
):
    (empty / "graphs.py").write_text(GRAPH)

    with pytest.raises(SettingsError) as caught:
        burnish("init", "--graph", graph)

    assert said in caught.value.expected
    assert caught.value.fix
    assert files_of(empty) == ["graphs.py"]


def test_names_that_cannot_be_an_agents_and_folders_that_are_none_are_refused(empty, burnish):
    with pytest.raises(SettingsError, match="agent name"):
        burnish("init", "--agent", "../other")
    with pytest.raises(SettingsError, match="is not a folder"):
        burnish("init", "nowhere")

    assert files_of(empty) == []


def test_another_folder_may_be_named(empty, burnish, tmp_path):
    other = tmp_path / "other"
    other.mkdir()

    said = burnish("init", str(other), "--yes")

    assert f"cd {other} && burnish doctor" in said
    assert config_file.find_config(other) == other / "burnish.toml"


def test_modules_of_the_project_are_parsed_and_never_run(empty, burnish):
    (empty / "agent.py").write_text(GRAPH + "raise SystemExit('imported')\n")
    (empty / "broken.py").write_text("def (:\n")

    burnish("init", "--yes")

    assert (empty / "burnish.toml").exists()


def test_a_terminal_is_asked(empty):
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "burnish.cli", "init"]
    with subprocess.Popen(
        command, cwd=empty, env=environment, stdin=follower, stdout=follower, stderr=follower
    ) as process:
        os.close(follower)
        said = ""
        for question, answer in (
            ("Name of the agent", "analyst\n"),
            ("module:function", "\n"),
            ("Folder of the model", "\n"),
            ("What serves it", "\n"),
        ):
            said = _read_until(leader, said, question)
            os.write(leader, answer.encode())
        said = _read_until(leader, said, "burnish doctor")
        assert process.wait(timeout=60) == 0, said
    os.close(leader)

    assert load_project(empty / "burnish.toml").agents["analyst"].build == "agent:build"


def _read_until(leader: int, said: str, wanted: str) -> str:
    while wanted not in said:
        assert select.select([leader], [], [], 60)[0], said
        said += os.read(leader, 4096).decode(errors="replace")
    return said
