"""Drop runs that reached the goal by luck.

Three signs count: an answer without support in the run's observations, a step from which other
attempts at the same task mostly failed, and a success that does not repeat when the run is
replayed.

The first sign fails for answers that are computed rather than read (sums and counts of observations
are recognised, other arithmetic is not), so the recipe must ask for each sign.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from burnish.records import Trajectory
from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Sample, SetStep, Step
from burnish_exporters.curate.steps.values import Attempt, step_values

Replay = Callable[[Trajectory], Iterable[bool]]
"""Replays the actions of a run, any number of times, and yields each time if they reach the goal."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[\w'-]+(?:\.\w+)*", re.UNICODE)


def keep_supported(*, at_least: float = 0.5) -> Step:
    """Keep runs whose answer can be traced to the request and the observations.

    A correct guess teaches guessing. The numbers and names of the answer (its claims) are looked up
    in the tool results; what the request itself says is not a claim, and an answer without claims is
    kept.

    Args:
        at_least: Share of claims, 0 to 1, that must be supported.

    Raises:
        ValueError: If the share lies outside 0 to 1.
    """
    if not 0.0 <= at_least <= 1.0:
        raise ValueError(
            f"at_least is {at_least}, expected a share from 0 to 1; "
            "half of the claims is keep_supported(at_least=0.5)"
        )

    def check_claims(item: Item) -> Keep | Drop:
        claims = claims_of(item.trajectory)
        if not claims:
            return KEEP
        seen = Observations(item.trajectory)
        if sum(claim in seen for claim in claims) < at_least * len(claims):
            return Drop("luck: answer not supported by any observation")
        return KEEP

    return check_claims


def drop_lucky(*, below: float = 0.2, siblings: int = 5) -> SetStep:
    """Drop runs that passed through a state from which most other attempts failed.

    Args:
        below: Value of a step, 0 to 1, below which a later success counts as luck.
        siblings: Least number of other attempts through the same step for a judgement.
    """

    def drop_outliers(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        known = list(samples)
        attempts = [attempt for sample in known for attempt in [attempt_of(sample)] if attempt]
        values = step_values(attempts)
        for sample in known:
            if sample.label == "success" and _was_lucky(sample, values, below, siblings):
                yield Drop("luck: others failed from the same step", sample.trajectory_id)
            else:
                yield sample

    return drop_outliers


def keep_repeatable(replay: Replay, *, at_least: float = 0.5) -> Step:
    """Keep runs whose actions reach the goal again; a run that cannot be replayed is kept.

    Args:
        replay: Replays a run.
        at_least: Share of the replays, 0 to 1, that must succeed.
    """

    def check_replays(item: Item) -> Keep | Drop:
        ends = list(replay(item.trajectory))
        lucky = bool(ends) and sum(ends) < at_least * len(ends)
        return Drop("luck: does not succeed again") if lucky else KEEP

    return check_replays


def attempt_of(sample: Sample) -> Attempt | None:
    """Return the sample as an attempt at its task; None if its result is unknown."""
    if sample.label not in ("success", "fail"):
        return None
    return Attempt(
        task=sample.task, actions=tuple(sample.actions), success=sample.label == "success"
    )


def claims_of(trajectory: Trajectory) -> list[str]:
    """Return the facts that the answer states and the request does not.

    A fact is a word with a digit, or one that is capitalised inside a sentence.
    """
    asked = _WordIndex(_request_texts(trajectory))
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
    """Report if a step of the run has a low value among the other attempts that took it."""
    actions = tuple(sample.actions)
    for length in range(1, len(actions) + 1):
        won, total = values.get((sample.task, actions[:length]), (0, 0))
        others_won, others = won - 1, total - 1
        if others >= least and others_won / others < below:
            return True
    return False


class _WordIndex:
    """Text with a lookup of whole words and numbers."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._words = {word.casefold() for text in texts for word in _WORD.findall(text)}
        self._numbers = {
            _plain_number(number) for text in texts for number in _NUMBER.findall(text)
        }

    def __contains__(self, claim: object) -> bool:
        text = str(claim)
        numbers = _NUMBER.findall(text)
        if numbers and _NUMBER.fullmatch(text):
            return _plain_number(text) in self._numbers
        return text.casefold() in self._words


class Observations:
    """The observations of a run: its tool results, the sizes of their lists and the sums of their numbers."""

    def __init__(self, trajectory: Trajectory) -> None:
        results = [_parse_result(run.result) for run in trajectory.tool_runs if not run.is_error]
        self._text = _WordIndex(
            [value if isinstance(value, str) else json.dumps(value) for value in results]
        )
        self._derived = {
            _plain_number(str(number)) for value in results for number in _derived_numbers(value)
        }

    def __contains__(self, claim: object) -> bool:
        return claim in self._text or _plain_number(str(claim)) in self._derived


def _request_texts(trajectory: Trajectory) -> list[str]:
    """Return the texts of all messages other than tool results; the system prompt counts as seen too."""
    messages = trajectory.model_calls[0].messages if trajectory.model_calls else []
    parts = [part for m in messages if m.get("role") != "tool" for part in m.get("parts") or ()]
    return [part["content"] for part in parts if isinstance(part.get("content"), str)]


def _parse_result(result: Any) -> Any:
    if isinstance(result, str):
        try:
            return json.loads(result)
        except ValueError:
            return result
    return result


def _derived_numbers(value: Any) -> Iterator[float]:
    """Yield sizes of lists, and sums of lists of numbers."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _derived_numbers(item)
    if isinstance(value, list):
        yield len(value)
        numbers = [item for item in value if isinstance(item, (int, float))]
        if numbers and len(numbers) == len(value):
            yield sum(numbers)
        for item in value:
            yield from _derived_numbers(item)


def _plain_number(number: str) -> str:
    """Format a number without separators and trailing zeros."""
    try:
        return f"{float(number.replace(',', '')):.9g}"
    except ValueError:
        return number
