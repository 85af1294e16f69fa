"""Compare a trie's log-probabilities with those of single rows before a training starts, and fall back by name.

`settle_execution` is the entry. It tries the planned way of execution on rows of the first step; where the numbers
differ, it tries the next way, and in the end the rows are computed one by one. The result depends on the model and the rows
alone, so a resumed run computes in the same way.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch

from burnish_trainer.logits import logits_at
from burnish_trainer.tree.depth_first import can_keep_context
from burnish_trainer.tree.planner import ExecutionPlan
from burnish_trainer.tree.prefix_trie import Ints
from burnish_trainer.tree.tree_attention import gather_logprobs, tree_attention
from burnish_trainer.tree.tree_batch import compute_logprobs, make_batch

EXACT = 1e-4
"""Largest difference of a log-probability in single precision."""
_ROUGH = 0.1  # the same in half precision, where two rows of one batch already differ by half of it
_MOST_TOKENS = 4096
_MOST_LOGITS = 2**27  # numbers: half a GiB in single precision
_REFUSALS = (
    NotImplementedError,
    TypeError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
)
"""Errors of a model that cannot compute in one of the ways; of a compiled kernel, any other runtime error too."""
_NEXT = {"blocks": ("blocks", "mask"), "mask": ("mask",), "depth_first": ("depth_first", "blocks")}


def settle_execution(model: Any, plan: ExecutionPlan, rows: Sequence[Ints]) -> ExecutionPlan:
    """Return the plan with the way of execution that computes these rows exactly.

    Args:
        model: The model, as it will be trained.
        plan: The planned way.
        rows: Rows of the first step.
    """
    if not plan.shares:
        return plan
    chosen = _few_rows(rows, _count_outputs(model))
    wanted = row_logprobs(model, chosen)
    limit = EXACT if wanted.dtype != torch.bfloat16 and _is_single(model) else _ROUGH
    reason = ""
    for kind in ways_to_try(plan.kind, next(model.parameters()).device.type):
        if kind == "depth_first" and not can_keep_context(model):
            reason = "gradient checkpointing keeps no keys and values"
            continue
        refusals = (*_REFUSALS, RuntimeError) if kind == "flex" else _REFUSALS
        try:
            difference = _largest_difference(model, kind, chosen, wanted)
        except refusals as error:
            reason = f"{kind}: {str(error)[:200] or type(error).__name__}"
            continue
        if difference <= limit:
            return dataclasses.replace(plan, kind=kind)
        reason = f"{kind}: log-probabilities differ by {difference:.2g} from those of single rows"
    return dataclasses.replace(plan, kind="rows", reason=reason)


def ways_to_try(kind: str, device: str) -> tuple[str, ...]:
    """Return the ways of execution in their order; FlexAttention comes before blocks on a GPU.

    Args:
        kind: The planned way.
        device: Kind of the model's device.
    """
    ways = _NEXT[kind]
    return ("flex", *ways) if kind == "blocks" and device == "cuda" else ways


def _is_single(model: Any) -> bool:
    return next(model.parameters()).dtype in (torch.float32, torch.float64)


def _few_rows(rows: Sequence[Ints], vocabulary: int) -> list[Ints]:
    """Return the rows up to a number of tokens, at least two.

    Every token needs its logits here: with 262,144 of them each, as in Gemma 3, 4,096 tokens would take 4 GiB.
    """
    most = min(_MOST_TOKENS, _MOST_LOGITS // max(1, vocabulary))
    ends = np.cumsum([len(row) for row in rows])
    return list(rows[: max(2, int(np.searchsorted(ends, most)))])


def _count_outputs(model: Any) -> int:
    """Return the number of tokens that the model's head scores."""
    return int(model.get_output_embeddings().weight.shape[0])


def _exact() -> contextlib.AbstractContextManager[Any]:
    """Return a context without automatic half precision."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.autocast(device, enabled=False)


@torch.no_grad()
def row_logprobs(model: Any, rows: Sequence[Ints]) -> torch.Tensor:
    """Return log-probabilities of all tokens but the first of each row, row by row."""
    device = next(model.parameters()).device
    found: list[torch.Tensor] = []
    for row in rows:
        if len(row) < 2:
            continue
        ids = torch.from_numpy(np.asarray(row, np.int64))[None].to(device)
        chosen = torch.ones((1, len(row) - 1), dtype=torch.bool, device=device)
        with _evaluating(model), _exact():
            logits = logits_at(model, ids, chosen)
        found.append(gather_logprobs(logits, np.arange(len(row) - 1), np.asarray(row[1:])))
    return torch.cat(found) if found else torch.zeros(0, device=device)


def _largest_difference(model: Any, kind: str, rows: Sequence[Ints], wanted: torch.Tensor) -> float:
    batch = make_batch(rows, [np.ones(len(row), np.bool_) for row in rows])
    with execution(model, kind), _evaluating(model), torch.no_grad(), _exact():
        found = compute_logprobs(model, batch, kind)
    return float((found - wanted).abs().max()) if len(wanted) else 0.0


@contextlib.contextmanager
def _evaluating(model: Any) -> Generator[None]:
    """Set the model to evaluation, without dropout, inside the block."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def execution(model: Any, kind: str) -> contextlib.AbstractContextManager[None]:
    """Return the context in which a model computes in this way."""
    return tree_attention(model) if kind in ("blocks", "flex") else contextlib.nullcontext()
