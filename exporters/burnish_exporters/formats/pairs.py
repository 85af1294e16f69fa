"""Pairs that teach: a verified success against a verified failure of the same task.

Knows: which runs make a pair, where they part, and what tells the two sides from each other.
Does not know: any consumer's form.

A pair never crosses tasks or tool schemas, the chosen side is always a verified success, and a task gives only so many
pairs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from burnish.records import Json
from burnish_exporters.rows.stable import digest

Chat = dict[str, Json]

MOST_PER_TASK = 4
BIASED = 0.6


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One pair; the prompt is what both sides share."""

    task_id: str | None
    prompt: list[Chat]
    chosen: list[Chat]
    rejected: list[Chat]
    tools: list[Json]
    origin: str  # "siblings" or "retry"


def run_pairs(rows: Iterable[dict[str, Any]], most: int = MOST_PER_TASK) -> Iterator[Pair]:
    """Whole runs from the point where they part."""
    for good, bad in _couples(rows, most):
        place = _parting(good["messages"], bad["messages"])
        pair = _pair(good, bad["messages"], place, (None, "siblings"))
        if pair:
            yield pair


def step_pairs(rows: Iterable[dict[str, Any]], most: int = MOST_PER_TASK) -> Iterator[Pair]:
    """Single replies at the fork: siblings that part there, and calls that failed and were then made right."""
    known = list(rows)
    for good, bad in _couples(known, most):
        place = _parting(good["messages"], bad["messages"])
        pair = _pair(good, bad["messages"], place, (1, "siblings"))
        if pair:
            yield pair
    for row in known:
        if row["verdict"]["label"] == "success":
            yield from _retries(row, most)


def length_auc(pairs: Sequence[Pair]) -> float:
    """How well length tells chosen from rejected, 0 to 1: 0.5 is not at all, above 0.6 is a bias."""
    if not pairs:
        return 0.5
    sizes = [(_size(pair.chosen), _size(pair.rejected)) for pair in pairs]
    wins = sum(
        1.0 if good > bad else 0.5 if good == bad else 0.0 for good, _ in sizes for _, bad in sizes
    )
    return wins / len(sizes) ** 2


def pair_report(pairs: Sequence[Pair]) -> dict[str, Json]:
    """What distinguishes chosen from rejected: tools, arguments, steps, length; with warnings."""
    auc = length_auc(pairs)
    long = f"chosen is {'longer' if auc > 0.5 else 'shorter'} than rejected (AUC {auc:.2f})"
    biased = max(auc, 1 - auc) > BIASED
    return {
        "pairs": len(pairs),
        "tasks": len({pair.task_id for pair in pairs}),
        "origins": dict(Counter(pair.origin for pair in pairs)),
        "length_auc": round(auc, 4),
        "tools": {
            side: dict(Counter(name for pair in pairs for name, _ in _calls(getattr(pair, side))))
            for side in ("chosen", "rejected")
        },
        "first_difference": dict(Counter(_difference(pair) for pair in pairs)),
        "mean_steps": {
            side: round(sum(_steps(getattr(p, side)) for p in pairs) / max(1, len(pairs)), 2)
            for side in ("chosen", "rejected")
        },
        "warnings": [long] if pairs and biased else [],
    }


def _couples(
    rows: Iterable[dict[str, Any]], most: int
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Successes and failures of the same task and tools, the best known combinations first."""
    groups: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = defaultdict(
        lambda: {"success": [], "fail": []}
    )
    for row in rows:
        label = row["verdict"]["label"]
        if row["task_id"] and label in ("success", "fail"):
            groups[row["task_id"], digest(row["tools"])][label].append(row)
    for key in sorted(groups):
        good, bad = groups[key]["success"], groups[key]["fail"]
        couples = [
            (good[(shift + place) % len(good)], failure)
            for shift in range(len(good))
            for place, failure in enumerate(bad)
        ]
        yield from couples[:most]


def _parting(good: list[Chat], bad: list[Chat]) -> int:
    """Place of the first message in which two conversations differ."""
    for place, (one, other) in enumerate(zip(good, bad, strict=False)):
        if _said(one) != _said(other):
            return place
    return min(len(good), len(bad))


def _pair(
    good: dict[str, Any], bad: list[Chat], place: int, cut: tuple[int | None, str]
) -> Pair | None:
    """The pair of two conversations from a place on; None if they do not part at a reply."""
    length, origin = cut
    end = None if length is None else place + length
    chosen, rejected = good["messages"][place:end], bad[place:end]
    replies = [side[0]["role"] == "assistant" for side in (chosen, rejected) if side]
    if len(replies) < 2 or not all(replies) or place == 0:
        return None
    return Pair(
        task_id=good["task_id"],
        prompt=good["messages"][:place],
        chosen=chosen,
        rejected=rejected,
        tools=good["tools"],
        origin=origin,
    )


def _retries(row: dict[str, Any], most: int) -> Iterator[Pair]:
    """Calls that failed, against the next call of the same tool that carries loss, at the failed call's place."""
    messages, found = row["messages"], 0
    for place, message in enumerate(messages):
        if message["role"] != "assistant" or message["loss"] or found >= most:
            continue
        names = {name for name, _ in _calls([message])}
        later = (m for m in messages[place + 1 :] if m["role"] == "assistant" and m["loss"])
        better = next((m for m in later if names & {name for name, _ in _calls([m])}), None)
        if better is not None and place and row["calls"] and _was_sampled(row, place):
            found += 1
            yield Pair(
                task_id=row["task_id"],
                prompt=messages[:place],
                chosen=[better],
                rejected=[message],
                tools=row["tools"],
                origin="retry",
            )


def _was_sampled(row: dict[str, Any], place: int) -> bool:
    return any(call["message"] == place for call in row["calls"])


def _said(message: Chat) -> list[Json]:
    """A message up to the ids of its calls."""
    return [message["role"], message["content"], *([list(c) for c in _calls([message])])]


def _calls(messages: list[Chat]) -> list[tuple[str, str]]:
    return [
        (call["function"]["name"], call["function"]["arguments"])
        for message in messages
        for call in message.get("tool_calls") or ()
    ]


def _size(messages: list[Chat]) -> int:
    """Characters that the assistant wrote."""
    said = [message for message in messages if message["role"] == "assistant"]
    calls = sum(len(name) + len(arguments) for name, arguments in _calls(said))
    return calls + sum(len(m["content"] or "") for m in said)


def _steps(messages: list[Chat]) -> int:
    return sum(message["role"] == "assistant" for message in messages)


def _difference(pair: Pair) -> str:
    """What the first replies of the two sides differ in."""
    one, other = _calls(pair.chosen[:1]), _calls(pair.rejected[:1])
    if bool(one) != bool(other):
        return "call against answer"
    if [name for name, _ in one] != [name for name, _ in other]:
        return "other tool"
    return "other arguments" if one != other else "other words"
