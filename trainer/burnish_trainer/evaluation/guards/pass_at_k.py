"""Estimate pass@k from several attempts at each task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def pass_at_k(attempts: int, successes: int, k: int) -> float:
    """Return the unbiased estimate of the probability that at least one of k attempts succeeds.

    With n attempts of which c succeeded it is `1 - C(n - c, k) / C(n, k)`: the share of all choices of k attempts that
    hold a success (Chen et al. 2021, arXiv 2107.03374). `1 - (1 - c/n)^k` would be biased downwards.

    Args:
        attempts: Number of attempts at the task, n.
        successes: Number of them that succeeded, c.
        k: Number of attempts that are allowed, at most n.

    Raises:
        ValueError: k is not from 1 to n, or c is not from 0 to n.
    """
    if not 1 <= k <= attempts or not 0 <= successes <= attempts:
        raise ValueError(
            f"pass@{k} of {successes} successes in {attempts} attempts: expected 1 <= k <= attempts"
        )
    return 1.0 - math.comb(attempts - successes, k) / math.comb(attempts, k)


def mean_pass_at_k(tasks: Iterable[Sequence[bool]], k: int) -> float:
    """Return the mean of pass@k over tasks; each needs at least k attempts.

    Args:
        tasks: Whether each attempt succeeded, for each task.
        k: Number of attempts that are allowed.
    """
    values = [pass_at_k(len(labels), sum(labels), k) for labels in tasks]
    return sum(values) / len(values) if values else 0.0
