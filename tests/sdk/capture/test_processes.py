"""One trajectory across processes: resumed elsewhere, forked, killed; journals on a real disk."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

import burnish
from burnish import settings
from burnish.journal.events import ModelStarted, RunEnded, RunStarted
from burnish.journal.reader import read_events
from burnish.journal.writer import close_shared, shared
from burnish.telemetry import shipper

AGENT = """
import asyncio, operator, os, sys
from typing import Annotated, TypedDict
import burnish
from burnish.testing import ScriptedChatModel
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

class State(TypedDict):
    notes: Annotated[list, operator.add]

def build(saver):
    model = ScriptedChatModel(script=["said"], repeat=True)

    def ask(state):
        model.invoke("before")
        return {"notes": [interrupt("who?")]}

    def tell(state):
        model.invoke("after")
        return {"notes": ["told"]}

    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_node("tell", tell)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "tell")
    return burnish.wrap(builder.compile(checkpointer=saver), agent="asker")

CONFIG = {"configurable": {"thread_id": "t"}}
"""
SYNC = """
from langgraph.checkpoint.sqlite import SqliteSaver
with SqliteSaver.from_conn_string(sys.argv[1]) as saver:
    build(saver).invoke(VALUE, CONFIG)
"""
ASYNC = """
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
async def main():
    async with AsyncSqliteSaver.from_conn_string(sys.argv[1]) as saver:
        await build(saver).ainvoke(VALUE, CONFIG)
asyncio.run(main())
"""
START = '{"notes": []}'
ANSWER = 'Command(resume="me")'


def process(code, home, *arguments):
    environment = {**os.environ, "BURNISH_HOME": str(home)}
    environment.pop("PYTEST_CURRENT_TEST", None)
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def events(home):
    return [event for event, _ in read_events(home)]


def of(kind, found):
    return [event for event in found if isinstance(event, kind)]


@pytest.mark.slow
@pytest.mark.parametrize("way", [SYNC, ASYNC], ids=["sync", "async"])
def test_a_run_that_is_resumed_in_another_process_stays_one_trajectory(tmp_path, way):
    home, checkpoints = tmp_path / "home", tmp_path / "checkpoints.sqlite"

    for value in (START, ANSWER):
        done = process(AGENT + way.replace("VALUE", value), home, checkpoints)
        assert done.returncode == 0, done.stderr

    found = events(home)
    assert len({event.trajectory for event in found}) == 1
    assert [event.status for event in of(RunEnded, found)] == ["interrupted", "completed"]
    assert len(of(ModelStarted, found)) == 3


@pytest.mark.slow
def test_what_was_recorded_before_a_kill_is_there(tmp_path):
    code = (
        AGENT
        + """
import signal
from langgraph.checkpoint.memory import InMemorySaver
graph = build(InMemorySaver())
graph.invoke({"notes": []}, CONFIG)
print("done", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    )

    done = process(code, tmp_path / "home")

    assert (done.returncode, done.stdout) == (-9, "done\n")
    found = events(tmp_path / "home")
    assert of(RunEnded, found)[0].status == "interrupted"


@pytest.mark.slow
def test_forked_and_spawned_children_record_their_own_and_do_not_end_the_parents(tmp_path):
    code = (
        AGENT
        + """
import json, multiprocessing
from langgraph.checkpoint.memory import InMemorySaver

def child(kind):
    build(InMemorySaver()).invoke({"notes": []}, CONFIG)

def fork(state):
    model = ScriptedChatModel(script=["in the child"])
    pid = os.fork()
    if pid == 0:
        model.invoke("in the child")
        os._exit(0)
    os.waitpid(pid, 0)
    return {"notes": ["forked"]}

if __name__ == "__main__":
    builder = StateGraph(State)
    builder.add_node("fork", fork)
    builder.add_edge(START, "fork")
    burnish.wrap(builder.compile(), agent="forker").invoke({"notes": []})
    worker = multiprocessing.get_context("fork").Process(target=child, args=("fork",))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
"""
    )
    home = tmp_path / "home"

    done = process(code, home)

    assert done.returncode == 0, done.stderr
    found = events(home)
    parents = [event for event in of(RunStarted, found) if event.agent == "forker"]
    assert len(parents) == 1
    mine = [event for event in found if event.trajectory == parents[0].trajectory]
    assert len(of(RunEnded, mine)) == 1
    assert len(of(ModelStarted, mine)) == 1
    (other,) = [event for event in of(RunStarted, found) if event.agent == "asker"]
    assert other.trajectory != parents[0].trajectory


@pytest.fixture
def home(tmp_path):
    burnish.configure(home=tmp_path / "home")
    yield tmp_path / "home"
    settings.reset()
    shipper.ensure_started()  # under the settings of before: the test's own shipper is closed
    close_shared()


def test_flush_makes_it_durable_and_has_nothing_to_ship(home, agents):
    burnish.wrap(agents.adding_agent(), agent="adder").invoke(agents.ask)

    assert burnish.flush(timeout_s=5) == 0
    assert shared().folder is not None
    assert len(of(ModelStarted, events(home))) == 3


def test_the_workspace_gives_the_trajectory_back_as_it_ran(home, agents):
    graph = burnish.wrap(agents.adding_agent(parallel=False), agent="adder")
    with burnish.task(id="k", user="ann", source="rollout"):
        graph.invoke(agents.ask, {"configurable": {"thread_id": "t"}})
    burnish.outcome(thread_id="t", success=True, source="crm")
    burnish.flush()

    (trajectory,) = burnish.Workspace(home).trajectories(agent="adder")

    assert (trajectory.status, trajectory.answer) == ("completed", "the sum is ten")
    assert (trajectory.task_id, trajectory.user, trajectory.thread_id) == ("k", "ann", "t")
    assert [call.node for call in trajectory.model_calls] == ["model"] * 3
    assert [run.arguments for run in trajectory.tool_runs] == [{"a": 1, "b": 2}, {"a": 3, "b": 7}]
    assert [run.result for run in trajectory.tool_runs] == ["3", "10"]
    assert [message["role"] for message in trajectory.model_calls[-1].messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]
    assert trajectory.outcomes[0].success is True
    assert trajectory.losses == {}


def test_a_fault_of_the_exporter_is_not_the_agents(home, agents):
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Hanging(SpanExporter):
        def export(self, spans):
            raise RuntimeError("exporter")

        def shutdown(self):
            return None

    assert SpanExportResult is not None
    burnish.configure(exporters=[Hanging()])

    result = burnish.wrap(agents.adding_agent(), agent="adder").invoke(agents.ask)

    assert result["messages"][-1].content == "the sum is ten"
    assert burnish.flush(timeout_s=0.2) > 0
    assert json.dumps({"still": "alive"})
