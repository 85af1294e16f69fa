"""Model calls and tool runs that the user records by hand.

Knows: what such a call may say. Does not know: callbacks; who opened the scope around it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from burnish.capture import context, propagation
from burnish.capture.chat_form import encode_chat
from burnish.capture.content import Blobs
from burnish.capture.entering import Entered
from burnish.capture.faults import guarded
from burnish.capture.ids import new_id
from burnish.capture.live import Run, registry
from burnish.capture.messages import text_of
from burnish.capture.models import TOKENS
from burnish.capture.plain import to_plain
from burnish.capture.replies import read_usage
from burnish.capture.spelled import without_spelling
from burnish.errors import CaptureError
from burnish.journal.events import ModelEnded, ModelStarted, ToolEnded, ToolStarted

_C = TypeVar("_C")
_FACTS = (
    "finish_reason", "response_id", "usage", "adapter", "arm", "prompt_token_ids", "token_ids",
    "logprobs", "model", "sampled", "first_token_at", "extras",
)  # fmt: skip


class _Handwritten(Entered[_C]):
    """A run below the current one, open as long as it is entered."""

    kind = ""

    def __init__(self) -> None:
        self._run: Run | None = None

    def _start(self, run: Run) -> None:
        raise NotImplementedError

    def _end(self, run: Run, error: BaseException | None) -> None:
        raise NotImplementedError

    @guarded
    def open(self) -> None:
        """Start to record; does nothing outside of a recorded run."""
        parent = context.current_run()
        if parent is None or parent.trajectory.ended or context.suppressed.get():
            return
        run = Run(parent, self.kind, object(), new_id(8))
        self._start(run)
        registry.add(run)
        self._run = run

    @guarded
    def close(self, error: BaseException | None = None) -> None:
        """End it, once."""
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
        messages: What the model was asked, in order: OpenAI's dicts, LangChain's messages, the
            records' form or texts.
        tools: Tool definitions as they were offered.
        model: Name of the model.
        provider: Who serves it.
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
        self._request = {**parameters, "tools": list(tools) if tools else None, "model": model}
        self._provider = provider
        self._reply: Any = None
        self._facts: dict[str, Any] = {}

    def reply(self, message: Any, **facts: Any) -> None:
        """Say what the model answered.

        Args:
            message: The answer, in any of the forms of `messages`; a text is the assistant's.
            **facts: `usage`, `finish_reason`, `response_id`, `adapter`, `arm`, `model`,
                `prompt_token_ids`, `token_ids`, `logprobs`, `sampled`.

        Raises:
            CaptureError: If a fact has an unknown name.
        """
        unknown = [name for name in facts if name not in _FACTS]
        if unknown:
            raise CaptureError(f"reply() got {unknown[0]!r}", f"one of {', '.join(_FACTS)}")
        if isinstance(message, str):
            message = {"role": "assistant", "content": message}
        self._reply = message
        self._facts = {name: value for name, value in facts.items() if value is not None}

    def _start(self, run: Run) -> None:
        content = run.trajectory.content
        blobs: Blobs = {}
        refs = []
        for message in self._messages:
            ref, blob = content.sharing(encode_chat(message))
            refs.append(ref)
            blobs[ref] = blob
        tools, parameters, model = content.request(self._request)
        blobs.update(item for item in (tools, parameters) if item is not None)
        parent = run.parent
        assert parent is not None  # noqa: S101 - opened below the current run
        run.redacted = content.redacted(blobs)
        run.retry_key = tuple(refs)
        run.attempt = parent.attempt + parent.tries(run.retry_key)
        run.trajectory.send(
            ModelStarted(
                at=time.time_ns(),
                trajectory=run.trajectory.id,
                span=run.span,
                parent=parent.span,
                messages=refs,
                tools=tools and tools[0],
                request=parameters and parameters[0],
                model=model,
                provider=self._provider,
                node=run.place.node,
                speaker=run.speaker,
                attempt=run.attempt,
                redacted=run.redacted,
            ),
            blobs,
        )

    def _end(self, run: Run, error: BaseException | None) -> None:
        facts = dict(self._facts)
        usage = facts.get("usage")
        if usage is not None:
            facts["usage"] = read_usage(usage) | {
                name: value for name, value in usage.items() if name.endswith("_tokens")
            }
        blobs: Blobs = {}
        ref = extras = None
        said = facts.pop("extras", None)
        if self._reply is not None:
            message = encode_chat(self._reply)
            ref, blob = run.trajectory.content.sharing(message)
            blobs[ref] = blob
            run.trajectory.last_reply = text_of(message)
        if error is not None and run.parent is not None:
            run.parent.count_try(run.retry_key)
        redacted = run.redacted or run.trajectory.content.redacted(blobs)
        if redacted:
            facts = {name: value for name, value in facts.items() if name not in TOKENS}
            said = without_spelling(to_plain(said or {}))
        if said:
            extras, blob = run.trajectory.content.value(said)
            blobs[extras] = blob
        left = isinstance(error, GeneratorExit)
        name, words = run.trajectory.describe(None if left else error)
        run.trajectory.send(
            ModelEnded(
                at=time.time_ns(),
                trajectory=run.trajectory.id,
                span=run.span,
                reply=ref,
                error_type=name,
                error=words,
                extras=extras,
                cut=left,
                redacted=redacted,
                **facts,
            ),
            blobs,
        )


class HandwrittenToolCall(_Handwritten["HandwrittenToolCall"]):
    """Records one run of a tool: `with trace.tool_call("search", {"q": "x"}) as call`.

    Args:
        name: Name of the tool.
        arguments: What it was called with.
        call_id: Id of the model's call that asked for it.
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
        self._name, self._arguments = name, arguments
        self._call_id, self._raw = call_id, raw_arguments
        self._result: dict[str, Any] | None = None
        self._is_error = False

    def result(self, value: Any, *, artifact: Any = None, is_error: bool = False) -> None:
        """Say what the tool gave back."""
        self._result = {"response": value}
        if artifact is not None:
            self._result["artifact"] = artifact
        if is_error:
            self._result["status"] = "error"
        self._is_error = is_error

    def _start(self, run: Run) -> None:
        parent = run.parent
        assert parent is not None  # noqa: S101 - opened below the current run
        ref, blob = run.trajectory.content.value(self._arguments)
        if self._call_id is not None:
            run.attempt = max(parent.attempt, run.trajectory.root.count_try(self._call_id))
        run.trajectory.send(
            ToolStarted(
                at=time.time_ns(),
                trajectory=run.trajectory.id,
                span=run.span,
                parent=parent.span,
                name=self._name,
                call_id=self._call_id,
                arguments=ref,
                raw_arguments=self._raw,
                node=run.place.node,
                speaker=run.speaker,
                attempt=run.attempt,
            ),
            {ref: blob},
        )
        propagation.enter(run)

    def _end(self, run: Run, error: BaseException | None) -> None:
        propagation.leave(run)
        blobs: Blobs = {}
        ref = None
        if self._result is not None:
            ref, blob = run.trajectory.content.sharing(self._result)
            blobs[ref] = blob
        name, words = run.trajectory.describe(error)
        run.trajectory.send(
            ToolEnded(
                at=time.time_ns(),
                trajectory=run.trajectory.id,
                span=run.span,
                result=ref,
                is_error=self._is_error or error is not None,
                error_type=name,
                error=words,
            ),
            blobs,
        )
