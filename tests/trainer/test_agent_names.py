"""Every command that takes the name of an agent refuses one that nothing knows, with the nearest name."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from burnish.cli.app import build_app
from burnish.errors import UnknownAgent
from burnish.testing.recording import Recording

TOML = """
[agent.support]
build = "agent:build"
base_model = "starter"
verify = ["outcome"]
"""
MADE = {"import", "init"}  # commands that take a new name
MORE = {
    "optimize-prompt": ["--reflection", "proposals:good"],
    "canary start": ["--prompt", "support-prompt@000000000000"],
    "tasks show": ["refund-17"],
    "tasks add": ["5c0e4f"],
    "prompts add": ["better.md"],
}


def list_commands(command, words=()):
    """Yield the words of each command that takes an agent, and how it takes it."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from list_commands(inner, (*words, name))
    for parameter in command.params:
        if parameter.name == "agent" and words and words[0] not in MADE:
            option = ["--agent"] if parameter.param_type_name == "option" else []
            yield " ".join(words), option


COMMANDS = sorted(list_commands(typer.main.get_command(build_app())))


@pytest.fixture
def project(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "burnish.toml").write_text(TOML)
    (tmp_path / "better.md").write_text("Check the stock first.")


def call(*words):
    return CliRunner().invoke(build_app(), list(words))


def test_the_commands_are_found():
    words = {words for words, _ in COMMANDS}
    assert {"rounds", "report", "traces list", "canary status", "label run", *MORE} <= words


@pytest.mark.parametrize(("words", "option"), COMMANDS, ids=[words for words, _ in COMMANDS])
def test_a_misspelled_agent_is_refused_with_the_nearest_name(project, words, option):
    done = call(*words.split(), *option, "suport", *MORE.get(words, []))
    assert isinstance(done.exception, UnknownAgent), (done.output, done.exception)
    assert "'suport'" in done.exception.found
    assert done.exception.expected == "'support'"


def test_an_agent_that_is_only_recorded_is_known(project, home):
    recording = Recording(home)
    recording.write_run("a" * 32, agent="helper")
    recording.writer.close()
    assert json.loads(call("traces", "list", "--agent", "helper", "--json").stdout)
    assert call("rounds", "helper").exit_code == 0
    assert isinstance(call("rounds", "helpr").exception, UnknownAgent)


def test_without_any_agent_the_next_command_is_named(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = call("rounds", "support").exception
    assert isinstance(found, UnknownAgent)
    assert "burnish init" in found.fix


def test_an_interval_of_another_form_is_named_as_it_was_typed(project):
    for typed in ("xx", "6", "0h", "6.5h", "1w"):
        found = call("loop", "support", "--every", typed).exception
        assert f"--every {typed!r}" in found.found
        assert '"30m", "6h" or "1d"' in found.expected


def test_an_interval_of_another_form_in_the_file_is_named_without_a_pattern(project, tmp_path):
    path = tmp_path / "burnish.toml"
    path.write_text(TOML + '[agent.support.loop]\nevery = "weekly"\n')
    found = call("loop", "support").exception
    assert "loop.every has another form" in found.found
    assert 'such as "30m"' in found.expected
    assert "regex" not in str(found)
