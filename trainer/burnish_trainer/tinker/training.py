"""State the order of a training on a Tinker server: rows, steps, saved weights. `train_on_tinker` is the entry."""

from __future__ import annotations

import math
from typing import Any

from burnish.errors import EmptyDataset, TrainingError
from burnish.records import Record
from burnish_trainer import console
from burnish_trainer.recipes.train_recipe import TrainRecipe, make_recipe
from burnish_trainer.rows.token_rows import TokenRow, tokenise_rows
from burnish_trainer.run.plan import plan_order
from burnish_trainer.tinker.client import TinkerClient
from burnish_trainer.tinker.data import learned_weight, row_datum


class RemoteWeights(Record, frozen=True, kw_only=True):
    """Weights that lie on a server."""

    path: str  # the server's name of the weights
    model_id: str
    steps: int
    losses: list[float]  # weighted mean of -log p before each step
    rows: dict[str, Any]  # the row report


def train_on_tinker(
    dataset: Any,
    *,
    base_model: str,
    tokenizer: Any,
    recipe: TrainRecipe | dict[str, Any] | None = None,
    client: TinkerClient | None = None,
) -> RemoteWeights:
    """Train an adapter on a server from the rows of a dataset.

    Learning rates, token weights and order are those of local training without a prefix trie. The weights stay on the server; nothing is published into the workspace.

    Args:
        dataset: A dataset version.
        base_model: Name of the base model on the server.
        tokenizer: Tokenizer of the base model, with its chat template.
        recipe: Settings; rank, epochs, batch size, learning rate and its schedule are used.
        client: The server; by default that of `TINKER_BASE_URL`.

    Raises:
        EmptyDataset: No row can be learned from.
        TrainingError: The server refuses a request, or the objective is not sft.
        BackendUnavailable: The server does not answer.
    """
    settings = make_recipe(recipe)
    if settings.objective != "sft":
        raise TrainingError(
            f"objective {settings.objective!r} on a Tinker server", "'sft'", 'objective = "sft"'
        )
    rows, report = tokenise_rows(dataset.rows("train"), tokenizer, max_length=settings.max_length)
    if not rows:
        raise EmptyDataset(
            f"dataset {dataset.id} has no row to learn from",
            "at least one row with a verified success",
            f"burnish dataset show {dataset.id}",
        )
    order = plan_order([len(row.input_ids) for row in rows], settings)
    size = settings.batch_size
    steps = [[rows[i] for i in order[at : at + size]] for at in range(0, len(order), size)]
    with client or TinkerClient() as server:
        model = server.create_model(base_model, rank=settings.rank, seed=settings.seed)
        with console.bar("training on the server", len(steps)) as advance:
            losses: list[float] = []
            for number, batch in enumerate(steps):
                losses.append(
                    _take_step(server, batch, _rate_at(number, len(steps), settings), settings)
                )
                advance("")
        path = server.save_weights(settings.name)
    return RemoteWeights(
        path=path, model_id=model, steps=len(steps), losses=losses, rows=report.as_dict()
    )


def _take_step(
    server: TinkerClient, batch: list[TokenRow], rate: float, recipe: TrainRecipe
) -> float:
    total = learned_weight(batch)
    data = [row_datum(row, total_weight=total) for row in batch]
    found = server.forward_backward(data)
    server.optim_step(
        learning_rate=rate,
        beta1=0.9,
        beta2=0.999,
        eps=1e-8,
        weight_decay=recipe.weight_decay,
        grad_clip_norm=recipe.max_grad_norm,
    )
    return _loss_of(found, data)


def _loss_of(found: dict[str, Any], data: list[dict[str, Any]]) -> float:
    """Return the loss of a step from the log-probabilities that the server returns."""
    total = 0.0
    for output, datum in zip(found.get("loss_fn_outputs", []), data, strict=True):
        weights = datum["loss_fn_inputs"]["weights"]["data"]
        logprobs = output["logprobs"]["data"]
        total -= sum(w * p for w, p in zip(weights, logprobs, strict=True) if w)
    return total


def _rate_at(step: int, steps: int, recipe: TrainRecipe) -> float:
    """Return the learning rate of a step: warm-up, then the schedule of the recipe."""
    warmup = min(recipe.warmup_steps, steps)
    if step < warmup:
        return recipe.learning_rate * step / max(warmup, 1)
    done = (step - warmup) / max(steps - warmup, 1)
    if recipe.schedule == "linear":
        return recipe.learning_rate * (1 - done)
    if recipe.schedule == "cosine":
        return recipe.learning_rate * (1 + math.cos(math.pi * done)) / 2
    return recipe.learning_rate
