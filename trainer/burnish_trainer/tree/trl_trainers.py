"""Extend TRL's SFTTrainer and DPOTrainer: the same data, the same arguments, each distinct token of a batch once.

    trainer = TreeSFTTrainer(model, args=SFTConfig(...), train_dataset=dataset, peft_config=LoraConfig(...))
    trainer.train()

A batch whose rows share little, a model that cannot compute a trie, and options that need TRL's own logits are computed by
TRL as usual; `trainer.execution` says which way was taken last and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_trainer import SFTTrainer
from trl.trainer.utils import use_adapter

from burnish_trainer.objectives.preference import PAIR_LOSSES, PairScores, dpo_robust
from burnish_trainer.objectives.supervised import dft, weighted_nll
from burnish_trainer.tree.planner import PAYS, ExecutionPlan, count_distinct, order_by_prefix
from burnish_trainer.tree.preference_tokens import PreferenceCollator, tokenise_preferences
from burnish_trainer.tree.prefix_trie import Ints
from burnish_trainer.tree.self_check import settle_execution
from burnish_trainer.tree.tree_attention import NAME, base_of
from burnish_trainer.tree.tree_batch import TreeBatch, compute_logprobs, make_batch

_UNKNOWN = ExecutionPlan("rows", "no batch was computed yet")


class PrefixSampler(Sampler[int]):
    """Yields rows so that those with a long common prefix are in the same batch; another order in each epoch.

    Args:
        rows: Token ids of the rows.
        batch: Rows of a batch.
        seed: Seed of the order.
    """

    def __init__(self, rows: Sequence[Ints], batch: int, seed: int) -> None:
        self._rows, self._batch, self._seed, self._epoch = rows, batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(order_by_prefix(self._rows, self._batch, 1, self._seed + self._epoch))

    def __len__(self) -> int:
        return len(self._rows)


class BatchExecution:
    """Decides for each batch if a trie is used, and remembers what the model can do."""

    def __init__(self) -> None:
        self.last = _UNKNOWN
        self._settled: ExecutionPlan | None = None

    def choose(self, model: Any, rows: Sequence[Ints]) -> ExecutionPlan:
        """Return how a batch is computed; the first batch that shares is compared with its single rows."""
        flat, distinct = sum(map(len, rows)), count_distinct(rows)
        ratio = flat / max(1, distinct)
        if ratio < PAYS:
            reason = f"{ratio:.2f} flat tokens for each distinct one, below {PAYS}"
            self.last = ExecutionPlan("rows", reason, flat, distinct)
            return self.last
        if self._settled is None:
            self._settled = settle_execution(model, ExecutionPlan("blocks", ""), rows)
            if self._settled.kind in ("blocks", "flex"):
                base_of(model).set_attn_implementation(NAME)
        reason = self._settled.reason or f"{ratio:.2f} flat tokens for each distinct one"
        self.last = ExecutionPlan(self._settled.kind, reason, flat, distinct)
        return self.last


def _split_rows(inputs: dict[str, Any]) -> list[Ints]:
    """Return the rows of a padded batch without their padding."""
    ids, mask = inputs["input_ids"].cpu().numpy(), inputs["attention_mask"].cpu().numpy() != 0
    return [row[kept] for row, kept in zip(ids, mask, strict=True)]


def _split_counted(inputs: dict[str, Any], counted: torch.Tensor) -> list[Any]:
    mask = inputs["attention_mask"].cpu().numpy() != 0
    return [row[kept] for row, kept in zip(counted.cpu().numpy(), mask, strict=True)]


class TreeSFTTrainer(SFTTrainer):
    """TRL's SFTTrainer on the trie of each batch."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._batches = BatchExecution()
        super().__init__(*arguments, **named)

    @property
    def execution(self) -> ExecutionPlan:
        """Return how the last batch was computed."""
        return self._batches.last

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        dataset = train_dataset if train_dataset is not None else self.train_dataset
        if self.args.train_sampling_strategy != "random" or not hasattr(dataset, "column_names"):
            return super()._get_train_sampler(train_dataset)
        table: Any = dataset
        rows = [np.asarray(ids, np.int64) for ids in table["input_ids"]]
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return PrefixSampler(rows, self.args.per_device_train_batch_size, seed)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return TRL's loss, computed on the trie of the batch where that pays."""
        if return_outputs or not self._can_share(inputs):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        rows = _split_rows(inputs)
        plan = self._batches.choose(model, rows)
        if not plan.shares:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        batch = make_batch(rows, _split_counted(inputs, inputs["labels"] != -100))
        logprobs = compute_logprobs(model, batch, plan.kind)
        total = torch.as_tensor(
            batch.count if num_items_in_batch is None else num_items_in_batch
        ).clamp(min=1)
        options: Any = self.args
        loss = (dft if options.loss_type == "dft" else weighted_nll)(
            logprobs, torch.ones_like(logprobs), total.to(logprobs.device)
        )
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        _record_batch(self, batch, logprobs, "train" if model.training else "eval")
        return loss

    def _can_share(self, inputs: dict[str, Any]) -> bool:
        """Return whether the loss needs log-probabilities of labelled tokens alone."""
        return (
            {"input_ids", "labels", "attention_mask"} <= inputs.keys()
            and "position_ids" not in inputs  # packed rows
            and not (self.compute_loss_func or self.label_smoother)
            and not self.aux_loss_enabled
        )


class TreeDPOTrainer(DPOTrainer):
    """TRL's DPOTrainer on the trie of each batch: both sides of a pair, and pairs of one task, share their beginning.

    Tokens that the model did not write (results of tools, messages of users behind the fork) do not count, which is the
    other difference from TRL.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._batches = BatchExecution()
        if named.get("data_collator") is None:
            named["data_collator"] = PreferenceCollator()
        super().__init__(*arguments, **named)

    @property
    def execution(self) -> ExecutionPlan:
        """Return how the last batch was computed."""
        return self._batches.last

    def _prepare_dataset(
        self, dataset: Any, processing_class: Any, args: Any, dataset_name: str
    ) -> Any:
        """Tokenise conversations with a mask of what the model wrote; other data as TRL does."""
        prepared = tokenise_preferences(dataset, processing_class)
        if prepared is None:
            return super()._prepare_dataset(dataset, processing_class, args, dataset_name)
        return prepared

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        known: list[str] = self._signature_columns or []
        self._signature_columns = [*dict.fromkeys([*known, "chosen_mask", "rejected_mask"])]

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return TRL's loss, computed on the trie of the batch where that pays."""
        if return_outputs or not self._can_share():
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        rows = _split_rows(inputs)
        plan = self._batches.choose(model, rows)
        if not plan.shares:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        batch = make_batch(rows, _split_counted(inputs, inputs["completion_mask"] != 0))
        logprobs = compute_logprobs(model, batch, plan.kind)
        counts = [int(mask[1:].sum()) for mask in _split_counted(inputs, inputs["completion_mask"])]
        scores = self._pair_scores(model, inputs, batch, logprobs, counts)
        weights = self.loss_weights or [1.0] * len(self.loss_types)
        loss = sum(
            (
                w * self._one_loss(kind, scores)
                for kind, w in zip(self.loss_types, weights, strict=True)
            ),
            torch.zeros((), device=logprobs.device),
        )
        mode = "train" if model.training else "eval"
        _record_batch(self, batch, logprobs, mode)
        self._record_rewards(scores, mode)
        return loss

    def _can_share(self) -> bool:
        known = {"sigmoid", "ipo", "robust", "sft"}
        return (
            set(self.loss_types) <= known
            and self.f_divergence_type == "reverse_kl"
            and self.ld_alpha is None
            and not self.use_weighting
            and not self.aux_loss_enabled
        )

    def _one_loss(self, kind: str, scores: PairScores) -> torch.Tensor:
        if kind == "robust":
            return dpo_robust(scores, self.beta, self.label_smoothing)
        if kind == "sft":
            return -scores.chosen.sum() / scores.chosen_tokens.sum().clamp(min=1)
        return PAIR_LOSSES[kind](scores, self.beta)

    def _pair_scores(
        self,
        model: Any,
        inputs: dict[str, Any],
        batch: TreeBatch,
        logprobs: torch.Tensor,
        counts: list[int],
    ) -> PairScores:
        def sum_sides(values: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return torch.stack([part.sum() for part in values.split(counts)]).chunk(2)

        chosen, rejected = sum_sides(logprobs)
        if self.precompute_ref_logps:
            known = (inputs["ref_chosen_logps"], inputs["ref_rejected_logps"])
        else:
            known = sum_sides(self._reference_logprobs(model, batch))
        tokens = torch.tensor(counts, device=logprobs.device).chunk(2)
        return PairScores(chosen, rejected, known[0], known[1], tokens[0], tokens[1])

    @torch.no_grad()
    def _reference_logprobs(self, model: Any, batch: TreeBatch) -> torch.Tensor:
        """Return the reference's log-probabilities on the same trie: the adapter is off, or a second model answers."""
        if self.ref_model is not None:
            if self._batches.last.kind in ("blocks", "flex"):
                base_of(self.ref_model).set_attn_implementation(NAME)
            return compute_logprobs(self.ref_model, batch, self._batches.last.kind)
        unwrapped: Any = self.accelerator.unwrap_model(model)
        name = "ref" if "ref" in unwrapped.peft_config else None
        with use_adapter(unwrapped, adapter_name=name):
            return compute_logprobs(model, batch, self._batches.last.kind)

    def _record_rewards(self, scores: PairScores, mode: str) -> None:
        chosen, rejected = (
            self.beta * gain.detach() for gain in (scores.chosen_gain, scores.rejected_gain)
        )
        metrics = self._metrics[mode]
        metrics["rewards/chosen"].append(chosen.mean().item())
        metrics["rewards/rejected"].append(rejected.mean().item())
        metrics["rewards/accuracies"].append((chosen > rejected).float().mean().item())
        metrics["rewards/margins"].append((chosen - rejected).mean().item())


def _record_batch(trainer: Any, batch: TreeBatch, logprobs: torch.Tensor, mode: str) -> None:
    metrics = trainer._metrics[mode]  # noqa: SLF001 - TRL's own place for logged figures
    if logprobs.numel():
        metrics["mean_token_probability"].append(logprobs.detach().exp().mean().item())
    metrics["flat_tokens"].append(float(batch.flat_tokens))
    metrics["distinct_tokens"].append(float(batch.distinct_tokens))
    if mode == "train":
        trainer._total_train_tokens += batch.flat_tokens  # noqa: SLF001
    metrics["num_tokens"] = [trainer._total_train_tokens]  # noqa: SLF001
