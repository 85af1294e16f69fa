"""A resume finds the run that made its checkpoint, and the agent sees no trace of it."""

import contextlib
import io
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

import burnish
from burnish import settings
from burnish.capture import faults
from burnish.capture.recorder import thread_runs
from burnish.capture.recorder.runs import registry
from burnish.journal.events import RunStarted
from burnish.workspace import Workspace

KEY = "burnish"
ON = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    x: int


def asking_graph(saver, seen=None, *, asks=True):
    def node(state, config: RunnableConfig):
        if seen is not None:
            seen.append(sorted(config["configurable"]))
        return {"x": interrupt("sure?") if asks else state["x"] + 1}

    builder = StateGraph(State)
    builder.add_node("ask", node)
    builder.add_node("after", lambda state: {"x": state["x"] + 1})
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "after")
    return builder.compile(checkpointer=saver)


@pytest.fixture
def home(tmp_path):
    """A separate workspace, as processes with another memory find it."""
    burnish.configure(home=tmp_path / "home")
    yield tmp_path / "home"
    settings.reset()


def forget_this_process():
    """Drop the threads that only this process has in memory."""
    registry.interrupted.clear()
    thread_runs._memory.clear()


def starts(home):
    burnish.flush()
    return {
        trajectory.id: trajectory.status
        for trajectory in sorted(Workspace(home).trajectories(), key=lambda found: found.started_ns)
    }


def shows(graph, printed):
    """Return every visible place of a checkpoint's config or metadata."""
    saver = graph.checkpointer
    yield "state", graph.get_state(ON)
    yield "history", list(graph.get_state_history(ON))
    yield "checkpoint", saver.get_tuple(ON)
    yield "checkpoints", list(saver.list(None))
    yield "stream", list(graph.stream({"x": 1}, ON, stream_mode=["debug", "checkpoints", "tasks"]))
    graph.stream_mode = "debug"
    yield "own mode", list(graph.stream({"x": 1}, ON))
    with contextlib.redirect_stdout(printed):
        graph.invoke({"x": 1}, ON, print_mode="debug")
    yield "print", printed.getvalue()


def test_nothing_of_ours_is_in_configs_and_checkpoints(journal):
    seen = []
    graph = burnish.wrap(asking_graph(InMemorySaver(), seen, asks=False), agent="a")
    graph.invoke({"x": 1}, ON)

    found = {place: KEY in repr(content) for place, content in shows(graph, io.StringIO())}

    assert not any(found.values()), found
    assert not any(KEY in name for names in seen for name in names)


@pytest.mark.parametrize("config", [None, {}, {"configurable": {}}])
def test_a_missing_thread_id_is_the_same_error(journal, config):
    with pytest.raises(ValueError, match="thread_id"):
        burnish.wrap(asking_graph(InMemorySaver()), agent="a").invoke({"x": 1}, config)


def test_a_resume_without_memory_is_the_same_trajectory(home):
    saver = InMemorySaver()
    burnish.wrap(asking_graph(saver), agent="a").invoke({"x": 1}, ON)
    forget_this_process()
    burnish.wrap(asking_graph(saver), agent="a").invoke(Command(resume=5), ON)

    assert list(starts(home).values()) == ["completed"]


def test_a_fork_belongs_to_the_run_that_made_its_checkpoint(home):
    saver = InMemorySaver()
    graph = burnish.wrap(asking_graph(saver, asks=False), agent="a")
    graph.invoke({"x": 1}, ON)
    old = graph.get_state(ON).config
    graph.invoke({"x": 2}, ON)
    forget_this_process()
    graph.invoke(None, old)

    first, second = starts(home)
    resumed = [run.trajectory for run in thread_runs.runs_of_thread("t")]
    assert resumed == [first, second, first]


def test_a_checkpoint_of_an_unwrapped_run_belongs_to_no_trajectory(home):
    saver = InMemorySaver()
    burnish.wrap(asking_graph(saver, asks=False), agent="a").invoke({"x": 1}, ON)
    asking_graph(saver).invoke({"x": 1}, ON)
    burnish.wrap(asking_graph(saver), agent="a").invoke(Command(resume=5), ON)

    assert len(starts(home)) == 2


def test_the_key_that_earlier_versions_wrote_into_checkpoints_is_still_read(home):
    saver = InMemorySaver()
    graph = asking_graph(saver)
    named = "ab" * 16
    graph.invoke({"x": 1}, {"configurable": {"thread_id": "t", "burnish_trajectory": named}})
    burnish.wrap(graph, agent="a").invoke(Command(resume=5), ON)

    assert list(starts(home)) == [named]


def test_a_home_that_cannot_be_written_stops_no_agent(tmp_path):
    (tmp_path / "file").touch()
    burnish.configure(home=tmp_path / "file" / "home")
    try:
        thread_runs.note_start("t", "ab" * 16, 1)
        assert thread_runs.run_at("t", 1) is None
        assert any("list of threads not written" in kind for kind in faults.counts())
    finally:
        settings.reset()


def test_a_full_file_is_kept_beside_the_new_one(home, monkeypatch):
    monkeypatch.setattr(thread_runs, "_FULL", 96)
    for number in range(4):
        thread_runs.note_start("t", f"{number:032x}", number * 1000)

    assert [run.started_ns for run in thread_runs.runs_of_thread("t")] == [0, 1000, 2000, 3000]
    assert thread_runs.run_at("t", 2) == f"{2:032x}"


def test_forgotten_runs_leave_no_record(home):
    graph = burnish.wrap(asking_graph(InMemorySaver(), asks=False), agent="a")
    graph.invoke({"x": 1}, ON)
    graph.invoke({"x": 1}, {"configurable": {"thread_id": "other"}})
    burnish.flush()
    Workspace(home).forget(thread_id="t")

    assert thread_runs.runs_of_thread("t") == []
    assert len(thread_runs.runs_of_thread("other")) == 1


def test_the_name_of_a_thread_is_not_on_the_disk(home):
    graph = burnish.wrap(asking_graph(InMemorySaver(), asks=False), agent="a")
    graph.invoke({"x": 1}, {"configurable": {"thread_id": "anna@example.org"}})

    kept = (home / "threads.log").read_bytes()
    assert b"anna" not in kept
    assert (home / "threads.log").stat().st_mode & 0o077 == 0


def test_damaged_records_are_passed_over(home):
    thread_runs.note_start("t", "ab" * 16, 1000)
    with (home / "threads.log").open("ab") as file:
        file.write(b"\xff" * 31)
    thread_runs.note_end("t", "ab" * 16, 5000)

    assert thread_runs.runs_of_thread("t") == [("ab" * 16, 1000, 5000)]
    assert [thread_runs.run_at("t", moment) for moment in (0, 3, 6)] == [None, "ab" * 16, None]


def test_a_resumed_run_says_so(journal):
    saver = InMemorySaver()
    graph = burnish.wrap(asking_graph(saver), agent="a")
    graph.invoke({"x": 1}, ON)
    graph.invoke(Command(resume=5), ON)

    begun = [event for event in journal.events if isinstance(event, RunStarted)]
    assert [event.resumed for event in begun] == [False, True]
    assert len({event.trajectory for event in begun}) == 1


async def test_a_coroutine_resumes_alike_without_memory(home):
    saver = InMemorySaver()
    await burnish.wrap(asking_graph(saver), agent="a").ainvoke({"x": 1}, ON)
    forget_this_process()
    await burnish.wrap(asking_graph(saver), agent="a").ainvoke(Command(resume=5), ON)

    assert list(starts(home).values()) == ["completed"]


def test_threads_that_run_at_once_lose_no_record(home):
    with ThreadPoolExecutor(8) as pool:
        for number in range(200):
            pool.submit(thread_runs.note_start, f"t{number}", f"{number:032x}", number)

    found = [thread_runs.runs_of_thread(f"t{number}") for number in range(200)]
    assert [run.started_ns for (run,) in found] == list(range(200))


def test_a_run_that_the_garbage_collector_closes_inside_a_write_is_listed(home):
    with thread_runs._lock:  # as if this thread was writing
        thread_runs.note_end("t", "ab" * 16, 2000)
    thread_runs.note_start("t", "ab" * 16, 1000)

    assert len(thread_runs.runs_of_thread("t")) == 1
