"""HTTP calls inside a tool are children of the tool's span, if `propagate` is set."""

from __future__ import annotations

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import burnish
from burnish.testing import ScriptedChatModel
from burnish.workspace import Workspace


@pytest.fixture
def service():
    """A real HTTP service that remembers the traceparent of each path."""
    seen: dict[str, str | None] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen[self.path] = self.headers.get("traceparent")
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    server.seen, server.url = seen, f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def tracer():
    """A user's own tracer, and the spans that it has ended."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider.get_tracer("user"), exporter
    provider.shutdown()


def headers():
    """Return the headers that an instrumented client adds to a request."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def agent(service, numbers, *, fails=False):
    @tool
    def fetch(number: int) -> str:
        """Fetch something."""
        httpx.get(f"{service.url}/{number}", headers=headers())
        if fails:
            raise ValueError("no luck")
        return "fetched"

    @tool
    async def fetch_async(number: int) -> str:
        """Fetch something."""
        async with httpx.AsyncClient() as client:
            await client.get(f"{service.url}/{number}", headers=headers())
        return "fetched"

    calls = [{"name": "fetch", "args": {"number": n}, "id": f"c{n}"} for n in numbers]
    asynchronous = [{**call, "name": "fetch_async"} for call in calls]

    def answer(messages):
        if messages[-1].type == "tool":
            return "done"
        return AIMessage("", tool_calls=asynchronous if "async" in messages[-1].text else calls)

    return create_agent(ScriptedChatModel(script=[answer], repeat=True), [fetch, fetch_async])


def parents(home):
    """Return the traceparent that each call of a tool should have sent, by path."""
    return {
        f"/{run.arguments['number']}": f"00-{trajectory.trace_ids[0]}-{run.span_id}-01"
        for trajectory in Workspace(home).trajectories()
        for run in trajectory.tool_runs
    }


def test_a_request_inside_a_tool_is_a_child_of_the_tools_span(tmp_path, configured, service):
    configured(propagate=True)
    burnish.wrap(agent(service, [1, 2]), agent="desk").invoke({"messages": [("user", "go")]})

    assert service.seen == parents(tmp_path)
    assert len(service.seen) == 2
    assert headers() == {}


async def test_async_tools_that_run_at_once_do_not_mix(tmp_path, configured, service):
    configured(propagate=True)
    graph = burnish.wrap(agent(service, range(6)), agent="desk")
    await asyncio.gather(graph.ainvoke({"messages": [("user", "async")]}))

    assert service.seen == parents(tmp_path)
    assert len(set(service.seen.values())) == 6
    assert headers() == {}


def test_without_being_asked_nothing_is_sent_along(configured, service):
    configured()
    burnish.wrap(agent(service, [1]), agent="desk").invoke({"messages": [("user", "go")]})

    assert service.seen == {"/1": None}


def test_all_is_one_trace_where_the_run_joins_an_active_span(tmp_path, configured, service, tracer):
    configured(propagate=True)
    graph = burnish.wrap(agent(service, [1], fails=True), agent="desk")
    with tracer[0].start_as_current_span("request") as outer:
        with pytest.raises(ValueError, match="no luck"):
            graph.invoke({"messages": [("user", "go")]})
        assert trace.get_current_span() is outer

    (root,) = [span for span in Workspace(tmp_path).spans() if span.kind == "agent"]
    assert root.parent_id == f"{outer.get_span_context().span_id:016x}"
    assert root.trace_id == f"{outer.get_span_context().trace_id:032x}"
    assert service.seen == parents(tmp_path)
    assert service.seen["/1"].split("-")[1] == root.trace_id


def test_a_users_own_span_inside_a_tool_is_a_child_of_it(tmp_path, configured, tracer):
    configured(propagate=True)

    @burnish.trace(agent="hand")
    def work():
        look = burnish.trace.tool_call("look", {"q": 1})
        with look as call, tracer[0].start_as_current_span("inside"):
            call.result("found")
        with tracer[0].start_as_current_span("outside"):
            pass

    work()
    (run,) = next(Workspace(tmp_path).trajectories()).tool_runs
    inside, outside = tracer[1].get_finished_spans()

    assert f"{inside.parent.span_id:016x}" == run.span_id
    assert outside.parent is None
