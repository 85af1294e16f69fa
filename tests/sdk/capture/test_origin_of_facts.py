"""A fact that code inside a run reports about that run is marked "inside"; about another run it is our own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool

import burnish
from burnish import settings
from burnish.capture.api.scopes import record_state
from burnish.capture.recorder.context import current_trajectory_id, suppress
from burnish.records import Outcome, Verdict
from burnish.testing import ScriptedChatModel


@pytest.fixture
def workspace(tmp_path):
    burnish.configure(home=tmp_path, fsync="never")
    yield burnish.Workspace(tmp_path)
    settings.reset()


def run_that_says(report, thread="t"):
    """An agent whose tool reports during its own run."""

    def say(text: str) -> str:
        """Say something."""
        report()
        return text

    call = {"name": "say", "args": {"text": "x"}, "id": "c1"}
    model = ScriptedChatModel(script=[AIMessage("", tool_calls=[call]), "done"])
    agent = burnish.wrap(create_agent(model, [StructuredTool.from_function(say)]), agent="a")
    return agent, {"configurable": {"thread_id": thread}}


def of_the_run():
    burnish.outcome(trajectory_id=current_trajectory_id(), success=True, source="crm")


def of_the_thread():
    burnish.outcome(thread_id="t", success=True, source="crm", scope="thread")


def by_the_workspace():
    fact = Outcome(source="crm", success=True)
    burnish.Workspace().append_outcome(fact, trajectory_id=current_trajectory_id())


def in_a_pool():
    run = current_trajectory_id()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: burnish.outcome(trajectory_id=run, success=True, source="crm")).result()


def in_a_thread():
    run = current_trajectory_id()
    thread = threading.Thread(
        target=lambda: burnish.outcome(trajectory_id=run, success=True, source="crm")
    )
    thread.start()
    thread.join()


def in_a_thread_of_a_thread():
    outer = threading.Thread(target=in_a_thread_that_knows_its_thread)
    outer.start()
    outer.join()


def in_a_thread_that_knows_its_thread():
    inner = threading.Thread(target=of_the_thread)
    inner.start()
    inner.join()


def under_suppress():
    with suppress():
        of_the_run()


REPORTS = [
    of_the_run, of_the_thread, by_the_workspace, in_a_pool, in_a_thread, in_a_thread_of_a_thread,
    under_suppress,
]  # fmt: skip


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.__name__)
def test_a_tool_that_reports_on_its_own_run_is_inside(workspace, report):
    agent, config = run_that_says(report)

    agent.invoke({"messages": [("user", "q")]}, config)

    (run,) = workspace.trajectories()
    assert [(o.success, o.origin) for o in run.outcomes] == [(True, "inside")]


async def test_a_tool_of_an_asynchronous_run_is_inside_too(workspace):
    agent, config = run_that_says(of_the_run)

    await agent.ainvoke({"messages": [("user", "q")]}, config)

    (run,) = workspace.trajectories()
    assert [o.origin for o in run.outcomes] == ["inside"]


def test_verdicts_and_states_from_inside_are_marked_alike(workspace):
    with burnish.trace(agent="a") as scope:
        workspace.append_verdict(scope.trajectory_id, Verdict(label="success", verifier="v"))
        record_state({"done": True})

    (run,) = workspace.trajectories()
    assert ([v.origin for v in run.verdicts], run.state_origin) == (["inside"], "inside")


def test_the_state_of_a_task_s_world_is_our_own(workspace):
    class World:
        def state(self):
            return {"done": True}

    with burnish.task(environment=World()), burnish.trace(agent="a"):
        pass

    (run,) = workspace.trajectories()
    assert (run.final_state, run.state_origin) == ({"done": True}, "own")


def test_a_run_may_report_on_another_run(workspace):
    with burnish.trace(agent="worker", thread_id="w") as worker:
        pass
    with burnish.trace(agent="supervisor", thread_id="s"):
        burnish.outcome(trajectory_id=worker.trajectory_id, success=True, source="review")
        burnish.outcome(thread_id="w", success=True, source="crm", scope="thread")

    (run,) = workspace.trajectories(agent="worker")
    assert {(o.source, o.origin) for o in run.outcomes} == {("review", "own"), ("crm", "own")}


def test_once_the_run_is_over_it_is_judged_from_outside(workspace):
    with burnish.trace(agent="a", thread_id="t") as scope:
        pass
    burnish.outcome(trajectory_id=scope.trajectory_id, success=True, source="crm")

    (run,) = workspace.trajectories()
    assert [o.origin for o in run.outcomes] == ["own"]
