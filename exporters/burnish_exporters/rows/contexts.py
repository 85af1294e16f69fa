"""Model calls joined into as few conversations as keep every call's exact context.

Knows: when one call continues another, and which replies were sampled in this run.
Does not know: whether the run was any good, what a row looks like on disk.

A call continues a context when its prompt begins with that context's last prompt and reply and the tools are the same.
Where messages were trimmed, rewritten or belong to another agent of the graph, a new context begins with exactly the
prompt that the model saw. Each reply carries loss in one context only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from burnish.records import Message, ModelCall, Tool, ToolRun, Trajectory
from burnish_exporters.rows.chat import Chat, Unrenderable, to_chat

_CUT = {"length", "max_tokens", "content_filter", "incomplete", "MAX_TOKENS", "SAFETY"}
_MASKED = {"role": "assistant"}


@dataclass(slots=True)
class Context:
    """One conversation, growing call by call.

    Attributes:
        tools: Schemas offered in each of its calls.
        messages: Chat messages, each with its `loss` flag.
        calls: Per model call: place of the reply, token ids where captured, policy.
        masked: Replies that carry no loss, by reason.
    """

    tools: list[Tool]
    messages: list[Chat] = field(default_factory=list)
    calls: list[dict[str, object]] = field(default_factory=list)
    masked: dict[str, int] = field(default_factory=dict)
    _prompt: list[Message] = field(default_factory=list)
    _reply: list[Chat] = field(default_factory=list)

    def continued_by(self, call: ModelCall) -> bool:
        """Whether the call's prompt begins with this context, its last reply included."""
        seen = len(self._prompt)
        if len(call.messages) <= seen or call.messages[:seen] != self._prompt:
            return False
        return call.tools == self.tools and _same_reply(call.messages[seen], self._reply)

    def add(self, call: ModelCall, reason: str | None) -> None:
        """Append what is new in the call's prompt, and its reply.

        Args:
            call: A call whose reply is known.
            reason: Why the reply carries no loss; None where it does.
        """
        new = call.messages[len(self._prompt) + 1 :] if self._prompt else call.messages
        for message in new:
            self.messages += [{**chat, "loss": False} for chat in to_chat(message)]
        self._prompt, self._reply = call.messages, to_chat(call.reply or _MASKED)
        if reason:
            self.masked[reason] = self.masked.get(reason, 0) + 1
        self.messages += [{**chat, "loss": reason is None} for chat in self._reply]
        self.calls.append(_call_facts(call, len(self.messages) - 1))


def contexts_of(trajectory: Trajectory, *, mask_errors: bool = True) -> list[Context]:
    """The contexts of a trajectory, those without anything to learn left out.

    Args:
        trajectory: A finished run.
        mask_errors: Whether a reply whose tool call failed carries no loss.

    Raises:
        Unrenderable: If a message has no place in the chat form.
    """
    failed = _failed_calls(trajectory.tool_runs) if mask_errors else set()
    contexts: list[Context] = []
    for call in sorted(trajectory.model_calls, key=lambda call: call.started_ns):
        if call.reply is None:
            continue
        context = next((c for c in reversed(contexts) if c.continued_by(call)), None)
        if context is None:
            context = Context(tools=call.tools)
            contexts.append(context)
        context.add(call, _why_masked(call, failed))
    return [c for c in contexts if any(message["loss"] for message in c.messages)]


def _same_reply(message: Message, reply: list[Chat]) -> bool:
    try:
        return to_chat(message) == reply
    except Unrenderable:
        return False


def _failed_calls(runs: list[ToolRun]) -> set[str]:
    return {run.call_id for run in runs if run.call_id and (run.is_error or run.error is not None)}


def _why_masked(call: ModelCall, failed: set[str]) -> str | None:
    """Why nothing is learned from a reply; None if it is."""
    if call.error is not None:
        return "error"
    if not call.sampled:
        return "not sampled"
    if call.finish_reason in _CUT:
        return "cut off"
    parts = (call.reply or {}).get("parts") or []
    if any(part.get("type") == "tool_call" and part.get("id") in failed for part in parts):
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
    if call.speaker:
        facts["speaker"] = call.speaker
    return facts
