"""Run a LangGraph agent with every kind of event under capture, and ship its spans.

usage: python desk_agent.py HOME ENDPOINT

Prints the id of each run. OTEL_EXPORTER_OTLP_HEADERS holds the receiver's headers.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Annotated

from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import StructuredTool, ToolException, tool
from langgraph.prebuilt import InjectedStore
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

import burnish
from burnish.records import Verdict
from burnish.testing import ScriptedChatModel
from burnish.workspace import Workspace

AGENT, USER, TAG = "desk", "user-7", "tag-night"
THOUGHT = "The order comes first."
USAGE = {
    "input_tokens": 120,
    "output_tokens": 30,
    "total_tokens": 150,
    "input_token_details": {"cache_read": 40, "cache_creation": 16},
    "output_token_details": {"reasoning": 9},
}


class Handbook(BaseRetriever):
    """Finds pages of a handbook."""

    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(f"Page about {query}.", metadata={"page": 3}, id="p3")]


def _find_order(number: int) -> str:
    if number == 8:
        raise ToolException("no order 8")
    return f'Order {number} is in "Bodø".'


find_order = StructuredTool.from_function(
    _find_order, name="find_order", description="Finds an order.", handle_tool_error=True
)


@tool
def weigh(number: int) -> dict:
    """Weighs a parcel."""
    return {"kilos": 12, "parts": [1, 2]}


@tool
def read_handbook(query: str) -> str:
    """Reads the handbook."""
    return Handbook().invoke(query)[0].page_content


@tool
def remember(fact: str, store: Annotated[BaseStore, InjectedStore()]) -> str:
    """Remembers a fact."""
    store.put(("facts", USER), "k1", {"fact": fact})
    return f"{len(store.search(('facts', USER)))} fact known"


@tool
def send_parcel(number: int) -> str:
    """Sends a parcel."""
    raise ConnectionError(f"no carrier for {number}")


TOOLS = [find_order, weigh, read_handbook, remember, send_parcel]


def reply(text, *calls, thought=None):
    """One reply of the model, with its token counts."""
    made = [
        {"name": name, "args": arguments, "id": f"c-{name}-{n}"}
        for n, (name, arguments) in enumerate(calls)
    ]
    said = {"reasoning_content": thought} if thought else {}
    finish = {"finish_reason": "tool_calls" if calls else "stop", "model_name": "scripted-2"}
    return AIMessage(
        text,
        tool_calls=made,
        additional_kwargs=said,
        usage_metadata=USAGE,
        response_metadata=finish,
    )


RUNS = {
    "answered": (
        "Where is my order 7?",
        [
            reply(
                "I look for both.",
                ("find_order", {"number": 7}),
                ("find_order", {"number": 8}),
                thought=THOUGHT,
            ),
            reply("", ("weigh", {"number": 7}), ("read_handbook", {"query": "weights"})),
            reply("", ("remember", {"fact": "lives in Bodø"})),
            reply("Order 7 is in Bodø."),
        ],
    ),
    "tool failed": ("Send parcel 9.", [reply("", ("send_parcel", {"number": 9}))]),
    "model failed": ("Are you there?", [TimeoutError("the model is away")]),
}
"""Question and script of each run."""


def ask(name: str) -> None:
    """Run the agent once, in a separate thread."""
    question, script = RUNS[name]
    model = ScriptedChatModel(script=script, model="scripted-1", temperature=0.5)
    graph = burnish.wrap(
        create_agent(model, TOOLS, system_prompt="You help at a desk.", store=InMemoryStore()),
        agent=AGENT,
        tags=[TAG],
    )
    config = {"configurable": {"thread_id": f"thread {name}"}}
    with burnish.task(user=USER), contextlib.suppress(ConnectionError, TimeoutError):
        graph.invoke({"messages": [("user", question)]}, config)


def main(home: str, endpoint: str) -> None:
    burnish.configure(home=home, otlp_endpoint=endpoint)
    for name in RUNS:
        ask(name)
    burnish.outcome(thread_id="thread answered", success=True, source="crm")
    workspace = Workspace(home)
    ids = {run.thread_id.removeprefix("thread "): run for run in workspace.trajectories()}
    verdict = Verdict(label="success", verifier="checker", version="1", score=1.0)
    workspace.append_verdict(ids["answered"].id, verdict)
    left = burnish.flush(60)
    traces = {name: run.trace_ids[0] for name, run in ids.items()}
    print(json.dumps({"left": left, "traces": traces}))


if __name__ == "__main__":
    main(*sys.argv[1:])
