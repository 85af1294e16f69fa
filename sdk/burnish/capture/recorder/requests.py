"""Define the library-neutral requests and replies that sources pass to the recorder.

A source (LangChain's callbacks, the OpenAI client, manual calls, an import) converts its data to
these types, and the recorder makes events of them (calls.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from burnish.records import Json, Message

TOKENS = ("prompt_token_ids", "token_ids", "logprobs")
"""Facts of a reply that spell its text; they are dropped if the text was redacted."""


class RunRequest(msgspec.Struct, kw_only=True):
    """An invocation of an agent, as known before it runs.

    Attributes:
        entry: The entry point and type that was called.
        input: The input of the agent, of any type.
        trace: Trace of the active OpenTelemetry span.
        parent: That span.
        resumed: Whether an earlier invocation began the trajectory.
        metadata: The user's metadata.
        tags: The user's labels.
        task: Further fields of the run: user, task_id, attempt, source, environment, mode.
    """

    entry: str | None = None
    input: Any = None
    trace: str | None = None
    parent: str | None = None
    resumed: bool = False
    operation: str = "invoke_agent"
    metadata: Mapping[str, Any] = {}
    tags: Sequence[str] = ()
    task: Mapping[str, Any] = {}


class ModelRequest(msgspec.Struct, kw_only=True):
    """A call of a chat model, as known before the model answers.

    Attributes:
        messages: The messages in the records' form, or LangChain's own if `langchain` is set.
        parameters: Tools, choices and sampling as the client spells them.
        tools: Tool definitions in the records' form, if `parameters` hold none.
        model: The model's name, if `parameters` hold none.
        run_id: LangChain's id of the call.
        about: The user's tags and metadata, and the requested structured output.
    """

    messages: Sequence[Any]
    langchain: bool = False
    parameters: Mapping[str, Any] = {}
    tools: list[Json] | None = None
    model: Any = None
    provider: Any = None
    run_id: bytes | None = None
    about: Mapping[str, Any] | None = None


class ModelReply(msgspec.Struct, kw_only=True):
    """The answer of a chat model.

    Attributes:
        message: The reply in the records' form; None without one, or if `original` is complete.
        original: LangChain's message, as later calls will send it again.
        text: Its text.
        facts: Fields of the end of a call: usage, finish_reason, token_ids, ...
        extras: Data without a field of its own.
    """

    message: Message | None = None
    original: Any = None
    text: str | None = None
    facts: Mapping[str, Any] = {}
    extras: Mapping[str, Any] | None = None


class ToolRequest(msgspec.Struct, kw_only=True):
    """A run of a tool, a retriever or a memory, as known before it starts.

    Attributes:
        name: Name of the tool.
        arguments: Its arguments, of any type.
        call_id: Id of the model's call that requested it.
        raw_arguments: The arguments as the model wrote them; by default those of its reply.
        run_id: LangChain's id of the run.
        about: The user's tags and metadata.
        operation: The operation, in the conventions' terms.
    """

    name: Any
    arguments: Any = None
    call_id: Any = None
    raw_arguments: Any = None
    run_id: bytes | None = None
    about: Mapping[str, Any] | None = None
    operation: str = "execute_tool"


class ToolReply(msgspec.Struct, kw_only=True):
    """The result of a tool: the values of `response`, `artifact` and `status`."""

    result: dict[str, Any] | None = None
    is_error: bool = False
