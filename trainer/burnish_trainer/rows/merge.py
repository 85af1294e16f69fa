"""Calls that continue one another become one sequence.

Knows: when the tokens of a call's context begin with all that came before it.
Does not know: where tokens come from, what a message is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

IGNORE = -100
"""Label of a token that is not learned."""


@dataclass(frozen=True, slots=True)
class Call:
    """One model call in tokens.

    Attributes:
        prompt: The exact context.
        completion: What the model wrote, its end mark included.
        learn: Whether the loss counts on the completion.
    """

    prompt: list[int]
    completion: list[int]
    learn: bool = True


@dataclass(slots=True)
class Sequence:
    """Tokens with their labels, growing call by call."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def continues_as(self, call: Call) -> bool:
        """Whether the call's context begins with exactly this sequence."""
        return call.prompt[: len(self.ids)] == self.ids

    def add(self, call: Call) -> None:
        """Append what the call's context has beyond this sequence, and its completion."""
        new = call.prompt[len(self.ids) :]
        self.ids += [*new, *call.completion]
        self.labels += [IGNORE] * len(new)
        self.labels += call.completion if call.learn else [IGNORE] * len(call.completion)


def merged(calls: Iterable[Call]) -> list[Sequence]:
    """As few sequences as hold every call in its exact context.

    A call whose context does not begin with the sequence so far (a template that strips thinking from history, a
    summarised history) starts a new one, so no token is ever learned behind tokens the model did not see. Sequences
    without anything to learn are left out.
    """
    sequences: list[Sequence] = []
    for call in calls:
        if not sequences or not sequences[-1].continues_as(call):
            sequences.append(Sequence())
        sequences[-1].add(call)
    return [s for s in sequences if any(label != IGNORE for label in s.labels)]


def unique_tokens(sequences: Iterable[list[int]]) -> int:
    """Number of distinct (context, token) pairs: the nodes of the sequences' prefix trie."""
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
