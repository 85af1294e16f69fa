"""Extend TRL's SFTTrainer with exact rows, weights per row and atomic checkpoints.

The module holds the collator, the loss over the learned tokens, the order of rows, the answer to full memory, and
the stop at numbers that are not finite. `AdapterTrainer` is the entry.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.sft_trainer import SFTTrainer

from burnish.errors import TrainingDiverged, TrainingError
from burnish_trainer import console
from burnish_trainer.logits import first_not_finite, logits_at
from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.run.checkpoints import AtomicCheckpoints
from burnish_trainer.run.storage import newest_checkpoint

_FULL = ("out of memory", "can't allocate memory", "not enough memory")


class Collator:
    """Pads rows on the right; a causal model never attends there, so no attention mask is needed."""

    def __init__(self, pad_token_id: int) -> None:
        self._pad = pad_token_id

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return rows as tensors (B, T), with one weight a row (B)."""
        longest = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), longest), self._pad)
        labels = torch.full((len(rows), longest), IGNORE)
        for place, row in enumerate(rows):
            ids[place, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
            labels[place, : len(row["labels"])] = torch.tensor(row["labels"])
        weights = torch.tensor([float(row["weight"]) for row in rows])
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        return {"input_ids": ids, "labels": labels, "weights": weights, "lengths": lengths}


class PlannedOrder(Sampler[int]):
    """Yields the rows in the order of the plan, all epochs in one pass, so that resuming is skipping."""

    def __init__(self, order: Sequence[int]) -> None:
        self._order = order

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)


class _FiniteGradients(TrainerCallback):
    """Checks the gradients before each optimizer step."""

    def __init__(self, trainer: AdapterTrainer) -> None:
        self._trainer = trainer

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stop the run if a gradient is not finite."""
        del args, state, control, kwargs
        self._trainer.refuse_broken_gradients()


class AdapterTrainer(AtomicCheckpoints, SFTTrainer):
    """Trains on rows that are tokens already.

    It differs from its base in five things: the loss is computed only at labels and is weighted by
    row; rows come in the plan's order; a checkpoint with its hashes appears atomically;
    nothing is tokenised or cut; a loss, gradient or weight that is NaN or infinite ends the run. A step that needs more
    memory than there is is repeated in smaller parts.

    Args:
        order: Indices of the rows over all epochs.
        arguments: Arguments of SFTTrainer.
    """

    _rows_at_once: int | None = None

    def __init__(self, *, order: Sequence[int], **arguments: Any) -> None:
        self._order = order
        super().__init__(**arguments)
        model: Any = self.model
        config = model.config.get_text_config()
        if hasattr(config, "output_router_logits"):
            # The loss leaves the balance of experts out, and its computation reads masks of rows alone.
            config.output_router_logits = False
        self.add_callback(_FiniteGradients(self))

    def _send_telemetry(self) -> None:
        """Disable TRL telemetry."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        del train_dataset
        return PlannedOrder(self._order)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> torch.Tensor:
        counted = [
            _token_weights(batch["labels"], batch["weights"]).sum() for batch in batch_samples
        ]
        return torch.stack(counted).sum().to(device)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the weighted mean of -log p over the learned tokens, -sum(w log p) / sum(w).

        It equals the loss of `model(input_ids, labels=labels)` for rows of weight 1; logits are
        computed only at those positions, by the model's own forward. If the step is computed in several parts, their
        gradients are added here, and the returned number has none of its own.
        """
        total = num_items_in_batch
        if total is None:
            total = _token_weights(inputs["labels"], inputs["weights"]).sum()
        parts = self._divide(inputs) if model.training else [inputs]
        losses: list[torch.Tensor] = []
        right: list[torch.Tensor] = []
        for part in parts:
            loss, hits = self._compute_part(model, part, total)
            right.append(hits)
            if len(parts) > 1:
                self.accelerator.backward(loss)
                loss = loss.detach()
            losses.append(loss)
        value = torch.stack(losses).sum()
        if not value.requires_grad and model.training:
            value.requires_grad_()  # the trainer's own backward pass ends here
        self._record_accuracy(right, inputs, "train" if model.training else "eval")
        return (value, {"loss": value}) if return_outputs else value

    def _compute_part(
        self, model: Any, part: dict[str, Any], total: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of some rows of a step, and the number of tokens that the model would have chosen itself."""
        labels, weights = part["labels"], part["weights"]
        chosen = labels[:, 1:] != IGNORE
        logits = logits_at(model, part["input_ids"], chosen).float()
        targets = labels[:, 1:][chosen]
        losses = functional.cross_entropy(logits, targets, reduction="none")
        counts = _token_weights(labels, weights)[chosen]
        with torch.no_grad():
            hits = ((logits.argmax(-1) == targets) & (counts > 0)).sum()
        return (losses * counts).sum() / total, hits

    def _divide(self, inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a step in parts that fit into memory."""
        size, count = self._rows_at_once, len(inputs["weights"])
        if size is None:
            return [inputs]
        return [_take_rows(inputs, range(count)[at : at + size]) for at in range(0, count, size)]

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Compute loss and gradients of a step; in smaller parts if memory does not suffice.

        Raises:
            TrainingDiverged: The loss is NaN or infinite.
            TrainingError: Memory does not suffice for a single row.
        """
        while True:
            try:
                loss = super().training_step(model, dict(inputs), num_items_in_batch)
                break
            except (RuntimeError, MemoryError) as error:
                if not _is_full(error):
                    raise
                if not self.halve_memory(inputs):
                    raise self._memory_error(error) from error
            model.zero_grad()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        if not torch.isfinite(loss).all():
            raise self._divergence_error(f"the loss is {float(loss)}")
        return loss

    def halve_memory(self, inputs: dict[str, Any]) -> bool:
        """Halve the rows of one forward pass; return False if it is one row already."""
        most = self._rows_at_once or len(inputs["weights"])
        if most <= 1:
            return False
        self._rows_at_once = most // 2
        console.say("  [yellow]out of memory: {} rows at once[/]", self._rows_at_once)
        return True

    def _memory_error(self, error: BaseException) -> TrainingError:
        good = newest_checkpoint(Path(str(self.args.output_dir)))
        kept = f"; the last good checkpoint is {good}" if good else ""
        return TrainingError(
            f"out of memory in step {self.state.global_step + 1}, with one row at a time: {str(error)[:200]}",
            f"memory for one row{kept}",
            "train with a smaller max_length in [agent.NAME.train] of burnish.toml, or with more memory",
        )

    def refuse_broken_gradients(self) -> None:
        """Stop before an optimizer step whose gradients are NaN or infinite.

        Raises:
            TrainingDiverged: A gradient is not finite; the weights are still those of the last step.
        """
        name = first_not_finite(
            (n, p.grad) for n, p in self._trained_parameters() if p.grad is not None
        )
        if name is not None:
            raise self._divergence_error(f"the gradient of {name} is not finite")

    def _refuse_broken_weights(self) -> None:
        name = first_not_finite(self._trained_parameters())
        if name is not None:
            raise self._divergence_error(f"the weight {name} is not finite")

    def _trained_parameters(self) -> Iterator[tuple[str, torch.Tensor]]:
        model: Any = self.model
        return ((n, p) for n, p in model.named_parameters() if p.requires_grad)

    def _divergence_error(self, found: str) -> TrainingDiverged:
        good = newest_checkpoint(Path(str(self.args.output_dir)))
        kept = f"the last good checkpoint is {good}" if good else "no checkpoint was written yet"
        return TrainingDiverged(
            f"{found} in step {self.state.global_step + 1}; nothing was published; {kept}",
            "finite losses, gradients and weights",
            "train with a lower learning_rate, or max_grad_norm, in [agent.NAME.train] of burnish.toml",
        )

    def _record_accuracy(
        self, right: Sequence[torch.Tensor], inputs: dict[str, Any], mode: str
    ) -> None:
        hits = torch.stack(list(right)).sum()
        counted = int((_token_weights(inputs["labels"], inputs["weights"]) > 0).sum())
        tokens = float(inputs["lengths"].sum())
        metrics = self._metrics[mode]
        metrics["mean_token_accuracy"].append(hits.item() / max(1, counted))
        metrics["distinct_tokens"].append(tokens)
        metrics["flat_tokens"].append(tokens)
        self._total_train_tokens += tokens
        metrics["num_tokens"] = [self._total_train_tokens]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._refuse_broken_weights()
        super()._save_checkpoint(model, trial)


def _is_full(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(said in text for said in _FULL)


def _take_rows(inputs: dict[str, Any], places: Sequence[int]) -> dict[str, Any]:
    """Return some rows of a step, as long as the longest of them."""
    index = torch.tensor(list(places), device=inputs["labels"].device)
    taken = {key: value[index] for key, value in inputs.items()}
    longest = int(taken["lengths"].max())
    return {
        **taken,
        "input_ids": taken["input_ids"][:, :longest],
        "labels": taken["labels"][:, :longest],
    }


def _token_weights(labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the weight of each predicted token, (B, T-1); zero without a label."""
    return (labels[:, 1:] != IGNORE) * weights[:, None]
