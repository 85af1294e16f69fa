"""Train on examples of several rows, on the trie of each step: the trainer of all objectives.

`TreeAdapterTrainer` is the entry. It differs from `AdapterTrainer` in the loss alone: log-probabilities come from the
step's trie (`burnish_trainer.tree`), and the recipe's objective turns them into a number. Where memory runs out, the token
budget is halved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from burnish_trainer import console
from burnish_trainer.objectives.step_losses import LINEAR, StepRows, step_loss
from burnish_trainer.recipes.train_recipe import TrainRecipe
from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.run.trainer import AdapterTrainer
from burnish_trainer.tree.planner import ExecutionPlan
from burnish_trainer.tree.tree_batch import (
    BatchShare,
    TreeBatch,
    backward_in_pieces,
    compute_logprobs,
    make_batch,
)


class ExampleCollator:
    """Joins the rows of a step's examples end to end, without padding."""

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return tokens and labels of all rows (T), their lengths, and what the objective needs of each row."""
        rows = [row for example in examples for row in example["input_ids"]]
        labels = [row for example in examples for row in example["labels"]]
        owners = [at for at, example in enumerate(examples) for _ in example["input_ids"]]

        def joined(name: str) -> list[Any]:
            return [value for example in examples for value in example[name]]

        batch = {
            "tokens": torch.tensor([token for row in rows for token in row]),
            "labels": torch.tensor([label for row in labels for label in row]),
            "lengths": torch.tensor([len(row) for row in rows]),
            "weights": torch.tensor(joined("weights"), dtype=torch.float32),
            "examples": torch.tensor(owners),
            "sides": torch.tensor(joined("sides")),
            "reference": torch.tensor(joined("reference"), dtype=torch.float32),
            "wanted": torch.tensor([bool(example["wanted"]) for example in examples]),
        }
        if "logged" in examples[0]:
            logged = [value for row in joined("logged") for value in row]
            batch["logged"] = torch.tensor(logged, dtype=torch.float32)
            batch["advantages"] = torch.tensor([float(one["advantage"]) for one in examples])
        return batch


class TreeAdapterTrainer(AdapterTrainer):
    """Trains on the trie of each step.

    Args:
        recipe: Objective and its settings.
        execution: How a step is computed.
        arguments: Arguments of AdapterTrainer.
    """

    def __init__(self, *, recipe: TrainRecipe, execution: ExecutionPlan, **arguments: Any) -> None:
        self._recipe, self._execution = recipe, execution
        self._budget = execution.token_budget
        super().__init__(**arguments)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> torch.Tensor:
        counted = [_step_rows(batch).token_weights.sum() for batch in batch_samples]
        return torch.stack(counted).sum().to(device)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the objective's loss over the examples of a step.

        If the step has several pieces, their gradients are added here, and the returned number has none of its own.
        """
        step, kind = _step_rows(inputs), self._execution.kind
        batch = self._make_batch(inputs, self._share if model.training else BatchShare())
        loss = step_loss(
            self._recipe.objective,
            step,
            beta=self._recipe.beta,
            pair_loss=self._recipe.pair_loss,
            clip=self._recipe.clip,
            total=num_items_in_batch,
        )
        single = self._share.count == 1 and len(batch.pieces) == 1 and kind != "depth_first"
        if single or not model.training:
            logprobs = compute_logprobs(model, batch, kind)
            value = loss(logprobs)
        else:
            linear = self._recipe.objective in LINEAR
            value, logprobs = backward_in_pieces(
                model,
                batch,
                kind,
                loss,
                linear=linear,
                backward=self.accelerator.backward,
                add_up=self._processes.add_up,
            )
            value.requires_grad_()  # the trainer's own backward pass ends here
        self._record_step(batch, logprobs.detach(), "train" if model.training else "eval")
        return (value, {"logprobs": logprobs}) if return_outputs else value

    @property
    def _share(self) -> BatchShare:
        own = self._processes
        return BatchShare(own.rank, own.count, own.even_passes)

    def _make_batch(self, inputs: dict[str, Any], share: BatchShare) -> TreeBatch:
        cuts = np.cumsum(inputs["lengths"].cpu().numpy())[:-1]
        rows = np.split(inputs["tokens"].cpu().numpy(), cuts)
        counted = np.split(inputs["labels"].cpu().numpy() != IGNORE, cuts)
        single = not self._execution.shares
        return make_batch(rows, counted, self._budget, single=single, share=share)

    def _record_step(self, batch: TreeBatch, logprobs: torch.Tensor, mode: str) -> None:
        metrics = self._metrics[mode]
        metrics["mean_token_probability"].append(logprobs.exp().mean().item())
        computed = torch.tensor(float(batch.distinct_tokens), device=logprobs.device)
        if mode == "train":
            computed = self._processes.add_up(computed)
        metrics["distinct_tokens"].append(float(computed))
        metrics["flat_tokens"].append(float(batch.flat_tokens))
        self._total_train_tokens += batch.flat_tokens
        metrics["num_tokens"] = [self._total_train_tokens]

    def halve_memory(self, inputs: dict[str, Any]) -> bool:
        """Halve the token budget; return False if the largest piece is a single row already."""
        pieces = self._make_batch(inputs, BatchShare()).pieces
        largest = max(piece.trie.distinct_tokens for piece in pieces)
        if not self._execution.shares or all(len(piece.trie.paths) == 1 for piece in pieces):
            return False
        self._budget = max(1, largest // 2)
        console.say("  [yellow]out of memory: token budget {}[/]", f"{self._budget:,}")
        return True


def _step_rows(inputs: dict[str, Any]) -> StepRows:
    lengths, labels = inputs["lengths"], inputs["labels"]
    rows = torch.repeat_interleave(torch.arange(len(lengths), device=labels.device), lengths)
    firsts = torch.cumsum(lengths, 0) - lengths
    counted = labels != IGNORE
    counted[firsts] = False  # a first token has no context
    return StepRows(
        rows[counted],
        inputs["weights"],
        inputs["examples"],
        inputs["sides"],
        inputs["reference"],
        inputs["wanted"],
        inputs.get("advantages"),
        inputs["logged"][counted] if "logged" in inputs else None,
    )
