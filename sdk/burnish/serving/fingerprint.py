"""Prove that a served version is the adapter on disk, and not its base or another adapter.

`make_fingerprint` selects the prompts; `check_fingerprint` compares them with what a backend
serves.

`fingerprint.json` is `{"dtype", "prompts": [{"token_ids", "adapter": [[id, logprob], ...], "base":
[[id, logprob], ...]}, ...]}`: the prompts where adapter and base differ most, each with the
likeliest next tokens of both. The distance of two distributions is their total variation over those
tokens, from 0 (equal) to 1 (disjoint).
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from burnish.errors import ServingError
from burnish.records import Json

FILE = "fingerprint.json"
PROMPTS, TOKENS = 8, 20

Top = Sequence[Sequence[float]]
"""Pairs of token id and log-probability, likeliest first."""

# Largest drift of the same weights between engines and batch shapes, by data type.
_DRIFT = {"float32": 0.01, "float16": 0.03, "bfloat16": 0.06}
_WIDEST = 0.10  # for a type that is not in the table
_APART = 4.0  # least distance of an adapter from its base, in drifts
_NEARER = 0.5  # largest accepted distance, as a share of the distance to the base


Served = Callable[[list[list[int]]], list[Top]]
"""Returns the likeliest next tokens after each of some prompts, as a version is served."""


class TopSource(Protocol):
    """The source of a fingerprint: the embedded engine."""

    def rank_next_of_each(
        self, prompts: Sequence[Sequence[int]], adapter: str | None = None, count: int = 20
    ) -> list[list[tuple[int, float]]]:
        """Return the likeliest next tokens after each prompt, with their log-probabilities."""
        ...


def make_fingerprint(
    engine: TopSource, version: str, prompts: Iterable[Sequence[int]], *, dtype: str = "float32"
) -> dict[str, Json]:
    """Make the fingerprint of a loaded version, from candidate prompts as token ids.

    Raises:
        ServingError: If no prompt distinguishes the adapter from its base.
    """
    asked = [list(prompt) for prompt in prompts]
    adapters = engine.rank_next_of_each(asked, version, TOKENS) if asked else []
    bases = engine.rank_next_of_each(asked, None, TOKENS) if asked else []
    measured: list[tuple[float, dict[str, Json]]] = []
    for ids, adapter, base in zip(asked, adapters, bases, strict=True):
        entry = {
            "token_ids": ids,
            "adapter": [[token, logprob] for token, logprob in adapter],
            "base": [[token, logprob] for token, logprob in base],
        }
        measured.append((distance(adapter, base), entry))
    measured.sort(key=lambda pair: pair[0], reverse=True)
    best = measured[:PROMPTS]
    apart = statistics.fmean(value for value, _ in best) if best else 0.0
    if apart < _APART * drift(dtype):
        raise ServingError(
            f"adapter {version} cannot be distinguished from its base: their next-token distributions lie "
            f"{apart:.4f} apart on the {len(best)} most different of {len(measured)} prompts",
            f"at least {_APART * drift(dtype):.2f}",
            "train longer or with a higher learning rate, or keep the base",
        )
    return {"dtype": dtype, "prompts": [entry for _, entry in best]}


def check_fingerprint(
    fingerprint: Mapping[str, Json],
    served: Served,
    *,
    version: str = "",
    dtype: str | None = None,
    limit: int = PROMPTS,
) -> dict[str, Json]:
    """Compare a served version with its fingerprint; return the measured distances.

    Args:
        fingerprint: The content of fingerprint.json.
        served: Called once, for all prompts of the fingerprint.
        version: Named in the error.
        dtype: The type that it is served in; None if the server does not report it, which
            allows more drift.
        limit: Number of prompts to compare; those that differ most come first.

    Raises:
        ServingError: If the served distributions are not clearly nearer to the adapter's.
    """
    entries = fingerprint["prompts"][:limit]
    answers = served([list(entry["token_ids"]) for entry in entries])
    pairs = list(zip(answers, entries, strict=True))
    to_adapter = [distance(answer, entry["adapter"]) for answer, entry in pairs]
    to_base = [distance(answer, entry["base"]) for answer, entry in pairs]
    near, far = statistics.fmean(to_adapter), statistics.fmean(to_base)
    allowed = max(drift(str(fingerprint.get("dtype", ""))), drift(dtype or ""))
    passed = near <= allowed and near <= _NEARER * far
    facts = {"to_adapter": near, "to_base": far, "prompts": len(to_adapter), "passed": passed}
    if not passed:
        raise ServingError(
            f"what is served as {version or 'this version'} lies {near:.4f} from the adapter's "
            f"fingerprint and {far:.4f} from the base's",
            f"at most {allowed:.4f} from the adapter's, and clearly nearer to it",
            "unload it and load it again from the published folder",
        )
    return facts


def read_fingerprint(folder: Path) -> dict[str, Json]:
    """Read the fingerprint in a version's folder.

    Raises:
        ServingError: If it is missing or damaged.
    """
    path = folder / FILE
    try:
        fingerprint = json.loads(path.read_text(encoding="utf-8"))
        whole = bool(fingerprint["prompts"]) and all(
            entry["token_ids"] and entry["adapter"] and entry["base"]
            for entry in fingerprint["prompts"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable_file(path, str(error)) from error
    if not whole:
        raise _unreadable_file(path, "it holds no prompts")
    return fingerprint


def write_fingerprint(folder: Path, fingerprint: Mapping[str, Json]) -> None:
    """Store a fingerprint in a version's folder, before it is published."""
    (folder / FILE).write_text(json.dumps(fingerprint), encoding="utf-8")


def distance(one: Top, other: Top) -> float:
    """Compute the total variation of two next-token distributions, from their likeliest tokens.

    A token in only one of them counts with the largest probability that the other can have given
    it.
    """
    left, right = _read_shares(one), _read_shares(other)
    rest_left, rest_right = 1.0 - sum(left.values()), 1.0 - sum(right.values())
    total = 0.0
    for token in left.keys() | right.keys():
        first, second = left.get(token), right.get(token)
        if first is None:
            first = max(0.0, min(rest_left, min(left.values(), default=0.0), second or 0.0))
        if second is None:
            second = max(0.0, min(rest_right, min(right.values(), default=0.0), first))
        total += abs(first - second)
    return min(1.0, 0.5 * (total + abs(rest_left - rest_right)))


def drift(dtype: str) -> float:
    """Return the largest distance between runs of the same weights in this data type."""
    return _DRIFT.get(dtype, _WIDEST)


def _read_shares(top: Top) -> dict[int, float]:
    return {int(pair[0]): math.exp(pair[1]) for pair in top}


def _unreadable_file(path: Path, why: str) -> ServingError:
    return ServingError(
        f"{path} cannot be used: {why}",
        "the fingerprint that publication writes",
        "publish the adapter again",
    )
