"""Build preference pairs: a verified success against a verified failure of the same task.

`run_pairs()` and `step_pairs()` choose runs, find where they part, and pair steps of one run.
contrast.py measures the pairs.

A pair never crosses tasks or tool schemas, the chosen side always comes from a verified success, no
pair comes twice, and the number of pairs of a task is limited. Steps come from three places:

- siblings: where a failure leaves the path of a success; an action that another success took there
  is not rejected;
- retries: a failed call, against the call of the same tool that was made instead of it;
- rejected calls: a call that a person or the runtime did not allow, against the next action of the
  run.

A retry that uses a value that only the failure revealed (an id out of the error's text) is left
out: at the fork the model could not know it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from burnish.records import Json
from burnish_exporters.formats.aside import Aside
from burnish_exporters.formats.plain import Chat, arguments_of, text_of
from burnish_exporters.rows.canonical_json import hash_json

MOST_PER_TASK = 4
_MOST_COMPARED = 16  # runs of a side, per task
_COMPARED = ("task_id", "messages", "tools")
_CLOCK = re.compile(
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|\b[0-2]?\d:[0-5]\d:[0-5]\d\b"
)
_DENIED = re.compile(
    r"\b(?:rejected|denied|declined|refused|not (?:a valid tool|allowed|permitted|approved))\b",
    re.I,
)  # as LangChain's ToolNode and human-in-the-loop middleware answer, and others


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One pair; both sides share the prompt.

    Attributes:
        task_id: The task of both sides; the run's id where a run has no task.
        origin: "siblings", "retry" or "rejected call".
    """

    task_id: str
    prompt: list[Chat]
    chosen: list[Chat]
    rejected: list[Chat]
    tools: list[Json]
    origin: str


def run_pairs(
    rows: Iterable[dict[str, Any]],
    most: int = MOST_PER_TASK,
    *,
    unpaired: Counter[str] | None = None,
) -> Iterator[Pair]:
    """Yield pairs of whole runs from the point where they part.

    Args:
        rows: Rows of a version, failures included.
        most: Most pairs of one task.
        unpaired: Counts the runs without a pair, by reason.
    """
    yield from _pair_by_task(rows, most, Counter() if unpaired is None else unpaired, steps=False)


def step_pairs(
    rows: Iterable[dict[str, Any]],
    most: int = MOST_PER_TASK,
    *,
    unpaired: Counter[str] | None = None,
) -> Iterator[Pair]:
    """Yield pairs of single replies at the fork: of siblings, of a call and its retry, of a rejected call.

    Args:
        rows: Rows of a version, failures included.
        most: Most pairs of one task.
        unpaired: Counts the runs without a pair, by reason.
    """
    yield from _pair_by_task(rows, most, Counter() if unpaired is None else unpaired, steps=True)


def calls_of(messages: Iterable[Chat]) -> list[tuple[str, str]]:
    """Return names and arguments of the calls in messages."""
    return [
        (call["function"]["name"], call["function"]["arguments"])
        for message in messages
        for call in message.get("tool_calls") or ()
    ]


class _Places(NamedTuple):
    """Places of the runs of one task with the same tools, and the keys of every beginning that led to success."""

    good: list[int]
    bad: list[int]
    proven: list[int]


def _pair_by_task(
    rows: Iterable[dict[str, Any]], most: int, unpaired: Counter[str], *, steps: bool
) -> Iterator[Pair]:
    """Yield the pairs task by task; only the runs of one task are in memory."""
    with Aside() as aside:
        tasks, mended = _set_aside(rows, aside, unpaired, steps=steps)
        for task, tools in sorted(tasks.items()):
            counted = Counter[str]() if task in mended else unpaired
            siblings = [
                pair
                for _, places in sorted(tools.items())
                for pair in _pair_siblings(places, aside, counted, steps=steps)
            ]
            if siblings:
                within = (aside.get(place, Pair) for place in mended.pop(task, ()))
                yield from _chosen_few([*siblings, *within], most)
        for places in mended.values():
            yield from _chosen_few((aside.get(place, Pair) for place in places), most)


def _set_aside(
    rows: Iterable[dict[str, Any]], aside: Aside, unpaired: Counter[str], *, steps: bool
) -> tuple[dict[str, dict[str, _Places]], dict[str, list[int]]]:
    """Store the runs to compare; return their places by task and tools, and the places of pairs within runs, by task."""
    tasks: dict[str, dict[str, _Places]] = {}
    mended: dict[str, list[int]] = {}
    for row in rows:
        label = row["verdict"]["label"]
        if steps and label == "success":
            for pair in _pair_retries(row):
                mended.setdefault(pair.task_id, []).append(aside.put(pair))
        if not row["task_id"] or label not in ("success", "fail"):
            unpaired["no task id" if not row["task_id"] else f"verdict {label}"] += 1
            continue
        tools = tasks.setdefault(row["task_id"], {})
        places = tools.setdefault(hash_json(row["tools"]), _Places([], [], []))
        side = places.good if label == "success" else places.bad
        if len(side) < _MOST_COMPARED:
            side.append(aside.put({name: row[name] for name in _COMPARED}))  # without its token ids
        else:
            unpaired[f"over {_MOST_COMPARED} runs of the same task and label"] += 1
        if steps and label == "success":
            found = _list_beginnings(row["messages"])
            places.proven.append(aside.put([key for key, is_learned in found if is_learned]))
    return tasks, mended


def _chosen_few(pairs: Iterable[Pair], most: int) -> Iterator[Pair]:
    """Yield each pair of a task once, up to a limit; beyond it the origins take turns."""
    origins: dict[str, list[Pair]] = {}
    seen: set[str] = set()
    for pair in pairs:
        key = hash_json([*map(_said_all, (pair.prompt, pair.chosen, pair.rejected))])
        if key not in seen:
            seen.add(key)
            origins.setdefault(pair.origin, []).append(pair)
    longest = max(map(len, origins.values()))
    turns = [found[turn] for turn in range(longest) for found in origins.values() if turn < len(found)]  # fmt: skip
    yield from turns[:most]


def _pair_siblings(
    places: _Places, aside: Aside, unpaired: Counter[str], *, steps: bool
) -> Iterator[Pair]:
    """Yield pairs of a success and a failure; for each failure, the successes that it follows longest come first."""
    if not (places.good and places.bad):
        missing = "failure" if places.good else "success"
        unpaired[f"no {missing} with the same task and tools"] += len(places.good + places.bad)
        return
    goods, bads = ([aside.get(place) for place in side] for side in (places.good, places.bad))
    proven = {key for place in places.proven for key in aside.get(place)}
    ranked = [sorted(goods, key=lambda good: -_parting_place(good, bad)) for bad in bads]
    lone = dict.fromkeys(range(len(bads)), "")
    for shift in range(len(goods)):
        for place, (best, bad) in enumerate(zip(ranked, bads, strict=True)):
            pair, reason = _pair_parted(best[shift], bad, steps=steps)
            if pair and steps and _key_of_ending(pair.prompt + pair.rejected) in proven:
                pair, reason = None, "the failure's reply also led to a success"
            if pair:
                lone.pop(place, None)
                yield pair
            elif place in lone:
                lone[place] = lone[place] or reason
    unpaired.update(lone.values())


def _parting_place(good: dict[str, Any], bad: dict[str, Any]) -> int:
    """Return the place of the first message in which two runs differ."""
    one, other = good["messages"], bad["messages"]
    for place, (here, there) in enumerate(zip(one, other, strict=False)):
        if _comparable_message(here) != _comparable_message(there):
            return place
    return min(len(one), len(other))


def _pair_parted(
    good: dict[str, Any], bad: dict[str, Any], *, steps: bool
) -> tuple[Pair | None, str]:
    """Return the pair of two runs from where they part; None and the reason unless both have a reply there."""
    place = _parting_place(good, bad)
    end = place + 1 if steps else None
    chosen, rejected = good["messages"][place:end], bad["messages"][place:end]
    roles = [side[0]["role"] for side in (chosen, rejected) if side]
    if len(roles) < 2:
        return None, "the failure does not part from the success"
    if place == 0 or roles != ["assistant", "assistant"]:
        where = next(role for role in (*roles, roles[0]) if role != "assistant" or place == 0)
        return None, f"the runs part at a message of role {where}, not at a reply"
    if steps and not chosen[0]["loss"]:
        return None, "the success's reply at the fork carries no loss"
    return _build_pair(good, place, (chosen, rejected), "siblings"), ""


def _build_pair(row: dict[str, Any], place: int, sides: tuple[list[Chat], list[Chat]], origin: str) -> Pair:  # fmt: skip
    return Pair(
        task_id=row["task_id"] or row["trajectory_id"],
        prompt=row["messages"][:place],
        chosen=sides[0],
        rejected=sides[1],
        tools=row["tools"],
        origin=origin,
    )


def _pair_retries(row: dict[str, Any]) -> Iterator[Pair]:
    """Yield pairs of a success's failed or rejected call and the action that followed instead."""
    messages = row["messages"]
    for place in sorted({int(call["message"]) for call in row["calls"]}):
        failed = messages[place]
        if place == 0 or failed["loss"] or not failed.get("tool_calls"):
            continue
        denied = _was_denied(row, place)
        names = {name for name, _ in calls_of([failed])}
        later = ((p, m) for p, m in enumerate(messages) if p > place and m["loss"])
        instead = (
            (p, m) for p, m in later if denied or names & {name for name, _ in calls_of([m])}
        )
        at, better = next(instead, (0, None))
        if better is not None and _could_know(better, messages[:place], messages[place:at]):
            yield _build_pair(
                row, place, ([better], [failed]), "rejected call" if denied else "retry"
            )


def _was_denied(row: dict[str, Any], place: int) -> bool:
    """Return whether a reply's calls were not allowed: unknown tool, unreadable arguments, or a person's refusal."""
    known = {tool["function"]["name"] for tool in row["tools"]}
    asked = row["messages"][place]["tool_calls"]
    if any(not isinstance(arguments_of(call), dict) for call in asked):
        return True
    if known and any(call["function"]["name"] not in known for call in asked):
        return True
    ids = {call["id"] for call in asked}
    answers = row["messages"][place + 1 : place + 1 + len(asked)]
    return any(m.get("tool_call_id") in ids and _DENIED.search(text_of(m)) for m in answers)


def _could_know(better: Chat, before: list[Chat], since: list[Chat]) -> bool:
    """Return whether a reply holds no value that first appeared between the fork and the reply."""
    known, new = _words_of(before), _words_of(since[1:])
    used = [
        word for call in better.get("tool_calls") or () for word in _list_leaves(arguments_of(call))
    ]
    return not any(word in new and word not in known for word in used)


def _words_of(messages: list[Chat]) -> str:
    return "\n".join([text_of(m) for m in messages] + [a for _, a in calls_of(messages)])


def _list_leaves(value: Json) -> Iterator[str]:
    """Yield texts and numbers in arguments that are long enough to be distinctive."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _list_leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _list_leaves(inner)
    elif isinstance(value, str) and len(value) > 2:
        yield value
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) > 9:
        yield json.dumps(value)


def _list_beginnings(messages: list[Chat]) -> Iterator[tuple[str, bool]]:
    """Yield the key of each beginning, and whether its last message carries loss."""
    key = ""
    for message in messages:
        key = hash_json([key, _comparable_message(message)])
        yield key, bool(message["loss"])


def _key_of_ending(messages: list[Chat]) -> str:
    """Return the key of the beginning that consists of all these messages."""
    return [key for key, _ in _list_beginnings(messages)][-1]


def _said_all(messages: list[Chat]) -> list[Json]:
    return [_comparable_message(message) for message in messages]


def _comparable_message(message: Chat) -> list[Json]:
    """Return a message without the ids of its calls; if the model did not write it, also without times.

    Two attempts are the same even if the clock in the system message shows another minute.
    """
    said = message["content"]
    if message["role"] != "assistant" and isinstance(said, str):
        said = _CLOCK.sub("*", said)
    return [message["role"], said, *([list(c) for c in calls_of([message])])]
