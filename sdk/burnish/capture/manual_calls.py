"""Record model calls and tool runs that the user reports manually.

`HandwrittenModelCall` and `HandwrittenToolCall` are the objects of `trace.model_call` and
`trace.tool_call`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from burnish.capture.arguments import report_wrong, tolerate
from burnish.capture.content.chat_form import encode_chat
from burnish.capture.content.message_codec import text_of
from burnish.capture.faults import guarded
from burnish.capture.langchain.replies import read_usage
from burnish.capture.patches import propagation
from burnish.capture.recorder import context
from burnish.capture.recorder.calls import (
    fail_model_call,
    fail_tool_run,
    finish_model_call,
    finish_tool_run,
    start_model_call,
    start_tool_run,
)
from burnish.capture.recorder.ids import new_id
from burnish.capture.recorder.requests import ModelReply, ModelRequest, ToolReply, ToolRequest
from burnish.capture.recorder.runs import Run, registry
from burnish.capture.recorder.values import read_text
from burnish.capture.sync_async_context import Entered

_C = TypeVar("_C")
_FACTS = (
    "finish_reason", "response_id", "usage", "adapter", "arm", "rollout", "share",
    "prompt_token_ids", "token_ids", "logprobs", "model", "sampled", "first_token_at", "extras",
)  # fmt: skip


_TOOL = 'trace.tool_call("search", {"q": "x"}, call_id="call_1")'


class _Handwritten(Entered[_C]):
    """A run below the current one, open while it is entered."""

    kind = ""

    def __init__(self) -> None:
        self._run: Run | None = None

    def _start(self, run: Run) -> None:
        raise NotImplementedError

    def _end(self, run: Run, error: BaseException | None) -> None:
        raise NotImplementedError

    @guarded
    def open(self) -> None:
        """Start recording; does nothing outside of a recorded run."""
        parent = context.current_run()
        if parent is None or parent.trajectory.ended or context.suppressed.get():
            return
        run = Run(parent, self.kind, object(), new_id(8))
        self._start(run)
        self._run = run

    @guarded
    def close(self, error: BaseException | None = None) -> None:
        """End the recording, once."""
        run, self._run = self._run, None
        if run is not None and registry.remove(run):
            self._end(run, error)

    def _enter(self) -> _C:
        self.open()
        return cast("_C", self)

    def _leave(self, error: BaseException | None) -> None:
        self.close(error)


class HandwrittenModelCall(_Handwritten["HandwrittenModelCall"]):
    """Records one call of a model: `with trace.model_call(messages, model="m") as call`.

    Args:
        messages: The messages of the request, in order: OpenAI's dicts, LangChain's messages, the
            records' form or texts.
        tools: The offered tool definitions.
        model: Name of the model.
        provider: Name of the provider.
        **parameters: `tool_choice`, `response_format` and sampling parameters.
    """

    kind = "model"

    def __init__(
        self,
        messages: Sequence[Any],
        *,
        tools: Sequence[Any] | None = None,
        model: str | None = None,
        provider: str | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__()
        self._messages = messages
        self._request = {**parameters, "tools": _list_messages(tools) or None, "model": model}
        self._provider = provider
        self._reply: Any = None
        self._facts: dict[str, Any] = {}

    @classmethod
    def of_body(
        cls, messages: Sequence[Any], provider: str, body: Mapping[str, Any]
    ) -> HandwrittenModelCall:
        """Return the call of a request body, under any parameter names of the body."""
        call = cls(messages, tools=body.get("tools"), model=body.get("model"), provider=provider)
        call._request = {**body, **call._request}
        return call

    def add_text(self, text: str) -> None:
        """Add the next piece of the answer's text; it is kept if the call never ends."""
        run = self._run
        if run is None or not text:
            return
        if run.chunks is None:
            run.first_token_at, run.chunks = time.time_ns(), []
        run.chunks.append(text)

    def reply(self, message: Any, **facts: Any) -> None:
        """Record the answer of the model.

        Args:
            message: The answer, in any of the forms of `messages`; a text is the assistant's.
            **facts: `usage`, `finish_reason`, `response_id`, `adapter`, `arm`, `model`,
                `prompt_token_ids`, `token_ids`, `logprobs`, `sampled`.

        A fact of another name is left out and counted as a fault; under pytest it is raised.
        """
        unknown = [name for name in facts if name not in _FACTS]
        if unknown:
            right = f"one of {', '.join(_FACTS)}"
            report_wrong("reply()", f"given {unknown[0]!r}", right, 'call.reply("text")')
        if isinstance(message, str):
            message = {"role": "assistant", "content": message}
        self._reply = message
        self._facts = {
            name: value for name, value in facts.items() if value is not None and name in _FACTS
        }

    def _start(self, run: Run) -> None:
        messages = [encode_chat(message) for message in _list_messages(self._messages)]
        request = ModelRequest(messages=messages, parameters=self._request, provider=self._provider)
        start_model_call(run, request)

    def _end(self, run: Run, error: BaseException | None) -> None:
        reply = self._said()
        if error is None:
            finish_model_call(run, reply)
        else:
            fail_model_call(run, error, reply)

    def _said(self) -> ModelReply:
        facts = dict(self._facts)
        extras = facts.pop("extras", None)
        usage = facts.get("usage")
        if isinstance(usage, Mapping):
            facts["usage"] = read_usage(usage) | {
                name: value for name, value in usage.items() if str(name).endswith("_tokens")
            }
        message = None if self._reply is None else encode_chat(self._reply)
        text = None if message is None else text_of(message)
        more = extras if isinstance(extras, Mapping) or not extras else {"extras": extras}
        return ModelReply(message=message, text=text, facts=facts, extras=more)


def _list_messages(messages: Any) -> list[Any]:
    """Return messages as a list; a single message becomes a list of one."""
    if messages is None:
        return []
    if isinstance(messages, (str, Mapping)) or not isinstance(messages, Iterable):
        return [messages]
    return list(messages)


class HandwrittenToolCall(_Handwritten["HandwrittenToolCall"]):
    """Records one run of a tool: `with trace.tool_call("search", {"q": "x"}) as call`.

    Args:
        name: Name of the tool.
        arguments: Its arguments.
        call_id: Id of the model's call that requested it.
        raw_arguments: The arguments as the model wrote them.
    """

    kind = "tool"

    def __init__(
        self,
        name: str,
        arguments: Any = None,
        *,
        call_id: str | None = None,
        raw_arguments: str | None = None,
    ) -> None:
        super().__init__()
        self._name = tolerate("tool_call(name)", read_text, name, "tool", _TOOL)
        self._call_id = tolerate("tool_call(call_id)", read_text, call_id, None, _TOOL)
        self._arguments, self._raw = arguments, raw_arguments
        self._result: dict[str, Any] | None = None
        self._is_error = False

    def result(self, value: Any, *, artifact: Any = None, is_error: bool = False) -> None:
        """Record the result of the tool."""
        self._result = {"response": value}
        if artifact is not None:
            self._result["artifact"] = artifact
        if is_error:
            self._result["status"] = "error"
        self._is_error = is_error

    def _start(self, run: Run) -> None:
        request = ToolRequest(
            name=self._name,
            arguments=self._arguments,
            call_id=self._call_id,
            raw_arguments=self._raw,
        )
        start_tool_run(run, request)
        propagation.enter(run)

    def _end(self, run: Run, error: BaseException | None) -> None:
        propagation.leave(run)
        reply = ToolReply(result=self._result, is_error=self._is_error)
        if error is None:
            finish_tool_run(run, reply)
        else:
            fail_tool_run(run, error, reply)
