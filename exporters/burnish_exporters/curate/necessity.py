"""Drop runs with a tool call that the run would have done as well without.

Knows: what a call is worth: how much likelier its result makes what was said next (Toolformer, arXiv 2302.04761).
Does not know: the model: the caller gives a function that scores text with it.

The loss of what follows, given some text before it, is L(z) = -sum_j w_j log p(x_j | z, x_<j) over its first five
tokens, with weights max(0, 1 - 0.2 j) that are made to sum to 1. A call's gain is L- minus L+: L+ sees the call with
its result, L- the better of nothing at all and the call without its result. The call is written before the context and
not into it, as in the paper, because a model that was not tuned yet would stumble over it.
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


def needed_calls(scorer: Scorer, *, at_least: float = MIN_GAIN) -> Step:
    """Keep runs of which every successful tool call gains enough.

    Args:
        scorer: Scores a continuation with a model.
        at_least: Least gain of a call, in nats; the paper uses 1.0, and 0.5 for calculators.
    """

    def step(item: Item) -> Keep | Drop:
        gains = (call_gain(scorer, *told) for told in calls_of(item.trajectory))
        return Drop("redundant: call without gain") if any(g < at_least for g in gains) else KEEP

    return step


def call_gain(scorer: Scorer, call: str, result: str, context: str, continuation: str) -> float:
    """L- minus L+ of one call, in nats; positive where its result helped.

    Args:
        scorer: Scores a continuation with a model.
        call: The call as text.
        result: What it gave.
        context: What stood before it.
        continuation: What was said after its result.
    """

    def loss(before: str) -> float:
        return weighted_loss(scorer(f"{before}{context}", continuation))

    without = min(loss(""), loss(_written(call, "")))
    return without - loss(_written(call, result))


def weighted_loss(logprobs: Sequence[float]) -> float:
    """The loss over the first five tokens, weights 1, 0.8, 0.6, 0.4, 0.2 made to sum to 1; 0 of no tokens."""
    weights = [max(0.0, 1 - place / _TOKENS) for place in range(min(_TOKENS, len(logprobs)))]
    total = sum(weights)
    pairs = zip(weights, logprobs, strict=False)
    return -sum(weight * logprob for weight, logprob in pairs) / total if total else 0.0


def calls_of(trajectory: Trajectory) -> Iterator[tuple[str, str, str, str]]:
    """Each successful tool run as call, result, context and continuation, as text."""
    runs = [run for run in trajectory.tool_runs if not run.is_error and run.error is None]
    for run in runs:
        after = next((c for c in trajectory.model_calls if _saw(c.messages, run)), None)
        if after is not None and after.reply is not None:
            before = next(i for i, m in enumerate(after.messages) if _makes(m, run))
            context = "\n".join(filter(None, map(_text, after.messages[:before])))
            said = _text(after.reply)
            yield _call(run), _result(run), context, said


def _saw(messages: list[Message], run: ToolRun) -> bool:
    return any(_makes(message, run) for message in messages)


def _makes(message: Message, run: ToolRun) -> bool:
    """Whether a message makes the call of a tool run."""
    parts = message.get("parts") or ()
    return run.call_id is not None and any(
        part.get("type") == "tool_call" and part.get("id") == run.call_id for part in parts
    )


def _written(call: str, result: str) -> str:
    return f"[{call} -> {result}]\n"


def _call(run: ToolRun) -> str:
    return f"{run.name}({_plain(run.arguments)})"


def _result(run: ToolRun) -> str:
    return run.result if isinstance(run.result, str) else _plain(run.result)


def _plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _text(message: Message) -> str:
    """What a message says: its text, and the calls that it makes."""
    words = []
    for part in message.get("parts") or ():
        if part.get("type") == "text":
            words.append(str(part.get("content") or ""))
        elif part.get("type") == "tool_call":
            words.append(f"{part.get('name')}({_plain(part.get('arguments'))})")
    return " ".join(words)
