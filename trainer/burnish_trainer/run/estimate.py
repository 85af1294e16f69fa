"""Estimate time and memory of a training run on one batch before it starts, and print the plan."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
import torch

from burnish_trainer import console
from burnish_trainer.recipes.lora import count_trainable
from burnish_trainer.recipes.memory import estimate_memory
from burnish_trainer.recipes.train_recipe import TrainRecipe
from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.rows.token_rows import TokenRow
from burnish_trainer.run.plan import TrainPlan
from burnish_trainer.run.processes import ALONE, Processes

_BACKWARD = 2.5  # cost of the backward pass in forward passes


def add_estimate(
    plan: TrainPlan, recipe: TrainRecipe, model: Any, rows: Sequence[TokenRow]
) -> TrainPlan:
    """Return the plan with its estimate of seconds, bytes and trainable weights.

    Args:
        plan: The plan.
        recipe: The settings.
        model: The adapted model; it runs one batch of the longest rows.
        rows: The token rows.
    """
    longest = sorted(rows, key=lambda row: -len(row.input_ids))[: recipe.batch_size]
    padded = len(longest[0].input_ids) * len(longest)
    learned = sum(label != IGNORE for row in longest for label in row.labels)
    seconds = _forward_seconds(model, longest) / padded
    shares = plan.execution.get("kind", "rows") != "rows"
    ratio = max(1.0, plan.execution["ratio"]) if shares else 1.0
    tokens = min(int(padded / ratio), recipe.token_budget or padded)
    row = (longest[0].input_ids, longest[0].labels)
    memory = estimate_memory(model, row=row, batch_tokens=tokens, loss_tokens=learned)
    estimate = {
        "seconds": seconds * (1 + _BACKWARD) * int(plan.rows["tokens"]) * recipe.epochs / ratio,
        "memory_bytes": float(memory),
        "trainable_weights": float(count_trainable(model)),
    }
    return msgspec.structs.replace(plan, estimate=estimate)


@torch.no_grad()
def _forward_seconds(model: Any, rows: Sequence[TokenRow]) -> float:
    width = len(rows[0].input_ids)
    ids = torch.tensor([row.input_ids + [0] * (width - len(row.input_ids)) for row in rows])
    ids = ids.to(next(model.parameters()).device)
    started = time.perf_counter()
    model(input_ids=ids, use_cache=False, logits_to_keep=1)
    return time.perf_counter() - started


def print_plan(plan: TrainPlan, processes: Processes = ALONE) -> None:
    """Print the plan, and how many processes share it."""
    rows, cost = plan.rows, plan.estimate
    dropped = sum(rows["dropped"].values())
    console.say(
        "  plan [bold]{}[/]: {}",
        plan.id,
        f"{rows['rows']} rows ({rows['captured']} with recorded tokens, "
        f"{rows['rendered']} rendered, {dropped} dropped), {rows['tokens']:,} tokens "
        f"({rows['unique_tokens']:,} unique, {rows['loss_tokens']:,} learned), {plan.steps} steps; "
        f"{cost['trainable_weights']:,.0f} weights; about {cost['memory_bytes'] / 2**20:,.0f} MiB "
        f"and {cost['seconds']:,.0f} s",
    )
    console.say("  {}", _describe_execution(plan.execution))
    if rows.get("heldout"):
        console.say(f"  {rows['heldout']} held-out examples are measured at each checkpoint")
    if processes.count > 1:
        console.say("  {} processes share each step ({})", processes.count, processes.parallel)
    if rows.get("thoughts_left_out"):
        console.say(
            f"  [yellow]{rows['thoughts_left_out']} rows lose reasoning that the chat template "
            "does not print[/]"
        )
    for reason, count in rows["dropped"].items():
        console.say("  [yellow]dropped {}: {}[/]", count, reason)


def _describe_execution(execution: dict[str, Any]) -> str:
    """Return how a step is computed, in words."""
    kind, reason = execution["kind"], execution["reason"]
    if kind == "rows":
        return f"rows are computed one by one: {reason}"
    name = {"depth_first": "depth first"}.get(kind, f"tree attention by {kind}")
    return (
        f"{execution['flat_tokens']:,} tokens of the steps are {execution['distinct_tokens']:,} "
        f"distinct ones ({execution['ratio']:.1f} to 1): {name}"
    )
