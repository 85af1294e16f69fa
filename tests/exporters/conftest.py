"""Fixtures of the exporters' tests: runs made by hand, a separate home folder, modules to import."""

from collections.abc import Callable
from pathlib import Path

import pytest
from runs_by_hand import build_run

import burnish
from burnish import settings
from burnish.records import Trajectory

RunMaker = Callable[..., Trajectory]


@pytest.fixture
def make_run() -> RunMaker:
    """Maker of runs; see build_run()."""
    return build_run


@pytest.fixture(autouse=True)
def home(tmp_path: Path):
    """A separate home folder for each test."""
    settings.reset()
    burnish.settings.configure(home=tmp_path / "home")
    yield tmp_path / "home"
    settings.reset()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a module that a verifier can import by path; returns its name."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.chdir(folder)
    count = iter(range(100))

    def write(source: str) -> str:
        name = f"checks_{folder.parent.name.replace('-', '_')}_{next(count)}"
        (folder / f"{name}.py").write_text(source)
        return name

    return write
