"""A project folder with recorded runs and a dataset, and the command line in this process."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from burnish import settings
from burnish.cli.app import build_app
from burnish.journal import events as e
from burnish.testing.recording import Recording

CONFIG = """
[agent.support]
build = "clerk_agent:build"
base_model = "starter"
verify = [{ goal_state = "clerk_checks:reached" }]
"""
AGENT = "def build(model):\n    return model\n"
CHECKS = "def reached(run, state):\n    return True\n"


@pytest.fixture(autouse=True)
def _own_settings():
    settings.reset()
    yield
    settings.reset()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with burnish.toml, a check and two recorded runs; the working folder of the test."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "burnish.toml").write_text(CONFIG)
    (tmp_path / "clerk_agent.py").write_text(AGENT)
    (tmp_path / "clerk_checks.py").write_text(CHECKS)
    recording = Recording(tmp_path / ".burnish")
    for number in range(2):
        name = f"{number}a{number}b" * 8
        recording.write_run(name, task_id=f"task-{number}", task=f"order {number}")
        state = e.canonical({"done": True})
        reached = e.StateRecorded(at=recording.clock(), trajectory=name, state=e.ref_of(state))
        recording.writer.append(reached, {reached.state: state})
    recording.writer.close()
    return tmp_path


@pytest.fixture
def burnish():
    """Runs a command in this process; gives the result, or the parsed JSON with `--json`."""

    def run(*words, code=0):
        result = CliRunner().invoke(build_app(), list(words))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if "--json" in words else result.stdout

    return run
