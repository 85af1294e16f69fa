"""Write a run as the text that a judge reads.

`transcript()` writes one JSON line a message. Texts of the assistant are marked `unverified`; its
reasoning and its claims about itself are left out. A record that is too long is shortened in this
order: the assistant's own texts; requests and results, which keep beginning and end; whole
messages, the assistant's before any other and the oldest first.
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
_CLAIMS_CHARS = 20_000  # only both ends of a longer text are read


def transcript(trajectory: Trajectory) -> str:
    """Return the run as JSON lines: requests, calls, results, the assistant's answers and the final state."""
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
    """Yield the facts to show, in order: the last call's messages, then results and states that they lack."""
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
        else:  # no later call received this result
            yield {
                "role": "tool",
                "name": run.name,
                "arguments": run.arguments,
                "result": run.result,
            }
    yield from facts


def _results_of(messages: list[Message]) -> list[str]:
    """Return the tool results in the messages of tools; the agent's quotations of them do not count."""
    parts = [part for message in messages for part in message.get("parts") or ()]
    given = [part for part in parts if isinstance(part, dict) and "response" in part]
    return [_canonical_result(part["response"]) for part in given]


def _canonical_result(result: Any) -> str:
    return json.dumps(result, default=str, sort_keys=True)


def _fact_of_message(message: Message) -> dict[str, Json]:
    """Return the content of a message; an assistant's reasoning and claims about itself are left out."""
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
    """Write one line for each fact, with texts of at most so many characters; None leaves them whole."""
    lines = []
    for fact in facts:
        most = of_assistant if fact.get("unverified") else of_others
        value = fact if most is None else _with_short_texts(fact, most)
        lines.append(json.dumps(value, ensure_ascii=False, default=str))
    return lines


def _choose_fitting(facts: list[dict[str, Json]], lines: list[str]) -> list[str]:
    """Drop lines until the rest fits: first the assistant's oldest, then the oldest of all."""
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
    """Shorten every text of a value, and keep both ends of long lists."""
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
    """Keep both ends of a text that is longer than so many characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} ... {len(text) - 2 * half} characters left out ... {text[-half:]}"
