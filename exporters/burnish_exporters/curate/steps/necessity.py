"""Drop runs with a tool call that the run did not need.

The gain of a call is how much likelier its result makes the next reply (Toolformer, arXiv
2302.04761). The caller gives a function that scores text with a model.

The loss of a continuation, given some text before it, is L(z) = -sum_j w_j log p(x_j | z, x_<j)
over its first five tokens, with weights max(0, 1 - 0.2 j) that are normalised to sum to 1. The gain
is L- minus L+: L+ sees the call with its result, L- is the better of no call and the call without
its result. As in the paper, the call is written before the context and not inside it, because an
untuned model would stumble over it there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

from burnish.records import Message, ToolRun, Trajectory
from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step

Scorer = Callable[[str, str], Sequence[float]]
"""Log-probabilities of the tokens of a continuation (second text), given the text before it (first text)."""

_TOKENS = 5
MIN_GAIN = 0.5


def keep_needed_calls(scorer: Scorer, *, at_least: float = MIN_GAIN) -> Step:
    """Keep runs in which every successful tool call gains enough.

    Args:
        scorer: Scores a continuation with a model.
        at_least: Least gain of a call, in nats; the paper uses 1.0, and 0.5 for calculators.
    """

    def check_gains(item: Item) -> Keep | Drop:
        gains = (call_gain(scorer, *told) for told in calls_of(item.trajectory))
        return Drop("redundant: call without gain") if any(g < at_least for g in gains) else KEEP

    return check_gains


def call_gain(scorer: Scorer, call: str, result: str, context: str, continuation: str) -> float:
    """Return L- minus L+ of one call, in nats; positive if its result helped.

    Args:
        scorer: Scores a continuation with a model.
        call: The call as text.
        result: The result of the call.
        context: The text before the call.
        continuation: The reply after the result.
    """

    def loss_after(before: str) -> float:
        return weighted_loss(scorer(f"{before}{context}", continuation))

    without = min(loss_after(""), loss_after(_write_call(call, "")))
    return without - loss_after(_write_call(call, result))


def weighted_loss(logprobs: Sequence[float]) -> float:
    """Return the loss over the first five tokens, weighted 1, 0.8, 0.6, 0.4, 0.2 and normalised; 0 of no tokens."""
    weights = [max(0.0, 1 - place / _TOKENS) for place in range(min(_TOKENS, len(logprobs)))]
    total = sum(weights)
    pairs = zip(weights, logprobs, strict=False)
    return -sum(weight * logprob for weight, logprob in pairs) / total if total else 0.0


def calls_of(trajectory: Trajectory) -> Iterator[tuple[str, str, str, str]]:
    """Yield each successful tool run as call, result, context and continuation, as text."""
    runs = [run for run in trajectory.tool_runs if not run.is_error and run.error is None]
    for run in runs:
        after = next((c for c in trajectory.model_calls if _holds_call(c.messages, run)), None)
        if after is not None and after.reply is not None:
            before = next(i for i, m in enumerate(after.messages) if _makes_call(m, run))
            context = "\n".join(filter(None, map(_message_text, after.messages[:before])))
            said = _message_text(after.reply)
            yield _call_text(run), _result_text(run), context, said


def _holds_call(messages: list[Message], run: ToolRun) -> bool:
    return any(_makes_call(message, run) for message in messages)


def _makes_call(message: Message, run: ToolRun) -> bool:
    """Report if a message makes the call of a tool run."""
    parts = message.get("parts") or ()
    return run.call_id is not None and any(
        part.get("type") == "tool_call" and part.get("id") == run.call_id for part in parts
    )


def _write_call(call: str, result: str) -> str:
    return f"[{call} -> {result}]\n"


def _call_text(run: ToolRun) -> str:
    return f"{run.name}({_to_json(run.arguments)})"


def _result_text(run: ToolRun) -> str:
    return run.result if isinstance(run.result, str) else _to_json(run.result)


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _message_text(message: Message) -> str:
    """Return a message as text: its words, and the calls that it makes."""
    words = []
    for part in message.get("parts") or ():
        if part.get("type") == "text":
            words.append(str(part.get("content") or ""))
        elif part.get("type") == "tool_call":
            words.append(f"{part.get('name')}({_to_json(part.get('arguments'))})")
    return " ".join(words)
