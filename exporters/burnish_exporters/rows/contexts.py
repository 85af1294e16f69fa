"""Join model calls into as few conversations as keep the exact context of every call.

A call continues a context if its prompt begins with that context's last prompt and reply and the
tools are the same. If messages were trimmed, rewritten or belong to another agent of the graph, a
new context begins with exactly the prompt that the model saw. Each reply carries loss in one
context only. `join_contexts` is the entry.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from burnish.records import Message, ModelCall, Tool, ToolRun, Trajectory
from burnish_exporters.rows.chat import Chat, to_chat
from burnish_exporters.rows.endings import ended_whole

_MASKED = {"role": "assistant"}


@dataclass(slots=True)
class RowContext:
    """One conversation that grows call by call.

    Attributes:
        tools: Schemas offered in each of its calls.
        messages: Chat messages, each with its `loss` flag.
        calls: Per model call: place of the reply, token ids if captured, policy.
        mask_errors: Remove the loss from replies whose tool call failed.
    """

    tools: list[Tool]
    messages: list[Chat] = field(default_factory=list)
    calls: list[dict[str, object]] = field(default_factory=list)
    mask_errors: bool = True
    _prompt: list[Message] = field(default_factory=list)
    _said: Message | None = None
    _reply: list[Chat] = field(default_factory=list)

    def continued_by(self, call: ModelCall) -> bool:
        """Report if the call's prompt begins with this context, its last reply included."""
        seen = len(self._prompt)
        if len(call.messages) <= seen or call.tools != self.tools:
            return False
        begins = call.messages[:seen]
        if begins != self._prompt and not all(map(_same_message, begins, self._prompt)):
            return False
        said = call.messages[seen]
        return said == self._said or _same_chat(to_chat(said), self._reply)

    def add_call(self, call: ModelCall, reason: str | None) -> None:
        """Append the new messages of the call's prompt, and its reply.

        Args:
            call: A call with a reply.
            reason: Reason why the reply carries no loss; None if it does.
        """
        new = call.messages[len(self._prompt) + 1 :] if self._prompt else call.messages
        for message in new:
            chats = to_chat(message)
            self.messages += [{**chat, "loss": False} for chat in chats]
            if self.mask_errors and message.get("status") == "error":
                self._mask_calls({str(chat.get("tool_call_id")) for chat in chats})
        self._prompt, self._said = call.messages, call.reply
        self._reply = to_chat(call.reply or _MASKED)
        self.messages += [{**chat, "loss": reason is None} for chat in self._reply]
        self.calls.append(_call_facts(call, len(self.messages) - 1))

    def _mask_calls(self, failed: set[str]) -> None:
        """Remove the loss from the last reply that made one of these calls."""
        for message in reversed(self.messages):
            if any(call["id"] in failed for call in message.get("tool_calls") or ()):
                message["loss"] = False
                return


def join_contexts(trajectory: Trajectory, *, mask_errors: bool = True) -> list[RowContext]:
    """Return the contexts of a trajectory, without those that have nothing to learn.

    Args:
        trajectory: A finished run.
        mask_errors: Remove the loss from replies whose tool call failed.

    Raises:
        Unrenderable: If the chat form cannot hold a message.
    """
    failed = _failed_calls(trajectory) if mask_errors else set()
    contexts: list[RowContext] = []
    for call in sorted(trajectory.model_calls, key=lambda call: call.started_ns):
        if call.reply is None:
            continue
        context = next((c for c in reversed(contexts) if c.continued_by(call)), None)
        if context is None:
            context = RowContext(tools=call.tools, mask_errors=mask_errors)
            contexts.append(context)
        context.add_call(call, _why_masked(call, failed))
    return [c for c in contexts if any(message["loss"] for message in c.messages)]


def _same_message(one: Message, other: Message) -> bool:
    """Report if two messages are the same to the model; other keys do not count."""
    return one == other or _same_chat(to_chat(one), to_chat(other))


def _same_chat(one: list[Chat], other: list[Chat]) -> bool:
    """Compare replies up to the changes that later prompts make: a speaker's name, arguments written another way."""
    return one == other or [_normalize_chat(c) for c in one] == [_normalize_chat(c) for c in other]


def _normalize_chat(chat: Chat) -> Chat:
    settled = {key: value for key, value in chat.items() if key != "name"}
    if "tool_calls" in chat:
        settled["tool_calls"] = [
            [call["id"], call["function"]["name"], _parse_arguments(call["function"]["arguments"])]
            for call in chat["tool_calls"]
        ]
    return settled


def _parse_arguments(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _failed_calls(trajectory: Trajectory) -> set[tuple[str, str]]:
    """Return the failed calls as the span id of the model call and the id of the tool call.

    Ids are unique within a message only, so a tool run belongs to the latest earlier reply that
    made this call; if no reply made it, to the latest with that id.
    """
    made: dict[str, list[ModelCall]] = {}
    for call in trajectory.model_calls:
        for part in (call.reply or {}).get("parts") or ():
            if part.get("type") == "tool_call":
                made.setdefault(str(part.get("id")), []).append(call)
    failed: set[tuple[str, str]] = set()
    for run in trajectory.tool_runs:
        if run.call_id and (run.is_error or run.error is not None):
            maker = _calling_reply(run, made.get(run.call_id, []))
            if maker is not None:
                failed.add((maker.span_id, run.call_id))
    return failed


def _calling_reply(run: ToolRun, calls: list[ModelCall]) -> ModelCall | None:
    """Return the reply that made the call of a tool run."""
    before = [call for call in calls if (call.ended_ns or call.started_ns) <= run.started_ns]
    ranked = sorted(before or calls, key=lambda call: (_made_call(call, run), call.started_ns))
    return ranked[-1] if ranked else None


def _made_call(call: ModelCall, run: ToolRun) -> bool:
    parts = (call.reply or {}).get("parts") or ()
    same = (p for p in parts if p.get("id") == run.call_id and p.get("name") == run.name)
    return any(part.get("arguments") == run.arguments for part in same)


def _why_masked(call: ModelCall, failed: set[tuple[str, str]]) -> str | None:
    """Return why a reply carries no loss; None if it does."""
    if call.error is not None:
        return "error"
    if not call.sampled:
        return "not sampled"
    if call.extras.get("weight") == 0:
        return "weight 0"
    if not ended_whole(call.finish_reason):
        return "cut off"
    parts = (call.reply or {}).get("parts") or []
    if any(part.get("type") == "invalid_tool_call" for part in parts):
        return "malformed call"
    ids = (str(part.get("id")) for part in parts if part.get("type") == "tool_call")
    if any((call.span_id, call_id) in failed for call_id in ids):
        return "tool error"
    return None


def _call_facts(call: ModelCall, place: int) -> dict[str, object]:
    facts: dict[str, object] = {"span_id": call.span_id, "message": place}
    policy = call.policy
    if policy.model or policy.adapter:
        facts |= {"model": policy.model, "adapter": policy.adapter}
    if call.token_ids and call.prompt_token_ids:
        facts |= {"prompt_token_ids": call.prompt_token_ids, "token_ids": call.token_ids}
        if call.logprobs:
            facts["logprobs"] = call.logprobs
    if call.usage and call.usage.input_tokens is not None and call.usage.output_tokens is not None:
        facts["tokens"] = call.usage.input_tokens + call.usage.output_tokens
    if call.speaker:
        facts["speaker"] = call.speaker
    return facts
