"""The cells of the provider matrix: the agent's script, and the expected row."""

from __future__ import annotations

import functools
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chat_models import PROVIDERS, scripted_server
from clients import CLIENTS, Asking
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.tools import tool
from pydantic import BaseModel
from spoken import ScriptedCall, Spoken

import burnish
from burnish.errors import BurnishError
from burnish.records import Trajectory
from burnish_exporters import build_dataset

CALL = ScriptedCall("look_up", {"order": 7, "city": "Oslo", "again": False}, "c1")
SECOND = ScriptedCall("look_up", {"order": 8, "city": "Bergen", "again": True}, "c2")
LAST = Spoken(text="It is in Oslo.")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@tool
def look_up(order: int, city: str, again: bool) -> str:
    """Look up an order."""
    return f"{order} in {city}"


class Answer(BaseModel):
    """The city of an order."""

    city: str
    order: int


class Wrong(AssertionError):
    """A cell whose row differs from the script."""


class Ran:
    """One run of an agent over a provider, and the rows that it gave.

    A chat model that does not send a thought back gives two rows: the second prompt lacks it.
    """

    def __init__(self, trajectory: Trajectory, rows: list[dict[str, Any]], reason: str) -> None:
        self.trajectory, self.rows, self.reason = trajectory, rows, reason

    def replies(self) -> list[dict[str, Any]]:
        """Return the learned replies, in the order of the conversation; each call gives one."""
        if not self.rows:
            raise Wrong(f"no row: {self.reason}")
        found = [message for message in self.messages("assistant") if message["loss"]]
        if len(found) != len(self.trajectory.model_calls):
            raise Wrong(f"{len(found)} of {len(self.trajectory.model_calls)} replies are learned")
        return found

    def messages(self, role: str) -> list[dict[str, Any]]:
        """The messages of a role, row by row."""
        return [
            message for row in self.rows for message in row["messages"] if message["role"] == role
        ]


def run_agent(
    provider: str, script: list[Spoken], streaming: bool, question: Any, **made: Any
) -> Ran:
    """Run an agent through the provider's chat model, or its client, and build a dataset of the run."""
    if provider in CLIENTS:
        return _run_client(provider, script, streaming, question, **made)
    return _run_langchain(provider, script, streaming, question, [], **made)


def _run_langchain(
    provider: str,
    script: list[Spoken],
    streaming: bool,
    question: Any,
    heard: list[Any],
    **made: Any,
) -> Ran:
    chosen = PROVIDERS[provider]
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home,
        scripted_server(chosen, script, heard) as url,
    ):
        burnish.configure(home=home)
        graph = burnish.wrap(
            create_agent(chosen.make(url, streaming), [look_up], **made), agent="a"
        )
        config: Any = {"configurable": {"thread_id": "t"}}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                graph.invoke({"messages": [{"role": "user", "content": question}]}, config)
        except Exception as error:  # noqa: BLE001 - each provider has errors of its own
            failure: Exception | None = error
        else:
            failure = None
        return _rows_of(Path(home), failure)


def _rows_of(home: Path, failure: Exception | None) -> Ran:
    burnish.outcome(thread_id="t", success=True, source="crm")
    burnish.flush()
    workspace = burnish.Workspace(home)
    (trajectory,) = workspace.trajectories()
    try:
        rows = list(build_dataset(workspace, agent="a", verify=["outcome"]).rows())
    except BurnishError as error:
        return Ran(trajectory, [], f"{error}{f' after {failure!r}' if failure else ''}")
    return Ran(trajectory, sorted(rows, key=lambda row: len(row["messages"])), "")


def _run_client(
    name: str, script: list[Spoken], streaming: bool, question: Any, **made: Any
) -> Ran:
    """Send LangChain's requests through the provider's own client; its rows must equal LangChain's."""
    client = CLIENTS[name]
    asked: list[Any] = []
    expected = _run_langchain(client.provider, script, streaming, question, asked, **made)
    heard: list[Any] = []
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home,
        scripted_server(PROVIDERS[client.provider], script, heard) as url,
    ):
        burnish.configure(home=home)
        failure = None
        try:
            with burnish.trace(agent="a", thread_id="t"):
                client.ask(Asking(url, asked, streaming))
        except Exception as error:  # noqa: BLE001 - each provider has errors of its own
            failure = error
        ran = _rows_of(Path(home), failure)
    _equal("requests", len(heard), len(asked))
    found, right = [_taught(row) for row in ran.rows], [_taught(row) for row in expected.rows]
    _equal("rows", found, right)
    for call, as_langchain in zip(
        ran.trajectory.model_calls, expected.trajectory.model_calls, strict=True
    ):
        _equal("usage", _tokens(call.usage), _tokens(as_langchain.usage))
    return ran


def _tokens(usage: Any) -> Any:
    return usage and {
        name: getattr(usage, name) or 0
        for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
    }


def _taught(row: dict[str, Any]) -> Any:
    """Return the learned content of a row, with call ids replaced by their order: LangChain draws them for Google."""
    text = json.dumps([row[name] for name in ("task_id", "messages", "tools", "verdict", "weight")])
    ids = [c["id"] for m in row["messages"] for c in m.get("tool_calls") or ()]
    for place, call_id in enumerate(ids):
        text = text.replace(json.dumps(call_id), json.dumps(f"call {place}"))
    return json.loads(text)


def _equal(name: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise Wrong(f"{name}: {found!r} instead of {expected!r}")


def _calls(message: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (c["function"]["name"], _dense(c["function"]["arguments"]))
        for c in message.get("tool_calls", [])
    ]


def _dense(arguments: Any) -> str:
    return json.dumps(json.loads(arguments) if isinstance(arguments, str) else arguments)


def _expected(*calls: ScriptedCall) -> list[tuple[str, str]]:
    return [(call.name, json.dumps(call.arguments)) for call in calls]


def _text(provider: str, streaming: bool) -> None:
    (reply,) = run_agent(provider, [LAST], streaming, "Where?").replies()
    _equal("text", reply["content"], LAST.text)
    _equal("calls", _calls(reply), [])


def _thought(provider: str, streaming: bool) -> None:
    said = Spoken(text="Let me see.", thought="It may be Oslo.", calls=(CALL,))
    first, last = run_agent(provider, [said, LAST], streaming, "Where?").replies()
    _equal("thought", first.get("reasoning_content"), said.thought)
    _equal("text", first["content"], said.text)
    _equal("last", last["content"], LAST.text)


def _sealed(provider: str, streaming: bool) -> None:
    said = Spoken(text="Let me see.", sealed=True, calls=(CALL,))
    first, _ = run_agent(provider, [said, LAST], streaming, "Where?").replies()
    _equal("text", first["content"], said.text)
    _equal("calls", _calls(first), _expected(CALL))
    if first.get("reasoning_content"):
        raise Wrong(f"a thought that nobody can read: {first['reasoning_content']!r}")


def _one_call(provider: str, streaming: bool) -> None:
    said = Spoken(text="Let me see.", calls=(CALL,))
    first, last = run_agent(provider, [said, LAST], streaming, "Where?").replies()
    _equal("text", first["content"], said.text)
    _equal("calls", _calls(first), _expected(CALL))
    _equal("last", last["content"], LAST.text)


def _parallel_calls(provider: str, streaming: bool) -> None:
    said = Spoken(calls=(CALL, SECOND))
    ran = run_agent(provider, [said, LAST], streaming, "Where?")
    first, _ = ran.replies()
    _equal("calls", _calls(first), _expected(CALL, SECOND))
    results = [message["content"] for message in ran.messages("tool")]
    _equal("results", results, ["7 in Oslo", "8 in Bergen"])


def _image(provider: str, streaming: bool) -> None:
    image = {"type": "image", "base64": PNG, "mime_type": "image/png"}
    ran = run_agent(provider, [LAST], streaming, [{"type": "text", "text": "What is it?"}, image])
    ran.replies()
    content = ran.messages("user")[0]["content"]
    url = {"url": f"data:image/png;base64,{PNG}"}
    _equal(
        "question",
        content,
        [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": url}],
    )


def _structured(provider: str, streaming: bool) -> None:
    call = ScriptedCall("Answer", {"city": "Oslo", "order": 7}, "c9")
    ran = run_agent(
        provider, [Spoken(calls=(call,))], streaming, "Where?", response_format=ToolStrategy(Answer)
    )
    (reply,) = ran.replies()
    _equal("calls", _calls(reply), _expected(call))
    if provider in PROVIDERS:  # a client leaves the answer to the agent's own code
        _equal("answer", json.loads(ran.trajectory.answer or "null"), call.arguments)


def _refused_run(end: Any) -> Callable[[str, bool], None]:
    def check(provider: str, streaming: bool) -> None:
        ran = run_agent(provider, [Spoken(text="It is in", end=end)], streaming, "Where?")
        if ran.rows:
            raise Wrong(f"a reply that was {end} is learned")
        if not ran.reason:
            raise Wrong("no reason")

    return check


def _usage(provider: str, streaming: bool) -> None:
    ran = run_agent(
        provider, [Spoken(text="Oslo.", read=20, written=5, cached=0)], streaming, "Where?"
    )
    usage = ran.trajectory.model_calls[0].usage
    _equal("tokens", usage and (usage.input_tokens, usage.output_tokens), (20, 5))


def _cached(provider: str, streaming: bool) -> None:
    ran = run_agent(
        provider, [Spoken(text="Oslo.", read=20, written=5, cached=8)], streaming, "Where?"
    )
    usage = ran.trajectory.model_calls[0].usage
    found = usage and (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
    _equal("tokens", found, (20, 5, 8))


def _error(provider: str, streaming: bool) -> None:
    ran = run_agent(provider, [], streaming, "Where?")
    _equal("status", ran.trajectory.status, "failed")
    error = ran.trajectory.model_calls[0].error
    if error is None or "bad request" not in error.message:
        raise Wrong(f"error of the call: {error}")
    if ran.rows:
        raise Wrong("a failed run is learned")


CASES: dict[str, Callable[[str, bool], None]] = {
    "text": _text,
    "thought": _thought,
    "sealed thought": _sealed,
    "one call": _one_call,
    "parallel calls": _parallel_calls,
    "image in": _image,
    "structured output": _structured,
    "cut": _refused_run("cut"),
    "refused": _refused_run("refused"),
    "tokens": _usage,
    "cached tokens": _cached,
    "error": _error,
}
REFUSED = ("cut", "refused", "error")


@functools.cache
def measure(provider: str, case: str, streaming: bool) -> str:
    """Return the text of a cell: "exact", "kept out", why the provider lacks it, or the fault."""
    langchain = CLIENTS[provider].provider if provider in CLIENTS else provider
    lacks = PROVIDERS[langchain].lacks.get(case)
    if lacks is not None:
        return f"not there: {lacks}"
    try:
        CASES[case](provider, streaming)
    except Wrong as wrong:
        return f"WRONG: {wrong}"
    return "kept out, with its reason" if case in REFUSED else "exact"
