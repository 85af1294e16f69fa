"""An abandoned event stream (v3) of a remote graph ends its trajectory.

The client replaces LangGraph's server, which cannot be started here as a package.
"""

import asyncio
import gc

import pytest
from langgraph.pregel.remote import RemoteGraph

import burnish
from burnish.journal.events import RunEnded


class Starting:
    def __init__(self, error=None):
        self.error = error

    def start(self, **given):
        if self.error is not None:
            raise self.error
        return {"run_id": "r"}


class StartingAsync(Starting):
    async def start(self, **given):
        return super().start(**given)


class FarThread:
    """Both clients' stream of a thread."""

    thread_id, output = "t", {"x": 3}

    def __init__(self, error, starting):
        self.run = starting(error)
        self.left = False

    def __enter__(self):
        return self

    def __exit__(self, *how):
        self.left = True

    async def __aenter__(self):
        return self

    async def __aexit__(self, *how):
        self.left = True

    def close(self):
        self.left = True


class Client:
    def __init__(self, error=None, starting=Starting):
        self.made = FarThread(error, starting)
        self.threads = self

    def stream(self, **given):
        return self.made


def agent(error=None):
    far = RemoteGraph(
        "assistant", client=Client(error, StartingAsync), sync_client=Client(error), name="far"
    )
    return burnish.wrap(far, agent="a")


def ends(journal):
    return [event.status for event in journal.events if isinstance(event, RunEnded)]


def read(graph):
    with graph.stream_events({"x": 1}, version="v3") as run:
        return run.output


async def read_async(graph):
    async with await graph.astream_events({"x": 1}, version="v3") as run:
        assert run is not None
        return "read"


def test_it_is_completed_when_it_was_read(journal):
    assert read(agent()) == {"x": 3}
    assert ends(journal) == ["completed"]


def test_a_coroutine_completes_it_too(journal):
    assert asyncio.run(read_async(agent())) == "read"
    assert ends(journal) == ["completed"]


def test_an_error_of_the_reader_fails_it(journal):
    with pytest.raises(LookupError), agent().stream_events({"x": 1}, version="v3"):
        raise LookupError("gone")
    assert ends(journal) == ["failed"]


@pytest.mark.parametrize("way", [read, lambda graph: asyncio.run(read_async(graph))])
def test_a_server_that_refuses_fails_it(journal, way):
    with pytest.raises(ConnectionError):
        way(agent(ConnectionError("away")))
    assert ends(journal) == ["failed"]


def test_one_that_is_aborted_or_never_entered_is_abandoned(journal):
    run = agent().stream_events({"x": 1}, version="v3")
    run.abort()
    agent().stream_events({"x": 1}, version="v3")
    gc.collect()
    assert ends(journal) == ["abandoned", "abandoned"]
