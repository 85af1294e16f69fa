"""Capture, sync and reading on systems without Linux's functions: the names are removed in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.files import platform
from burnish.journal import layout
from burnish.journal.reader import is_alive

LACKS = {
    "macOS": {"os": ("fdatasync",), "modules": ()},
    "Windows": {
        "os": ("fdatasync", "fork", "register_at_fork", "geteuid", "getuid", "getegid", "getgid"),
        "modules": ("fcntl", "resource", "pwd", "grp"),
    },
}
JOURNEY = """
import os, sys
import asyncio, langchain.agents, langgraph.graph, sqlalchemy, subprocess, tempfile, uuid
lacks_names, lacks_modules, home = sys.argv[1].split(","), sys.argv[2].split(","), sys.argv[3]
for name in filter(None, lacks_names):
    delattr(os, name)
for name in filter(None, lacks_modules):
    sys.modules[name] = None
import burnish
from burnish.testing import ScriptedChatModel
burnish.configure(home=home, fsync="always")
agent = burnish.wrap(
    langchain.agents.create_agent(ScriptedChatModel(script=["It is ten."])), agent="adder"
)
agent.invoke({"messages": [("user", "3 + 7?")]}, {"configurable": {"thread_id": "t"}})
burnish.outcome(thread_id="t", success=True, source="crm")
burnish.flush()
workspace = burnish.Workspace(home)
(run,) = workspace.trajectories()
assert run.answer == "It is ten.", run
assert run.outcomes[0].success is True
workspace.forget(thread_id="t")
assert not list(workspace.trajectories())
import burnish_exporters, burnish.cli.doctor, burnish.files.platform
print(burnish.files.platform.missing_features())
"""


@pytest.mark.parametrize("system", LACKS)
def test_a_run_is_recorded_synced_read_and_forgotten_on(system, tmp_path):
    lacks = LACKS[system]
    script = tmp_path / "journey.py"
    script.write_text(JOURNEY)
    home = tmp_path / "home"
    ran = subprocess.run(
        [
            sys.executable, "-W", "error", script,
            ",".join(lacks["os"]), ",".join(lacks["modules"]), home,
        ],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert "no fdatasync" in ran.stdout
    assert ("no file locks" in ran.stdout) == (system == "Windows")


def test_linux_lacks_nothing():
    assert platform.missing_features() == []


def test_without_locks_a_journal_lives_as_long_as_its_process(tmp_path, monkeypatch):
    folder, lock = layout.make_process_folder(tmp_path, 1)
    os.close(lock)
    assert not is_alive(folder)
    monkeypatch.setattr(platform, "take_lock", lambda *_, **__: "unsupported")
    assert is_alive(folder)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = folder.with_name(folder.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-"))
    assert not is_alive(folder.rename(gone))
    other_host = gone.with_name(f"elsewhere-{ended.pid}-1")
    assert is_alive(gone.rename(other_host))


def test_platforms_differ_in_one_module():
    """The sandbox needs Linux and runs without burnish."""
    words = ("fcntl", "register_at_fork", "fdatasync", "os.getuid", "import resource", "msvcrt")
    own = {"platform.py", "box.py", "box_init.py"}
    packages = [Path(__file__).parents[2] / name for name in ("sdk", "exporters", "trainer")]
    found = [
        f"{path.name}: {word}"
        for package in packages
        for path in package.rglob("*.py")
        if path.name not in own
        for word in words
        if word in path.read_text("utf-8")
    ]
    assert found == []
