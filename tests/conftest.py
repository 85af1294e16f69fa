"""Shared set-up: an interrupt reaches the programs that tests start, and no test changes settings for another."""

import contextlib
import importlib.util
import os
import random
import signal
import sys

import pytest

# These need the providers' packages; `make test-providers` installs them in a separate environment.
collect_ignore = [] if importlib.util.find_spec("langchain_anthropic") else ["providers"]

# These need real receivers; `make nightly` installs and names them.
if "NIGHTLY" not in os.environ:
    collect_ignore.append("nightly")

# These need the consumers' packages; `make consumers` installs and names them.
if "CONSUMERS" not in os.environ:
    collect_ignore.append("consumers")

# These need the real OpenEnv and Harbor; `make environments` installs them.
if "ENVIRONMENTS" not in os.environ:
    collect_ignore.append("environments")

# A shell that runs the suite in the background has interrupts ignored, and so would have every child.
with contextlib.suppress(ValueError):  # not the main thread
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="module")
def _no_setting_outlives_its_module():
    """Programs that later tests start would inherit it."""
    before = _settings()
    yield
    assert _settings() == before, "set it with monkeypatch, or in the environment of the child"


@pytest.fixture(autouse=True)
def _rollouts_divide_their_threads_the_same_way_each_time(monkeypatch):
    """A rollout's id salts its assignment; drawn at random, the result of a canary would be left to chance."""
    salts = random.Random(1)
    monkeypatch.setattr(
        "burnish.canary.document.draw_salt", lambda: f"{salts.getrandbits(64):016x}"
    )


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("BURNISH_")}


@pytest.fixture
def command_line(monkeypatch, capsys):
    """Run `burnish ...` in this process: call it with the arguments; returns exit code, output and errors."""

    def call(*arguments):
        from burnish.cli import main

        monkeypatch.setenv("COLUMNS", "160")
        monkeypatch.setattr(sys, "argv", ["burnish", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return call
