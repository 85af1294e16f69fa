"""Tiny real models and adapters, made once per test run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"

TOOL_CALL = '<tool_call>{"name": "add", "arguments": {"a": [1]}}</tool_call>'
REPLIES = {
    "add": f"Sure. {TOOL_CALL}",
    "two": f"{TOOL_CALL}\n{TOOL_CALL}",
    "greet": "Hello there, Zoë!",
    "think": "<think>\nhm\n</think>\n\nYes.",
    "broken": '<tool_call>{"name": "add", "argum',
}


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    """A random base model, for tests that do not read its replies."""
    from burnish.serving.embedded.tiny import make_model

    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def taught(tmp_path_factory) -> Path:
    """A base model that has learned a few replies by heart."""
    from burnish.serving.embedded.tiny import make_model, teach_replies

    folder = make_model(tmp_path_factory.mktemp("models") / "taught", seed=3)
    teach_replies(folder, REPLIES, steps=200)
    return folder


@pytest.fixture(scope="session")
def adapters(tmp_path_factory, base: Path) -> dict[str, Path]:
    """Three adapters of different rank, with fingerprints, for the random base."""
    from burnish.serving.embedded.engine import Engine
    from burnish.serving.embedded.tiny import make_adapter
    from burnish.serving.fingerprint import make_fingerprint, write_fingerprint

    home = tmp_path_factory.mktemp("adapters")
    made = {
        name: make_adapter(home / name, base, seed=seed, rank=4 * seed)
        for seed, name in enumerate(("one@aaaaaaaaaaaa", "two@bbbbbbbbbbbb", "six@cccccccccccc"), 1)
    }
    engine = Engine(base)
    for name, folder in made.items():
        engine.load(name, folder)
        prompts = [[start, start + 1, start + 2] for start in range(10, 22)]
        write_fingerprint(folder, make_fingerprint(engine, name, prompts))
    engine.close()
    return made


@pytest.fixture
def engine(base: Path):
    """A separate engine without adapters."""
    from burnish.serving.embedded.engine import Engine

    engine = Engine(base)
    yield engine
    engine.close()


@pytest.fixture
def loaded(engine, adapters):
    """An engine with the three adapters."""
    for name, folder in adapters.items():
        engine.load(name, folder)
    return engine


@pytest.fixture
def home(tmp_path: Path):
    """A separate workspace folder."""
    from burnish import settings

    settings.configure(home=tmp_path / "home")
    yield tmp_path / "home"
    settings.reset()
