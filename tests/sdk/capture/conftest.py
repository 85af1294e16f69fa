"""Scenarios played against a journal in memory, and the small agents that many modules share."""

from typing import ClassVar

import pytest

from burnish.capture import faults

pytest.register_assert_rewrite("scenarios.playing")

from scenarios import SCENARIOS, playing  # noqa: E402 - its assertions are rewritten now
from scenarios import agents as shared  # noqa: E402


@pytest.fixture
def recorded(journal):
    """Plays a scenario and returns the journal of its events."""

    def play(name):
        playing.perform(SCENARIOS[name], wrapped=True)
        return journal

    return play


@pytest.fixture(autouse=True)
def _fresh_counts():
    faults.forget()
    yield
    faults.forget()


@pytest.fixture
def agents():
    """The builders above, for test modules."""

    class Agents:
        ask = shared.ASK
        tools: ClassVar = {"add": shared.add, "fail": shared.fail}

    for built in (shared.adding_agent, shared.adding_script, shared.call):
        setattr(Agents, built.__name__, staticmethod(built))
    return Agents
