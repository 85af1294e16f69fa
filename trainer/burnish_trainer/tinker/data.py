"""Put training rows and attempts into the data form of the Tinker API: input tokens, targets, one weight a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.rows.token_rows import TokenRow


def row_datum(row: TokenRow, *, total_weight: float) -> dict[str, Any]:
    """Return a row for the loss `cross_entropy`, which sums weight times -log p over the targets.

    Args:
        row: The row.
        total_weight: Sum of the weights of all learned tokens of the step, by which each weight is divided, so that the
            loss of the step is the weighted mean that local training computes.
    """
    weights = [row.weight / total_weight if label != IGNORE else 0.0 for label in row.labels[1:]]
    return _datum(row.input_ids, weights=("float32", weights))


def attempt_datum(
    ids: Sequence[int], logprobs: Sequence[float], advantages: Sequence[float]
) -> dict[str, Any]:
    """Return an attempt for the losses `importance_sampling` and `ppo`.

    Args:
        ids: Tokens of the whole attempt.
        logprobs: Log-probability of each of them when it was sampled; 0 for tokens that were not.
        advantages: Advantage of each token; 0 for tokens that were not sampled.
    """
    return _datum(
        ids,
        logprobs=("float32", list(logprobs[1:])),
        advantages=("float32", list(advantages[1:])),
    )


def learned_weight(rows: Sequence[TokenRow]) -> float:
    """Return the sum of the weights of all learned tokens of rows.

    Args:
        rows: The rows of a step.
    """
    return sum(row.weight * sum(label != IGNORE for label in row.labels[1:]) for row in rows)


def _datum(ids: Sequence[int], **inputs: tuple[str, list[float]]) -> dict[str, Any]:
    tensors: dict[str, tuple[str, Sequence[float]]] = {
        "target_tokens": ("int64", ids[1:]),
        **inputs,
    }
    return {
        "model_input": {"chunks": [{"type": "encoded_text", "tokens": list(ids[:-1])}]},
        "loss_fn_inputs": {
            name: {"data": list(values), "dtype": dtype, "shape": [len(values)]}
            for name, (dtype, values) in tensors.items()
        },
    }
