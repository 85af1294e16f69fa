"""Run an agent bare and wrapped under each fault, each in a separate process.

usage: python faulty_agent.py FOLDER

For each fault FOLDER/<fault>.json gets both results, and FOLDER/<fault>.log the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import threading
import time
from pathlib import Path

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

import burnish
from burnish.capture.langchain import models, nodes
from burnish.testing import ScriptedChatModel

HUGE = "x" * 100_000_000
ROOM = 30_000  # bytes that a file may have where the disk is full
TEN_YEARS_NS = 10 * 365 * 86_400 * 10**9


class Opaque:
    """An object whose every inspection fails."""

    def __repr__(self) -> str:
        raise RuntimeError("not even that")

    def model_dump(self) -> dict:
        raise RuntimeError("nor that")


@tool(response_format="content_and_artifact")
def look(key: int):
    """Look something up."""
    return f"value {key}", (Opaque() if FAULT == "unserialisable" else {"row": key})


@tool
def fail(reason: str) -> str:
    """Fail."""
    raise ValueError(reason)


def call(name, arguments, number):
    return {"name": name, "args": arguments, "id": f"call-{number}"}


SCRIPT = [
    AIMessage("two at once", tool_calls=[call("look", {"key": 1}, 1), call("look", {"key": 2}, 2)]),
    AIMessage("one more", tool_calls=[call("look", {"key": 3}, 3)]),
    AIMessage("it is three"),
]


def agent(script):
    def answer(messages):
        return script[sum(message.type == "ai" for message in messages)]

    return create_agent(ScriptedChatModel(script=[answer], repeat=True), [look, fail])


def said(messages):
    return [(message.type, message.content[:50]) for message in messages]


def updates(chunk):
    return [
        (node, said((update or {}).get("messages", []))) for node, update in sorted(chunk.items())
    ]


async def all_async(graph, given, config):
    chunks = [updates(chunk) async for chunk in graph.astream(given, config, stream_mode="updates")]
    events = [
        (event["event"], event["name"])
        async for event in graph.astream_events(given, config, version="v2")
        if event["event"].endswith(("_start", "_end"))
    ]
    result = await graph.ainvoke(given, config)
    return {
        "astream": sorted(chunks),
        "events": sorted(events),
        "ainvoke": said(result["messages"]),
    }


def everything(graph, failing):
    """Return results, exceptions, order and streams, in a form that can be compared."""
    text = HUGE if FAULT == "100 MB message" else "look them up"
    given = {"messages": [("user", text)]}
    config = {"metadata": {"odd": Opaque()}} if FAULT == "unserialisable" else {}
    result = graph.invoke(given, config)
    found = {"invoke": said(result["messages"]), "size": len(result["messages"][0].content)}
    if FAULT == "100 MB message":
        return found
    found["batch"] = [said(each["messages"]) for each in graph.batch([given, given], config)]
    found["stream"] = sorted(
        updates(chunk) for chunk in graph.stream(given, config, stream_mode="updates")
    )
    values = [
        state["messages"][-1].type for state in graph.stream(given, config, stream_mode="values")
    ]
    found["values"] = [kind for kind in values if kind != "tool"]
    try:
        failing.invoke(given, config)
    except ValueError as error:
        found["exception"] = repr(error)
    return found | asyncio.run(all_async(graph, given, config))


class Hanging(SpanExporter):
    """Never returns."""

    def export(self, spans):
        threading.Event().wait()
        return SpanExportResult.SUCCESS

    def shutdown(self):
        threading.Event().wait()


class Raising(SpanExporter):
    """Always raises."""

    def export(self, spans):
        raise RuntimeError("the exporter is broken")

    def shutdown(self):
        raise RuntimeError("and cannot be closed")


def broken(*args, **kwargs):
    raise LookupError("inside capture")


def handler_raises(home):
    models.open_run = nodes.open_run = broken


def disk_full(home):
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))


def read_only(home):
    burnish.configure(home="/sys/burnish")  # a folder that refuses root, too


def exporters(home):
    burnish.configure(exporters=[Hanging(), Raising()])


def back(home):
    start, real = time.time_ns(), time.monotonic_ns
    time.time_ns = lambda: start - real() % 10**12


def forth(home):
    start, calls = time.time_ns(), iter(range(10**9))
    time.time_ns = lambda: start + (TEN_YEARS_NS if next(calls) % 7 > 3 else 0)


def nothing(home):
    pass


FAULTS = {
    "handler raises": handler_raises,
    "disk full": disk_full,
    "read-only folder": read_only,
    "exporters hang and raise": exporters,
    "clock goes back": back,
    "clock jumps": forth,
    "unserialisable": nothing,
    "100 MB message": nothing,
}


def run(folder: Path) -> None:
    """Run both agents under the fault of this process."""
    home = folder / FAULT
    logging.basicConfig(filename=folder / f"{FAULT}.log", level=logging.WARNING)
    bad = [AIMessage("", tool_calls=[call("fail", {"reason": "no luck"}, 9)])]
    graph, failing = agent(SCRIPT), agent(bad)
    bare = everything(graph, failing)
    burnish.configure(home=home)
    FAULTS[FAULT](home)
    wrapped = [burnish.wrap(each, agent="desk") for each in (graph, failing)]
    both = [bare, everything(*wrapped)]
    left = burnish.flush(0.5)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    if FAULT == "disk full":  # there is room again
        both.append(everything(*wrapped))
    (folder / f"{FAULT}.json").write_text(json.dumps({"said": both, "left": left}))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    took = {}
    for FAULT in FAULTS:
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            run(target)
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        took[FAULT] = [os.waitstatus_to_exitcode(status), time.monotonic() - started]
    (target / "took.json").write_text(json.dumps(took))
