"""A run as a judge reads it.

Knows: what of a run is evidence, what is only said, and what is shortened first where a run is long.
Does not know: who judges.

Each message is one JSON line. What the assistant wrote is marked `unverified` and stands without its thoughts and
without what it claims of itself. Where the record is too long, the assistant's own texts are shortened first, then
requests and results, each keeping its beginning and its end; whole messages are left out last, those of the assistant
before any other, and the oldest first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from burnish.records import Json, Message, Trajectory
from burnish_exporters.verify.evidence.claims import without_claims

MOST_CHARS = 24_000
_OF_ASSISTANT = (4_000, 1_000, 300, 80)
_OF_OTHERS = (4_000, 1_500, 500, 150)
_CLAIMS_CHARS = 20_000  # of a longer text only both ends are read at all


def transcript(trajectory: Trajectory) -> str:
    """The run as JSON lines: requests, calls, results, what the assistant answered, and the final state."""
    facts = list(_list_facts(trajectory))
    lines = _write_lines(facts, _CLAIMS_CHARS, None)
    for of_assistant in _OF_ASSISTANT:
        if _total_size(lines) <= MOST_CHARS:
            break
        lines = _write_lines(facts, of_assistant, None)
    for of_others in _OF_OTHERS:
        if _total_size(lines) <= MOST_CHARS:
            break
        lines = _write_lines(facts, _OF_ASSISTANT[-1], of_others)
    return "\n".join(_choose_fitting(facts, lines))


def _list_facts(trajectory: Trajectory) -> Iterator[dict[str, Json]]:
    """What is shown, in order: the messages of the last call, and results and state that none of them holds."""
    last = trajectory.model_calls[-1] if trajectory.model_calls else None
    messages = [*last.messages, *([last.reply] if last.reply else [])] if last else []
    facts = [_fact_of_message(message) for message in messages]
    if trajectory.final_state is not None:
        facts.append({"final_state": trajectory.final_state})
    shown = _results_of(messages)
    for run in trajectory.tool_runs:
        result = _canonical_result(run.result)
        if result in shown:
            shown.remove(result)
        else:  # a result that no later call was given
            yield {
                "role": "tool",
                "name": run.name,
                "arguments": run.arguments,
                "result": run.result,
            }
    yield from facts


def _results_of(messages: list[Message]) -> list[str]:
    """What tools gave back, as the messages of tools say; what an agent repeats of it is no result."""
    parts = [part for message in messages for part in message.get("parts") or ()]
    given = [part for part in parts if isinstance(part, dict) and "response" in part]
    return [_canonical_result(part["response"]) for part in given]


def _canonical_result(result: Any) -> str:
    return json.dumps(result, default=str, sort_keys=True)


def _fact_of_message(message: Message) -> dict[str, Json]:
    """What a message says; of the assistant, neither what it thought nor what it claims of itself."""
    parts = [part for part in message.get("parts") or () if isinstance(part, dict)]
    role = message.get("role")
    if role != "assistant":
        return {"role": role, "parts": parts}
    said = [_without_claims(part) for part in parts if part.get("type") != "reasoning"]
    return {"role": role, "unverified": True, "parts": said}


def _without_claims(part: dict[str, Any]) -> dict[str, Any]:
    if part.get("type") != "text" or not isinstance(part.get("content"), str):
        return part
    return {**part, "content": without_claims(_shorten_text(part["content"], _CLAIMS_CHARS))}


def _write_lines(
    facts: list[dict[str, Json]], of_assistant: int, of_others: int | None
) -> list[str]:
    """One line a fact, with texts of at most so many characters; None leaves them whole."""
    lines = []
    for fact in facts:
        most = of_assistant if fact.get("unverified") else of_others
        value = fact if most is None else _with_short_texts(fact, most)
        lines.append(json.dumps(value, ensure_ascii=False, default=str))
    return lines


def _choose_fitting(facts: list[dict[str, Json]], lines: list[str]) -> list[str]:
    """The lines that fit: of too many, the assistant's oldest are left out first, then the oldest of all."""
    size, dropped = _total_size(lines), set[int]()
    places = [n for n, fact in enumerate(facts) if fact.get("unverified")]
    places += [n for n in range(len(facts)) if n not in set(places)]
    for place in places:
        if size <= MOST_CHARS:
            break
        dropped.add(place)
        size -= len(lines[place]) + 1
    kept = [line for place, line in enumerate(lines) if place not in dropped]
    return [f"... {len(dropped)} messages left out ...", *kept] if dropped else kept


def _total_size(lines: list[str]) -> int:
    return sum(map(len, lines)) + len(lines)


def _with_short_texts(value: Any, most: int) -> Any:
    """A value with every text in it shortened, and of long lists both ends."""
    if isinstance(value, str):
        return _shorten_text(value, most)
    if isinstance(value, dict):
        return {key: _with_short_texts(item, most) for key, item in value.items()}
    if isinstance(value, list):
        kept = value
        if len(value) > 40:
            kept = [*value[:20], f"... {len(value) - 40} left out ...", *value[-20:]]
        return [_with_short_texts(item, most) for item in kept]
    return value


def _shorten_text(text: str, most: int) -> str:
    """Both ends of a text that is longer than so many characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} ... {len(text) - 2 * half} characters left out ... {text[-half:]}"
