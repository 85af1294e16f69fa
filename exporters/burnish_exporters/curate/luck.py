"""Drop runs that reached the goal by luck.

Knows: three signs of luck: an answer that nothing supports that the run saw, a step from which other attempts at the
same task mostly failed, and a success that does not come again when the run is replayed.
Does not know: who verified the run, and how it is replayed.

The first sign is blind where answers are worked out rather than read (sums and counts of what was seen are recognised,
other arithmetic is not), so none is looked for unless the recipe asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from burnish.records import Trajectory
from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Sample, SetStep, Step
from burnish_exporters.curate.values import Attempt, step_values

Replay = Callable[[Trajectory], Iterable[bool]]
"""Plays the actions of a run again, as often as it likes, and tells each time whether they reach the goal."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[\w'-]+(?:\.\w+)*", re.UNICODE)


def supported_by_observations(*, at_least: float = 0.5) -> Step:
    """Keep runs whose answer can be traced to what they were asked and what they saw.

    A guess that happens to be right teaches guessing. The numbers and names of the answer (its claims) are looked up in
    the tool results; what the request says itself is no claim, and an answer without claims is kept.

    Args:
        at_least: Share of claims, 0 to 1, that must be supported.

    Raises:
        ValueError: If the share lies outside 0 to 1.
    """
    if not 0.0 <= at_least <= 1.0:
        raise ValueError(
            f"at_least is {at_least}, expected a share from 0 to 1; "
            "half of the claims is supported_by_observations(at_least=0.5)"
        )

    def step(item: Item) -> Keep | Drop:
        claims = claims_of(item.trajectory)
        if not claims:
            return KEEP
        seen = _Seen(item.trajectory)
        if sum(claim in seen for claim in claims) < at_least * len(claims):
            return Drop("luck: answer not supported by any observation")
        return KEEP

    return step


def unlike_siblings(*, below: float = 0.2, siblings: int = 5) -> SetStep:
    """Keep runs that nowhere went on from a step after which most other attempts at the task failed.

    Args:
        below: Value of a step, 0 to 1, under which going on to success was luck.
        siblings: Fewest other attempts through the same step that say anything.
    """

    def step(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        known = list(samples)
        attempts = [attempt for sample in known for attempt in [attempt_of(sample)] if attempt]
        values = step_values(attempts)
        for sample in known:
            if sample.label == "success" and _was_lucky(sample, values, below, siblings):
                yield Drop("luck: others failed from the same step", sample.trajectory_id)
            else:
                yield sample

    return step


def succeeds_again(replay: Replay, *, at_least: float = 0.5) -> Step:
    """Keep runs whose actions reach the goal again; one that cannot be replayed says nothing and is kept.

    Args:
        replay: Plays a run again.
        at_least: Share of the replays, 0 to 1, that must succeed.
    """

    def step(item: Item) -> Keep | Drop:
        ends = list(replay(item.trajectory))
        lucky = bool(ends) and sum(ends) < at_least * len(ends)
        return Drop("luck: does not succeed again") if lucky else KEEP

    return step


def attempt_of(sample: Sample) -> Attempt | None:
    """The sample as an attempt at its task; None if it cannot be told how it ended."""
    if sample.label not in ("success", "fail"):
        return None
    return Attempt(
        task=sample.task, actions=tuple(sample.actions), success=sample.label == "success"
    )


def claims_of(trajectory: Trajectory) -> list[str]:
    """What the answer states as fact and the request does not.

    A fact is a word with a digit, or one that is capitalised where no sentence begins.
    """
    asked = _Text(_requests(trajectory))
    words = [match.group() for match in _WORD.finditer(trajectory.answer or "")]
    alone = len(words) == 1
    facts = [
        word
        for place, word in enumerate(words)
        if any(char.isdigit() for char in word) or ((place or alone) and word[:1].isupper())
    ]
    return [fact for fact in dict.fromkeys(facts) if fact not in asked]


def _was_lucky(
    sample: Sample,
    values: dict[tuple[str, tuple[str, ...]], tuple[int, int]],
    below: float,
    least: int,
) -> bool:
    """Whether a step of the run has a low value among the others that took it."""
    actions = tuple(sample.actions)
    for length in range(1, len(actions) + 1):
        won, total = values.get((sample.task, actions[:length]), (0, 0))
        others_won, others = won - 1, total - 1
        if others >= least and others_won / others < below:
            return True
    return False


class _Text:
    """Text in which whole words are looked up."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._words = {word.casefold() for text in texts for word in _WORD.findall(text)}
        self._numbers = {_plain(number) for text in texts for number in _NUMBER.findall(text)}

    def __contains__(self, claim: object) -> bool:
        text = str(claim)
        numbers = _NUMBER.findall(text)
        if numbers and _NUMBER.fullmatch(text):
            return _plain(text) in self._numbers
        return text.casefold() in self._words


class _Seen:
    """What a run saw: its tool results, the sizes of their lists and the sums of their numbers."""

    def __init__(self, trajectory: Trajectory) -> None:
        results = [_value(run.result) for run in trajectory.tool_runs if not run.is_error]
        self._text = _Text(
            [value if isinstance(value, str) else json.dumps(value) for value in results]
        )
        self._derived = {_plain(str(number)) for value in results for number in _derived(value)}

    def __contains__(self, claim: object) -> bool:
        return claim in self._text or _plain(str(claim)) in self._derived


def _requests(trajectory: Trajectory) -> list[str]:
    """What users said; the system's words count as seen too."""
    messages = trajectory.model_calls[0].messages if trajectory.model_calls else []
    parts = [part for m in messages if m.get("role") != "tool" for part in m.get("parts") or ()]
    return [part["content"] for part in parts if isinstance(part.get("content"), str)]


def _value(result: Any) -> Any:
    if isinstance(result, str):
        try:
            return json.loads(result)
        except ValueError:
            return result
    return result


def _derived(value: Any) -> Iterator[float]:
    """Sizes of lists, and sums of lists of numbers."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _derived(item)
    if isinstance(value, list):
        yield len(value)
        numbers = [item for item in value if isinstance(item, (int, float))]
        if numbers and len(numbers) == len(value):
            yield sum(numbers)
        for item in value:
            yield from _derived(item)


def _plain(number: str) -> str:
    """A number without separators and trailing zeros."""
    try:
        return f"{float(number.replace(',', '')):.9g}"
    except ValueError:
        return number
