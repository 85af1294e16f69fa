"""Extend TRL's SFTTrainer with exact rows, weights per row, several processes and atomic checkpoints.

The module holds the collator, the loss over the learned tokens, the order of rows, the answer to full memory, and
the stop at numbers that are not finite. `AdapterTrainer` is the entry.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.sft_trainer import SFTTrainer

from burnish.errors import TrainingDiverged, TrainingError
from burnish_trainer import console
from burnish_trainer.logits import first_not_finite, logits_at
from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.run.checkpoints import AtomicCheckpoints
from burnish_trainer.run.processes import ALONE, Processes
from burnish_trainer.run.storage import PLAN, newest_checkpoint

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

    It differs from its base in six things: the loss is computed only at labels and is weighted by
    row; rows come in the plan's order; processes share each step; a checkpoint with its hashes appears atomically;
    nothing is tokenised or cut; a loss, gradient or weight that is NaN or infinite ends the run. A step that needs more
    memory than there is is repeated in smaller parts.

    Args:
        order: Indices of the rows over all epochs.
        processes: The processes that share the run.
        plan: Id of the plan, which each checkpoint names.
        arguments: Arguments of SFTTrainer.
    """

    _rows_at_once: int | None = None

    def __init__(
        self,
        *,
        order: Sequence[int],
        processes: Processes = ALONE,
        plan: str = "",
        **arguments: Any,
    ) -> None:
        self._plan = plan
        self._order = order
        self._processes = processes
        super().__init__(**arguments)
        model: Any = self.model
        config = model.config.get_text_config()
        if hasattr(config, "output_router_logits"):
            # The loss leaves the balance of experts out, and its computation reads masks of rows alone.
            config.output_router_logits = False
        self.add_callback(_FiniteGradients(self))

    def _send_telemetry(self) -> None:
        """Disable TRL telemetry."""

    def create_accelerator_and_postprocess(self) -> None:
        """Create the accelerator; it leaves the model as it is, since the processes are shared here."""
        super().create_accelerator_and_postprocess()
        if self._processes.count > 1:
            accelerator: Any = self.accelerator
            prepare, moved = accelerator.prepare_model, not self._processes.even_passes
            accelerator.prepare_model = lambda model, **_: prepare(
                model, device_placement=moved, evaluation_mode=True
            )
            accelerator.gather = lambda values: values  # each process has the figures of all rows

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the steps in the order of the plan: every process reads whole steps, and computes its share."""
        size = self.args.per_device_train_batch_size
        return self._load_steps(self.train_dataset, self._order, size)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """Return the held-out rows, all of which every process measures.

        Args:
            eval_dataset: The rows; by default those that the trainer was given.
        """
        rows: Any = self.eval_dataset if eval_dataset is None else eval_dataset
        return self._load_steps(rows, range(len(rows)), self.args.per_device_eval_batch_size)

    def _load_steps(self, rows: Any, order: Sequence[int], size: int) -> DataLoader[Any]:
        loader: DataLoader[Any] = DataLoader(
            rows, batch_size=size, sampler=PlannedOrder(order), collate_fn=self.data_collator
        )
        return prepare_data_loader(
            loader,
            device=self.accelerator.device,
            num_processes=1,
            process_index=0,
            put_on_device=True,
        )

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
        computed only at those positions, by the model's own forward. If this process computes several parts of the
        step, or another process the rest, gradients are added here, and the returned number has none of its own.
        """
        total = num_items_in_batch
        if total is None:
            total = _token_weights(inputs["labels"], inputs["weights"]).sum()
        parts = self._divide(inputs) if model.training else [inputs]
        losses: list[torch.Tensor] = []
        right: list[torch.Tensor] = []
        for part in parts:
            loss, hits = _compute_part(model, part, total)
            right.append(hits)
            if len(parts) > 1 or (model.training and self._processes.count > 1):
                self.accelerator.backward(loss)
                loss = loss.detach()
            losses.append(loss)
        value = torch.stack([_zero_of(model), *losses]).sum()
        if model.training:
            value = self._processes.add_up(value)
        if not value.requires_grad and model.training:
            value.requires_grad_()  # the trainer's own backward pass ends here
        self._record_accuracy(right, inputs, "train" if model.training else "eval")
        return (value, {"loss": value}) if return_outputs else value

    def _divide(self, inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a step that this process computes, in parts that fit into memory."""
        places = list(range(len(inputs["weights"])))
        own = places[self._processes.rank :: self._processes.count]
        if self._processes.count == 1 and self._rows_at_once is None:
            return [inputs]
        if not own and self._processes.even_passes:
            return [{**_take_rows(inputs, [0]), "weights": torch.zeros_like(inputs["weights"][:1])}]
        size = max(1, self._rows_at_once or len(own))
        return [_take_rows(inputs, own[at : at + size]) for at in range(0, len(own), size)]

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Compute loss and gradients of a step; in smaller parts if memory does not suffice.

        Raises:
            TrainingDiverged: The loss is NaN or infinite.
            TrainingError: Memory does not suffice for a single row, or in one of several processes.
        """
        while True:
            try:
                loss = super().training_step(model, dict(inputs), num_items_in_batch)
                break
            except (RuntimeError, MemoryError) as error:
                if not _is_full(error):
                    raise
                if self._processes.count > 1 or not self.halve_memory(inputs):
                    raise self._memory_error(error) from error
            model.zero_grad()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        if not torch.isfinite(loss).all():
            raise self._divergence_error(f"the loss is {float(loss)}")
        self._processes.add_up_gradients(model)
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
        alone = self._processes.count == 1
        what = "one row at a time" if alone else f"the share of process {self._processes.rank}"
        return TrainingError(
            f"out of memory in step {self.state.global_step + 1}, with {what}: {str(error)[:200]}",
            f"memory for it{kept}",
            "train with a smaller max_length or batch_size in [agent.NAME.train] of burnish.toml, or with more memory",
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
        hits = torch.stack([torch.zeros((), device=inputs["labels"].device), *right]).sum()
        if mode == "train":
            hits = self._processes.add_up(hits)
        counted = int((_token_weights(inputs["labels"], inputs["weights"]) > 0).sum())
        tokens = float(inputs["lengths"].sum())
        metrics = self._metrics[mode]
        metrics["mean_token_accuracy"].append(hits.item() / max(1, counted))
        metrics["distinct_tokens"].append(tokens)
        metrics["flat_tokens"].append(tokens)
        self._total_train_tokens += tokens
        metrics["num_tokens"] = [self._total_train_tokens]

    def _complete_checkpoint(self, folder: Path) -> None:
        (folder / PLAN).write_text(self._plan)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._refuse_broken_weights()
        super()._save_checkpoint(model, trial)


def _is_full(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(said in text for said in _FULL)


def _zero_of(model: Any) -> torch.Tensor:
    weight = next(model.parameters())
    precision = torch.promote_types(weight.dtype, torch.float32)
    return torch.zeros((), dtype=precision, device=weight.device)


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


def _compute_part(
    model: Any, part: dict[str, Any], total: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of some rows of a step, and the number of tokens that the model would have chosen itself."""
    labels, weights = part["labels"], part["weights"]
    chosen = labels[:, 1:] != IGNORE
    logits = logits_at(model, part["input_ids"], chosen)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    targets = labels[:, 1:][chosen]
    losses = functional.cross_entropy(logits, targets, reduction="none")
    counts = _token_weights(labels, weights)[chosen]
    with torch.no_grad():
        hits = ((logits.argmax(-1) == targets) & (counts > 0)).sum()
    return (losses * counts).sum() / total, hits


def _token_weights(labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the weight of each predicted token, (B, T-1); zero without a label."""
    return (labels[:, 1:] != IGNORE) * weights[:, None]
