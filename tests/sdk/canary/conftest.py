"""A workspace and a routed agent in it."""

import random
import uuid

import pytest
from routed_agent import make_graph

import burnish
from burnish import settings


@pytest.fixture
def home(tmp_path):
    settings.reset()
    burnish.configure(home=tmp_path)
    yield tmp_path
    burnish.flush()
    settings.reset()


@pytest.fixture
def graph(home):
    return make_graph()


@pytest.fixture
def seeded(monkeypatch):
    """Draws the salts of the assignment from a seed, so that a statistical test has one result."""
    salts = random.Random(1)  # a rollout's id salts the assignment
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=salts.getrandbits(128)))
