"""Scopes that users set: code to leave out, the attempted task, the environment."""

import pytest
from scenarios.agents import EMPTY, graph_of

import burnish
from burnish.capture import faults
from burnish.capture.recorder.context import current_thread_id, current_trajectory_id, suppress
from burnish.journal.events import ModelEnded, ModelStarted, RunEnded, RunStarted, StateRecorded
from burnish.testing import ScriptedChatModel


def asking(*answers, **fields):
    return ScriptedChatModel(script=list(answers), **fields)


def test_nothing_is_recorded_under_suppress(agents, journal):
    graph = burnish.wrap(agents.adding_agent(), agent="adder")

    with suppress():
        graph.invoke(agents.ask)

    assert journal.events == []


def test_a_judge_inside_a_run_records_nothing_under_suppress(journal):
    def node(state):
        with suppress():
            asking("judged").invoke("q")
        return {"messages": [asking("said").invoke("q")]}

    burnish.wrap(graph_of(node).compile(), agent="judged").invoke(EMPTY)

    assert [journal.value(e.reply)["parts"][0]["content"] for e in journal.of(ModelEnded)] == [
        "said"
    ]


def test_runs_that_nobody_wrapped_are_counted_and_not_recorded(agents, journal):
    burnish.wrap(agents.adding_agent(), agent="adder")  # the handler is there from now on

    asking("x").invoke("q")

    assert journal.events == []
    assert faults.counts()["ignored_runs"] >= 1


def test_all_runs_are_recorded_where_the_setting_asks_for_it(agents, journal):
    burnish.wrap(agents.adding_agent(), agent="adder")
    burnish.configure(capture="all")
    try:
        asking("x").invoke("q")
        agents.adding_agent().invoke(agents.ask)
    finally:
        burnish.configure(capture="wrapped")

    assert len(journal.of(RunStarted)) == 2
    assert len(journal.of(ModelStarted)) == 4
    assert journal.list_open_spans() == set()


def test_capture_can_be_switched_off(agents, journal):
    burnish.configure(capture="off")
    try:
        burnish.wrap(agents.adding_agent(), agent="adder").invoke(agents.ask)
    finally:
        burnish.configure(capture="wrapped")

    assert journal.events == []


class World:
    def __init__(self):
        self.value = 1

    def state(self):
        return {"value": self.value}


def test_a_task_names_the_runs_inside_it_and_records_the_state_of_its_world(journal):
    world = World()

    def node(state):
        world.value = 2
        return {"notes": ["x"]}

    graph = burnish.wrap(graph_of(node).compile(), agent="worker")

    with burnish.task(
        id="k1", user="u", attempt=2, source="rollout", environment=world, explore=True
    ) as scope:
        graph.invoke(EMPTY)

    (started,) = journal.of(RunStarted)
    assert (started.task_id, started.user, started.attempt, started.source, started.mode) == (
        "k1", "u", 2, "rollout", "explore",
    )  # fmt: skip
    assert started.environment == "World"
    assert scope.trajectory_ids == [started.trajectory]
    (state,) = journal.of(StateRecorded)
    assert journal.value(state.state) == {"value": 2}
    assert journal.events.index(state) < journal.events.index(journal.of(RunEnded)[0])


def test_a_world_that_cannot_tell_its_state_is_a_counted_loss(journal):
    class Broken:
        def state(self):
            raise OSError("gone")

    def node(state):
        return {"notes": ["x"]}

    with burnish.task(environment=Broken()):
        burnish.wrap(graph_of(node).compile(), agent="worker").invoke(EMPTY)

    assert journal.of(RunEnded)[0].losses == {"state_not_recorded": 1}


@pytest.mark.parametrize(
    "wrong", [{"attempt": 0}, {"source": "dream"}, {"explore": True, "source": "production"}]
)
def test_a_task_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(burnish.errors.CaptureError):
        burnish.task(**wrong)


def test_where_we_are_is_known_inside_and_not_outside(journal):
    seen = []

    def node(state):
        seen.append((current_trajectory_id(), current_thread_id()))
        return {"notes": ["x"]}

    graph = burnish.wrap(graph_of(node).compile(), agent="here")
    graph.invoke(EMPTY, {"configurable": {"thread_id": 7}})

    assert seen == [(journal.of(RunStarted)[0].trajectory, "7")]
    assert (current_trajectory_id(), current_thread_id()) == (None, None)
