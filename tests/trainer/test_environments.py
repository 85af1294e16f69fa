"""Replay answers tools from a recorded run, shadow runs what reads; a call without an answer decides nothing."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.tools import ToolException, tool

import burnish
from burnish import settings
from burnish.errors import EvaluationError, WorkspaceError
from burnish_trainer import collect
from burnish_trainer.environments.built_in import ReplayEnvironment, open_built_in
from burnish_trainer.environments.tool_calls import interceptor, remove_interception
from burnish_trainer.evaluation import RunOptions
from burnish_trainer.evaluation.agent_project import load_agent

CLERK = """
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import ToolException, tool
from burnish.testing import ScriptedChatModel

DONE, READ, PLAN = [], [], []

@tool
def get_order(order: int) -> dict:
    "Read an order."
    READ.append(order)
    return {"order": order, "total": 41}

@tool
def cancel_order(order: int, reason: str = "none") -> str:
    "Cancel an order."
    DONE.append(order)
    if order == 13:
        raise ToolException("order 13 was shipped")
    return f"cancelled {order}"

cancel_order.handle_tool_error = True

def answer(messages):
    made = sum(message.type == "tool" for message in messages)
    if made < len(PLAN):
        name, args = PLAN[made]
        return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"c{made}"}])
    return AIMessage("Done: " + str(messages[-1].content))

def build(model):
    scripted = ScriptedChatModel(script=[answer], repeat=True, model="clerk")
    return create_agent(scripted, tools=[get_order, cancel_order])

def finished(trajectory, state):
    return trajectory.answer.startswith("Done")
"""

TOML = """
[agent.clerk]
build = "clerk:build"
verify = [{{ goal_state = "clerk:finished" }}]
base_model = "{base}"
environment = "{environment}"
writing_tools = {writing}
"""

LOOK_UP, CANCEL = ("get_order", {"order": 7}), ("cancel_order", {"order": 7})


@pytest.fixture
def clerk(base, home, tmp_path, monkeypatch):
    """A project whose agent makes the calls of a plan, and a recorded run of it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "clerk.py").write_text(CLERK)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(__import__("sys").modules, "clerk", raising=False)

    def name(environment, writing="[]"):
        (folder / "burnish.toml").write_text(
            TOML.format(base=base, environment=environment, writing=writing)
        )
        settings.configure(config=folder / "burnish.toml")
        return load_agent("clerk")

    yield name
    remove_interception()


def record(plan, text="cancel 7"):
    """Run the agent for real and return the id of the run."""
    import clerk

    clerk.PLAN[:] = plan
    graph = burnish.wrap(clerk.build(None), agent="clerk")
    graph.invoke({"messages": [("user", text)]})
    burnish.flush()
    *_, run = burnish.Workspace().trajectories(agent="clerk")
    clerk.DONE.clear()
    clerk.READ.clear()
    return run.id


def attempt(subject, origin, plan):
    """Attempt a task that was made from a run; return the result, its run, and what the real tools did."""
    import clerk

    clerk.PLAN[:] = plan
    task = {"id": "t1", "origin": origin, "input": {"messages": [("user", "cancel 7")]}}
    (found,) = collect(subject, [task], options=RunOptions(concurrency=1)).results
    run = burnish.Workspace().trajectory(found.trajectory_id) if found.trajectory_id else None
    return found, run, (list(clerk.READ), list(clerk.DONE))


@pytest.mark.slow
def test_replay_answers_from_the_recorded_run_and_touches_nothing(clerk):
    subject = clerk("replay")
    origin = record([LOOK_UP, CANCEL])
    found, run, touched = attempt(subject, origin, [LOOK_UP, CANCEL])
    assert found.label == "success"
    assert touched == ([], [])
    assert run.answer == "Done: cancelled 7"
    assert [call.name for call in run.tool_runs] == ["get_order", "cancel_order"]
    assert [call["answered"] for call in run.final_state["calls"]] == ["recorded", "recorded"]

    # Another order of the same calls is answered, another call is not.
    assert attempt(subject, origin, [CANCEL])[0].label == "success"
    other, run, touched = attempt(subject, origin, [("cancel_order", {"order": 8})])
    assert other.label == "unknown"
    assert "cancel_order({'order': 8}) is not in the recorded run" in other.reason
    assert not other.infrastructure
    assert touched == ([], [])
    assert interceptor.get() is None


@pytest.mark.slow
def test_shadow_runs_what_reads_and_replays_or_blocks_what_writes(clerk):
    subject = clerk("shadow", '["cancel_order"]')
    origin = record([LOOK_UP, CANCEL])
    found, _, touched = attempt(subject, origin, [("get_order", {"order": 99}), CANCEL])
    assert found.label == "success"
    assert touched == ([99], [])
    blocked, _, touched = attempt(subject, origin, [("cancel_order", {"order": 99})])
    assert blocked.label == "unknown"
    assert touched[1] == []
    without, _, touched = attempt(subject, None, [CANCEL])
    assert (without.label, touched[1]) == ("unknown", [])
    assert "no run" in without.reason


@pytest.mark.slow
def test_a_recorded_failure_of_a_tool_fails_again(clerk):
    subject = clerk("replay")
    origin = record([("cancel_order", {"order": 13})], "cancel 13")
    found, run, touched = attempt(subject, origin, [("cancel_order", {"order": 13})])
    assert found.label == "success"
    assert run.answer == "Done: order 13 was shipped"
    assert run.tool_runs[0].is_error
    assert touched == ([], [])


@pytest.mark.slow
def test_live_runs_the_tools_and_a_task_without_its_run_is_an_error(clerk):
    origin = record([LOOK_UP]) if clerk("live") else None
    found, _, touched = attempt(clerk("live"), origin, [LOOK_UP])
    assert (found.label, touched) == ("unknown", ([7], []))  # the check needs a state
    lost, _, _ = attempt(clerk("replay"), None, [LOOK_UP])
    assert lost.infrastructure
    assert "names no run to replay" in lost.reason


def test_what_an_environment_needs_is_said(home):
    workspace = burnish.Workspace()
    with pytest.raises(EvaluationError, match="writing_tools"):
        open_built_in("shadow", workspace, [])
    with pytest.raises(WorkspaceError, match="no trajectory"):
        ReplayEnvironment(workspace).open({"id": "t", "origin": "0" * 32})


def test_tools_that_run_asynchronously_are_answered_too_and_others_stay_as_they_were(home):
    class Fixed:
        def answer_for(self, name, arguments):
            return (lambda: f"recorded {arguments}") if name == "double" else None

    @tool
    async def double(number: int) -> str:
        "Double a number."
        raise ToolException("the real tool ran")

    @tool
    def half(number: int) -> float:
        "Halve a number."
        return number / 2

    from burnish_trainer.environments.tool_calls import install_interception

    install_interception()
    install_interception()
    token = interceptor.set(Fixed())
    try:
        assert asyncio.run(double.ainvoke({"number": 2})) == "recorded {'number': 2}"
        assert half.invoke({"number": 3}) == 1.5
    finally:
        interceptor.reset(token)
        remove_interception()
    with pytest.raises(ToolException, match="the real tool ran"):
        asyncio.run(double.ainvoke({"number": 2}))
