"""Measure the prefix trie against TRL's rows: CPU seconds, peak memory, and the planner's share.

usage: python benchmarks/training/prefix_trie.py [--json FILE] [--quick]

Four shapes of agents' calls (ratio_tool_loop, ratio_support, ratio_coding, ratio_best_of_8) and pairs of DPO. One step over
all rows, forward and backward, on one thread; the ways take turns and the median of the CPU seconds counts. TRL's rows are
run in batches of four rows of similar length by SFTTrainer's own loss. Peak memory is read in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import Qwen3Config, Qwen3ForCausalLM
from trl import DPOConfig, SFTConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_trainer import SFTTrainer

from burnish_trainer.objectives.supervised import weighted_nll
from burnish_trainer.tree.planner import count_distinct
from burnish_trainer.tree.self_check import execution
from burnish_trainer.tree.tree_batch import backward_in_pieces, compute_logprobs, make_batch
from burnish_trainer.tree.tree_layout import make_layout

WAYS = ("per_call", "merged", "blocks", "depth_first", "mask")
VOCABULARY = 4096


def model_of(hidden: int) -> torch.nn.Module:
    """Return a small random Qwen3 with an adapter."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY, hidden_size=hidden, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        head_dim=hidden // 4, intermediate_size=3 * hidden, max_position_embeddings=8192,
    )  # fmt: skip
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(Qwen3ForCausalLM(config), lora).train()


def calls_of(system: int, steps: int, size: int, attempts: int = 1) -> dict[str, list]:
    """Return per-call rows and merged rows with masks of the learned tokens (half of each step)."""
    rng = np.random.default_rng(0)
    prefix = rng.integers(0, VOCABULARY, system)
    rows, masks, merged, merged_masks = [], [], [], []
    for _ in range(attempts):
        ids, mask = prefix, np.zeros(system, bool)
        whole = mask
        for _ in range(steps):
            new = rng.integers(0, VOCABULARY, size)
            said = np.arange(size) >= size // 2
            ids = np.r_[ids, new]
            rows.append(ids)
            masks.append(np.r_[np.zeros(len(ids) - size, bool), said])
            whole = np.r_[whole, said]
        merged.append(ids)
        merged_masks.append(whole)
    return {"rows": rows, "masks": masks, "merged": merged, "merged_masks": merged_masks}


SHAPES = {
    "ratio_tool_loop": {"system": 300, "steps": 9, "size": 60},
    "ratio_support": {"system": 300, "steps": 20, "size": 45},
    "ratio_coding": {"system": 200, "steps": 38, "size": 30},
    "ratio_best_of_8": {"system": 400, "steps": 4, "size": 25, "attempts": 8},
}


def trl_trainer(model: torch.nn.Module, folder: str) -> SFTTrainer:
    """Return TRL's own trainer over the same model."""
    tokenizer = plain_tokenizer()
    options = SFTConfig(
        folder, per_device_train_batch_size=4, use_cpu=True, bf16=False, report_to=[], max_length=None,
        gradient_checkpointing=False, dataset_kwargs={"skip_prepare_dataset": True},
    )  # fmt: skip
    table = Dataset.from_dict({"input_ids": [[1, 2]], "labels": [[1, 2]]})
    return SFTTrainer(model, args=options, train_dataset=table, processing_class=tokenizer)


def plain_tokenizer():
    """Return a tokenizer with one word, which TRL's constructors ask for."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<e>": 0}, unk_token="<e>")),
        eos_token="<e>",
        pad_token="<e>",
    )


def padded(rows: list, masks: list) -> dict[str, torch.Tensor]:
    """Return a batch as TRL's collator makes it."""
    width = max(map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    attention, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for place, (row, mask) in enumerate(zip(rows, masks, strict=True)):
        tokens = torch.from_numpy(row)
        ids[place, : len(row)], attention[place, : len(row)] = tokens, 1
        labels[place, : len(row)] = torch.where(torch.from_numpy(mask), tokens, -100)
    return {"input_ids": ids, "labels": labels, "attention_mask": attention}


def step_by_trl(trainer: SFTTrainer, rows: list, masks: list) -> float:
    """Run all rows through TRL's loss, four at a time."""
    total = torch.tensor(sum(int(mask.sum()) for mask in masks))
    for at in range(0, len(rows), 4):
        batch = padded(rows[at : at + 4], masks[at : at + 4])
        trainer.compute_loss(trainer.model, batch, num_items_in_batch=total).backward()
    return 0.0


def step_on_trie(model: torch.nn.Module, way: str, rows: list, masks: list) -> float:
    """Run all rows as one trie; return the CPU seconds of the planner."""
    started = time.process_time()
    batch = make_batch(rows, masks)
    if way == "blocks":
        make_layout(batch.pieces[0].trie)
    planned = time.process_time() - started

    def loss(logprobs: torch.Tensor) -> torch.Tensor:
        return weighted_nll(logprobs, torch.ones_like(logprobs))

    with execution(model, way):
        if way == "depth_first":
            backward_in_pieces(model, batch, way, loss, linear=True)
        else:
            loss(compute_logprobs(model, batch, way)).backward()
    return planned


def one_step(way: str, shape: dict, model: torch.nn.Module, trainer: SFTTrainer) -> float:
    """Run one step in one way; return the CPU seconds of the planner."""
    if way == "per_call":
        return step_by_trl(trainer, shape["rows"], shape["masks"])
    if way == "merged":
        return step_by_trl(trainer, shape["merged"], shape["merged_masks"])
    return step_on_trie(model, way, shape["rows"], shape["masks"])


def measure_shape(name: str, hidden: int, repeats: int) -> dict[str, float]:
    """Return the medians of one shape."""
    shape, model = calls_of(**SHAPES[name]), model_of(hidden)
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    planner = []
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_trainer(model, folder)
        one_step("blocks", calls_of(16, 2, 8), model, trainer)  # warm
        for _ in range(repeats):
            for way in WAYS:
                model.zero_grad()
                started = time.process_time()
                planned = one_step(way, shape, model, trainer)
                spent[way].append(time.process_time() - started)
                if way == "blocks":
                    planner.append(planned / spent[way][-1])
    seconds = {way: statistics.median(values) for way, values in spent.items()}
    flat, merged = (sum(map(len, shape[key])) for key in ("rows", "merged"))
    distinct = count_distinct(shape["rows"])
    best = min(seconds["blocks"], seconds["depth_first"])
    return {
        "flat_tokens": flat,
        "merged_tokens": merged,
        "distinct_tokens": distinct,
        "token_ratio": flat / distinct,
        **{f"seconds_{way}": value for way, value in seconds.items()},
        "speed_up": seconds["per_call"] / best,
        "speed_up_over_token_ratio": seconds["per_call"] / best / (flat / distinct),
        "merged_over_ours": seconds["merged"] / best,
        "planner_share": statistics.median(planner),
    }


def measure_dpo(hidden: int, repeats: int) -> dict[str, float]:
    """Return CPU seconds of eight pairs of four tasks with a long common beginning, by TRL and by ours."""
    from burnish_trainer import TreeDPOTrainer

    rng = np.random.default_rng(0)
    system = rng.integers(0, VOCABULARY, 300)
    rows: list[np.ndarray] = []
    for task in [rng.integers(0, VOCABULARY, 60) for _ in range(4)]:
        rows += [np.r_[system, task, rng.integers(0, VOCABULARY, 40)] for _ in range(4)]
    counted = [np.arange(len(row)) >= 360 for row in rows]
    batch = padded(rows, counted)
    batch["completion_mask"] = (batch.pop("labels") != -100).long()
    tokenizer = plain_tokenizer()
    table = {"prompt": ["a"] * 2, "chosen": ["b"] * 2, "rejected": ["c"] * 2}
    spent: dict[str, list[float]] = {"trl": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        options = DPOConfig(
            folder,
            use_cpu=True,
            bf16=False,
            report_to=[],
            gradient_checkpointing=False,
            max_length=None,
        )
        trainer = TreeDPOTrainer(
            model_of(hidden),
            args=options,
            train_dataset=Dataset.from_dict(table),
            processing_class=tokenizer,
        )
        TreeDPOTrainer.compute_loss(trainer, trainer.model, dict(batch))  # settles the execution
        for _ in range(repeats):
            for name, kind in (("trl", DPOTrainer), ("ours", TreeDPOTrainer)):
                trainer.model.zero_grad()
                started = time.process_time()
                kind.compute_loss(trainer, trainer.model, dict(batch)).backward()
                spent[name].append(time.process_time() - started)
    trl, ours = (statistics.median(spent[name]) for name in ("trl", "ours"))
    ratio = sum(map(len, rows)) / count_distinct(rows)
    return {"seconds_trl": trl, "seconds_ours": ours, "speed_up": trl / ours, "token_ratio": ratio}


def peak_of(way: str, name: str, hidden: int) -> float:
    """Return the MiB by which one step raises the peak memory, in a process of its own."""
    code = f"import prefix_trie as p; print(p.grown({way!r}, {name!r}, {hidden}))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return float(done.stdout.strip().splitlines()[-1])


def grown(way: str, name: str, hidden: int) -> float:
    """Run one step and return the growth of this process's peak memory in MiB."""
    torch.set_num_threads(1)
    shape, model = calls_of(**SHAPES[name]), model_of(hidden)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_trainer(model, folder)
        one_step("per_call", calls_of(16, 2, 8), model, trainer)
        before = peak_kib()
        one_step(way, shape, model, trainer)
    return (peak_kib() - before) / 1024


def peak_kib() -> int:
    """Return the peak memory of this process since its start."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def main() -> None:
    """Measure all shapes and print the figures."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="a smaller model, one repeat")
    parser.add_argument("--hidden", type=int, help="width of the model")
    parser.add_argument("--repeats", type=int)
    args = parser.parse_args()
    torch.set_num_threads(1)
    hidden = args.hidden or (64 if args.quick else 192)
    repeats = args.repeats or (1 if args.quick else 3)
    figures: dict[str, dict[str, float]] = {}
    for name in SHAPES:
        figures[name] = measure_shape(name, hidden, repeats)
        ways = ("per_call", "blocks", "depth_first")
        figures[name] |= {f"peak_mib_{way}": peak_of(way, name, hidden) for way in ways}
        print(name, json.dumps({k: round(v, 3) for k, v in figures[name].items()}), flush=True)
    figures["dpo_shared_prefix"] = measure_dpo(hidden, repeats)
    print("dpo_shared_prefix", json.dumps(figures["dpo_shared_prefix"]), flush=True)
    if args.json:
        conditions = {
            "hidden": hidden,
            "repeats": repeats,
            "threads": 1,
            "torch": torch.__version__,
        }
        args.json.write_text(json.dumps({"figures": figures, "conditions": conditions}, indent=2))


if __name__ == "__main__":
    main()
