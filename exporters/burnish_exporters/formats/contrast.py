"""Measure how chosen and rejected sides of pairs differ: tools, arguments, steps, length.

`pair_report()` warns where length alone separates the sides, and `each_fit_pair()` measures the pairs
that a form takes. pairs.py finds the pairs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from burnish.records import Json
from burnish_exporters.formats.pairs import Pair, calls_of, step_pairs
from burnish_exporters.formats.plain import Chat, Unfit, text_of

BIASED = 0.6
_SIDES = ("chosen", "rejected")


class Tally:
    """Counts over pairs; of each pair only numbers are kept."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Reset all counts."""
        self.pairs = 0
        self._tasks: set[str] = set()
        self._origins: Counter[str] = Counter()
        self._differences: Counter[str] = Counter()
        self._arguments: dict[str, Counter[str]] = {}
        self._tools: dict[str, Counter[str]] = {side: Counter() for side in _SIDES}
        self._steps: Counter[str] = Counter()
        self._sizes: dict[str, list[int]] = {side: [] for side in _SIDES}

    def add(self, pair: Pair) -> None:
        """Count one pair."""
        self.pairs += 1
        self._tasks.add(pair.task_id)
        self._origins[pair.origin] += 1
        self._differences[_describe_difference(pair)] += 1
        for side, messages in zip(_SIDES, (pair.chosen, pair.rejected), strict=True):
            said = [message for message in messages if message["role"] == "assistant"]
            self._tools[side].update(name for name, _ in calls_of(said))
            self._steps[side] += len(said)
            self._sizes[side].append(_reply_length(said))
        for name, how in _argument_differences(pair):
            self._arguments.setdefault(name, Counter())[how] += 1

    def report(self) -> dict[str, Json]:
        """Return the counts as plain data, with warnings."""
        auc = _length_preference(*self._sizes.values())
        long = f"chosen is {'longer' if auc > 0.5 else 'shorter'} than rejected (AUC {auc:.2f}): a model can learn length instead"  # fmt: skip
        return {
            "pairs": self.pairs,
            "tasks": len(self._tasks),
            "origins": dict(sorted(self._origins.items())),
            "length_auc": round(auc, 4),
            "tools": {side: dict(sorted(self._tools[side].items())) for side in _SIDES},
            "arguments": {name: dict(sorted(how.items())) for name, how in sorted(self._arguments.items())},
            "first_difference": dict(sorted(self._differences.items())),
            "mean_steps": {side: round(self._steps[side] / max(1, self.pairs), 2) for side in _SIDES},
            "warnings": [long] if self.pairs and max(auc, 1 - auc) > BIASED else [],
        }  # fmt: skip


def each_fit_pair(
    pairs: Iterable[Pair], make: Callable[[Pair], Chat], tally: Tally, refused: Counter[str]
) -> Iterator[Chat]:
    """Yield the result of `make` for each pair and count it in `tally`; the reasons of unfit ones go into `refused`."""
    for pair in pairs:
        try:
            made = make(pair)
        except Unfit as reason:
            refused[str(reason)] += 1
        else:
            tally.add(pair)
            yield made


class StepPreferences:
    """Base of the forms that set one reply against another; a form defines `render_pair`."""

    contrast = True  # needs failures too

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self.tally = Tally()

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Yield one row per pair of replies at the fork."""
        self.refused.clear()
        self.tally.clear()
        pairs = step_pairs(rows, unpaired=self.refused)
        return each_fit_pair(pairs, self.render_pair, self.tally, self.refused)

    def render_pair(self, pair: Pair) -> dict[str, Json]:
        """Return the row of a pair.

        Raises:
            Unfit: If the pair has no place in the form.
        """
        raise NotImplementedError

    def facts(self) -> dict[str, Json]:
        """Return the differences between the sides of the pairs that were rendered last."""
        return self.tally.report()


def pair_report(pairs: Iterable[Pair]) -> dict[str, Json]:
    """Return the differences between chosen and rejected: tools, arguments, steps, length; with warnings."""
    tally = Tally()
    for pair in pairs:
        tally.add(pair)
    return tally.report()


def length_auc(pairs: Sequence[Pair]) -> float:
    """Return how well length separates chosen from rejected, 0 to 1: 0.5 is chance, above 0.6 is a bias."""
    return float(pair_report(pairs)["length_auc"])


def _length_preference(chosen: list[int], rejected: list[int]) -> float:
    """Return the share of (chosen, rejected) in which the chosen is longer, ties half: the Mann-Whitney statistic."""
    if not chosen:
        return 0.5
    tagged = sorted([(size, True) for size in chosen] + [(size, False) for size in rejected])
    rank, total = 0, 0.0
    for _, group in groupby(tagged, key=lambda item: item[0]):
        tied = [is_chosen for _, is_chosen in group]
        total += sum(tied) * (rank + (len(tied) + 1) / 2)  # ranks from 1, ties share their mean
        rank += len(tied)
    n = len(chosen)
    return (total - n * (n + 1) / 2) / (n * len(rejected))


def _reply_length(said: list[Chat]) -> int:
    """Count the characters that the assistant wrote."""
    return sum(len(name) + len(arguments) for name, arguments in calls_of(said)) + sum(
        len(text_of(message)) for message in said
    )


def _describe_difference(pair: Pair) -> str:
    """Return how the first replies of the two sides differ."""
    one, other = calls_of(pair.chosen[:1]), calls_of(pair.rejected[:1])
    if bool(one) != bool(other):
        return "call instead of answer" if one else "answer instead of call"
    if [name for name, _ in one] != [name for name, _ in other]:
        return "other tool"
    return "other arguments" if one != other else "other words"


def _argument_differences(pair: Pair) -> list[tuple[str, str]]:
    """Return the arguments of the same tool in which the first replies differ, each with the kind of difference."""
    found = []
    one, other = calls_of(pair.chosen[:1]), calls_of(pair.rejected[:1])
    for (name, good), (rival, bad) in zip(one, other, strict=False):
        if name != rival:
            continue
        chosen, rejected = _parse_object(good), _parse_object(bad)
        for key in sorted(chosen.keys() | rejected.keys()):
            if key not in rejected:
                found.append((f"{name}.{key}", "only chosen"))
            elif key not in chosen:
                found.append((f"{name}.{key}", "only rejected"))
            elif chosen[key] != rejected[key]:
                found.append((f"{name}.{key}", "other value"))
    return found


def _parse_object(arguments: str) -> dict[str, Any]:
    try:
        found = json.loads(arguments)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
