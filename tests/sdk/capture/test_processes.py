"""Capture in forked, spawned and killed processes, with journals on a real disk."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import burnish
from burnish import settings
from burnish.journal.events import ModelStarted, RunEnded, RunStarted
from burnish.journal.reader import read_events
from burnish.journal.writer import close_shared, shared
from burnish.telemetry.delivery import shipper

HERE = str(Path(__file__).parent)  # the programs import the agent from asker.py


def process(code, home):
    environment = {**os.environ, "BURNISH_HOME": str(home), "PYTHONPATH": HERE}
    environment.pop("PYTEST_CURRENT_TEST", None)
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
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
def test_what_was_recorded_before_a_kill_is_there(tmp_path):
    code = """
        import os, signal, asker
        asker.run("memory", "", "sync", "ask")
        print("done", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """

    done = process(code, tmp_path / "home")

    assert (done.returncode, done.stdout) == (-9, "done\n")
    found = events(tmp_path / "home")
    assert of(RunEnded, found)[0].status == "interrupted"


FORKING = """
    import operator, os
    from typing import Annotated, TypedDict
    import burnish
    from burnish.testing import ScriptedChatModel
    from langgraph.graph import START, StateGraph

    class State(TypedDict):
        notes: Annotated[list, operator.add]

    def fork(state):
        model = ScriptedChatModel(script=["said"], repeat=True)
        model.invoke("before")
        pid = os.fork()
        if pid == 0:
            model.invoke("in the child")
            os._exit(0)
        os.waitpid(pid, 0)
        model.invoke("after")
        return {"notes": ["forked"]}

    builder = StateGraph(State)
    builder.add_node("fork", fork)
    builder.add_edge(START, "fork")
    burnish.wrap(builder.compile(), agent="forker").invoke({"notes": []})
"""


@pytest.mark.slow
def test_a_child_forked_inside_a_run_records_into_it_and_does_not_end_it(tmp_path):
    done = process(FORKING, tmp_path / "home")

    assert done.returncode == 0, done.stderr
    found = events(tmp_path / "home")
    assert len({event.trajectory for event in found}) == 1
    assert [event.status for event in of(RunEnded, found)] == ["completed"]
    assert len(of(ModelStarted, found)) == 3
    assert len({event.span for event in of(ModelStarted, found)}) == 3
    assert len(of(RunStarted, found)) == 1
    (trajectory,) = burnish.Workspace(tmp_path / "home").trajectories()
    assert [call.node for call in trajectory.model_calls] == ["fork"] * 3


WORKERS = """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    import asker

    def work(number):
        asker.run("memory", "", "sync", "ask")
        return number

    asker.run("memory", "", "sync", "ask")  # the parent has recorded before it forks
    worker = multiprocessing.get_context("fork").Process(target=work, args=(0,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        assert list(pool.map(work, range(3))) == [0, 1, 2]
    given = ("memory", "", "sync", "ask")
    for way in ("spawn", "forkserver"):
        worker = multiprocessing.get_context(way).Process(target=asker.run, args=given)
        worker.start()
        worker.join()
        assert worker.exitcode == 0
"""


@pytest.mark.slow
def test_worker_processes_record_runs_of_their_own(tmp_path):
    done = process(WORKERS, tmp_path / "home")

    assert done.returncode == 0, done.stderr
    found = events(tmp_path / "home")
    runs = {event.trajectory for event in of(RunStarted, found)}
    assert len(runs) == len(of(RunStarted, found)) == 7
    for run in runs:
        mine = [event for event in found if getattr(event, "trajectory", None) == run]
        assert len(of(ModelStarted, mine)) == 1
        assert [event.status for event in of(RunEnded, mine)] == ["interrupted"]


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


def test_events_go_where_the_settings_say_also_in_the_middle_of_a_run(home, tmp_path):
    with burnish.trace(agent="mover"):
        burnish.configure(home=tmp_path / "elsewhere")
        with burnish.trace.tool_call("look", {}) as call:
            call.result("seen")
    burnish.flush()

    assert [type(event) for event in events(home)] == [RunStarted]
    assert [type(event).__name__ for event in events(tmp_path / "elsewhere")] == [
        "ToolStarted",
        "ToolEnded",
        "RunEnded",
    ]


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
