"""One demo, played once through the command line; its facts serve every test here."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from burnish import settings


@dataclass(frozen=True)
class Played:
    """Files and facts of a finished demo."""

    facts: dict[str, Any]
    folder: Path
    shown: str


def burnish(*arguments: str, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would."""
    environ = {**os.environ, "COLUMNS": "120", **more.pop("env", {})}
    command = [sys.executable, "-m", "burnish.cli", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, check=False, **more
    )


@pytest.fixture(autouse=True)
def _settings_of_this_test_alone() -> Iterator[None]:
    yield
    settings.reset()


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A whole demo of one round, played by the first worker that asks; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "played-demo"
    folder.mkdir(exist_ok=True)
    shown = folder / "shown.txt"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shown.exists():
            done = burnish("demo", "--json", "facts.json", "--home", "demos", cwd=folder)
            assert done.returncode == 0, done.stderr[-4000:]
            shown.write_text(done.stderr)
    facts = json.loads((folder / "facts.json").read_text())
    return Played(facts, Path(facts["folder"]), shown.read_text())
