"""Merge calls that continue one another into one sequence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

IGNORE = -100
"""Label of a token without loss."""


@dataclass(frozen=True, slots=True)
class TokenCall:
    """One model call in tokens.

    Attributes:
        prompt: The exact context.
        completion: The reply of the model, including its end mark.
        learn: True if the completion carries loss.
        logprobs: Log-probability of each token of the completion when it was sampled, as far as they are known.
    """

    prompt: list[int]
    completion: list[int]
    learn: bool = True
    logprobs: Sequence[float] = ()


@dataclass(slots=True)
class TokenSequence:
    """Tokens with their labels and logged log-probabilities, which grow call by call; unknown ones are NaN."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    logged: list[float] = field(default_factory=list)

    def continues_as(self, call: TokenCall) -> bool:
        """Report if the call's context begins with exactly this sequence."""
        return call.prompt[: len(self.ids)] == self.ids

    def add_call(self, call: TokenCall) -> None:
        """Append the new part of the call's context, and its completion."""
        new = call.prompt[len(self.ids) :]
        self.ids += [*new, *call.completion]
        self.labels += [IGNORE] * len(new)
        self.labels += call.completion if call.learn else [IGNORE] * len(call.completion)
        known = list(call.logprobs)[: len(call.completion)]
        unknown = len(new), len(call.completion) - len(known)
        self.logged += [math.nan] * unknown[0] + known + [math.nan] * unknown[1]


def merge_calls(calls: Iterable[TokenCall]) -> list[TokenSequence]:
    """Return as few sequences as hold every call in its exact context.

    A call whose context does not begin with the sequence so far (a template that strips thinking
    from history, a summarised history) starts a new one, so every token is learned behind the
    tokens that the model saw. Sequences without loss are left out.
    """
    sequences: list[TokenSequence] = []
    for call in calls:
        if not sequences or not sequences[-1].continues_as(call):
            sequences.append(TokenSequence())
        sequences[-1].add_call(call)
    return [s for s in sequences if any(label != IGNORE for label in s.labels)]


def unique_tokens(sequences: Iterable[list[int]]) -> int:
    """Count the distinct (context, token) pairs: the nodes of the sequences' prefix trie."""
    total, last = 0, []
    for sequence in sorted(sequences):
        shared = 0
        for old, new in zip(last, sequence, strict=False):
            if old != new:
                break
            shared += 1
        total += len(sequence) - shared
        last = sequence
    return total
