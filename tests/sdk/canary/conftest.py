"""A workspace and a routed agent in it."""

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
