"""TRL's trainers on tries: the losses of TRL itself, on the same batches, and no tool token counted."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, KTOConfig, SFTConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.sft_trainer import SFTTrainer

from burnish.errors import EmptyDataset
from burnish_trainer import TreeDPOTrainer, TreeSFTTrainer
from burnish_trainer.objectives.preference import LabelledScores, PairScores, kto, orpo

SYSTEM = {"role": "system", "content": "You are the shop agent. total order status open. " * 4}
LORA = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*:FutureWarning", "ignore:.*:UserWarning", "ignore:.*:DeprecationWarning"
)


def options(folder, **changes):
    return {
        "output_dir": str(folder), "per_device_train_batch_size": 4, "learning_rate": 1e-2, "max_length": None,
        "use_cpu": True, "bf16": False, "report_to": [], "save_strategy": "no", "logging_steps": 1,
        "gradient_checkpointing": False, "dataloader_pin_memory": False, "disable_tqdm": True, **changes,
    }  # fmt: skip


def moved(trainer):
    """The trainer's model with an adapter that changes something."""
    torch.manual_seed(5)
    for name, weight in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, 0, 0.2)
    return trainer.model


def first_batch(trainer):
    return trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))


def messages(number):
    return [
        SYSTEM,
        {"role": "user", "content": f"total of order {number}"},
        {"role": "assistant", "content": f"Done: {7 * number}"},
    ]


def sft_trainer(base, folder, **changes):
    return TreeSFTTrainer(
        model=str(base),
        args=SFTConfig(**options(folder, assistant_only_loss=True, **changes)),
        train_dataset=Dataset.from_list([{"messages": messages(n)} for n in range(12)]),
        peft_config=LORA,
    )


@pytest.mark.parametrize(
    "changes", [{}, {"loss_type": "dft"}, {"gradient_checkpointing": True}], ids=str
)
def test_the_loss_and_gradients_of_sft_are_those_of_trl(base, tmp_path, changes):
    trainer = sft_trainer(base, tmp_path, **changes)
    model, batch = moved(trainer), first_batch(trainer)
    found = {}
    for name, kind in (("ours", TreeSFTTrainer), ("trl", SFTTrainer)):
        model.zero_grad()
        loss = kind.compute_loss(trainer, model, dict(batch), num_items_in_batch=torch.tensor(40))
        loss.backward()
        slopes = torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])
        found[name] = loss.detach(), slopes
    assert trainer.execution.kind == "blocks"
    assert trainer.execution.ratio > 1.5
    torch.testing.assert_close(found["ours"][0], found["trl"][0], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found["ours"][1], found["trl"][1], atol=2e-5, rtol=1e-4)


def test_sft_trains_and_brings_rows_of_one_beginning_together(base, tmp_path):
    trainer = sft_trainer(base, tmp_path, num_train_epochs=2)
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert losses[-1] < losses[0]
    first, second = (list(trainer._get_train_sampler()) for _ in range(2))
    assert sorted(first) == list(range(12))
    assert first == second


def answer(number):
    call = {"type": "function", "function": {"name": "get_order", "arguments": {"order": number}}}
    return [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": json.dumps({"total": 7 * number})},
        {"role": "assistant", "content": f"Done: {7 * number}"},
    ]


def pairs(count, *, steps=False):
    found = []
    for number in range(1, count + 1):
        chosen, rejected = answer(number), answer(number + 1)
        row = {
            "prompt": messages(number)[:2],
            "chosen": chosen[:1] if steps else chosen,
            "rejected": rejected[:1] if steps else rejected,
            "tools": [{"type": "function", "function": {"name": "get_order", "parameters": {}}}],
        }
        found.append({**row, "tools": json.dumps(row["tools"])})
    return found


def dpo_trainer(base, folder, rows, **changes):
    table = {name: [row[name] for row in rows] for name in rows[0]}
    return TreeDPOTrainer(
        model=str(base),
        args=DPOConfig(**options(folder, **changes)),
        train_dataset=Dataset.from_dict(table),
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=LORA,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss_type": ["ipo"]},
        {"loss_type": ["robust"], "label_smoothing": 0.2},
        {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]},
        {"precompute_ref_log_probs": True},
    ],
    ids=str,
)
def test_the_loss_and_gradients_of_dpo_are_those_of_trl(base, tmp_path, changes):
    trainer = dpo_trainer(base, tmp_path, pairs(8), **changes)
    if changes.get("precompute_ref_log_probs"):
        trainer.get_train_dataloader()
    model, batch = moved(trainer), first_batch(trainer)
    found = {}
    for name, kind in (("ours", TreeDPOTrainer), ("trl", DPOTrainer)):
        model.zero_grad()
        loss = kind.compute_loss(trainer, model, dict(batch))
        loss.backward()
        slopes = torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])
        found[name] = loss.detach(), slopes
    assert trainer.execution.kind == "blocks"
    torch.testing.assert_close(found["ours"][0], found["trl"][0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found["ours"][1], found["trl"][1], atol=2e-5, rtol=1e-3)


def test_results_of_tools_count_on_neither_side(base, tmp_path):
    trainer = dpo_trainer(base, tmp_path, pairs(4))
    batch, tokenizer = first_batch(trainer), AutoTokenizer.from_pretrained(base)
    for ids, counted in zip(batch["input_ids"], batch["completion_mask"], strict=True):
        said = tokenizer.decode(ids[counted == 1])
        assert "get_order" in said
        assert "Done" in said
        assert '{"total"' not in said
        assert "tool\n" not in said
        assert '{"total"' in tokenizer.decode(ids)


def test_dpo_trains_single_replies_at_the_fork(base, tmp_path):
    rows = [{**row, "rejected": answer(0)[:1]} for row in pairs(8, steps=True)]
    trainer = dpo_trainer(base, tmp_path, rows, num_train_epochs=4)
    trainer.train()
    lines = [line for line in trainer.state.log_history if "rewards/margins" in line]
    assert lines[-1]["rewards/margins"] > lines[0]["rewards/margins"] + 0.1
    assert lines[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert lines[-1]["distinct_tokens"] < 0.6 * lines[-1]["flat_tokens"]


def test_pairs_that_no_template_prints_are_refused_before_training(base, tmp_path):
    rows = [
        {
            **row,
            "prompt": [{"role": "user", "content": "total"}],
            "chosen": [{"role": "user", "content": "x"}],
        }
        for row in pairs(2)
    ]
    with pytest.raises(EmptyDataset, match="no pair can be tokenised"):
        dpo_trainer(base, tmp_path, rows)


def test_the_loss_of_kto_is_that_of_trl(base, tmp_path):
    rows = [
        {"prompt": f"total of order {n}", "completion": f" Done: {n}", "label": n % 2 == 0}
        for n in range(4)
    ]
    trainer = KTOTrainer(
        model=str(base),
        args=KTOConfig(**options(tmp_path, train_sampling_strategy="sequential")),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=LORA,
    )
    model, batch = moved(trainer), first_batch(trainer)
    with torch.no_grad():
        wanted = trainer.compute_loss(model, dict(batch))
        sums = []
        for name in ("", "KL_"):
            for adapted in (True, False):
                ids, mask = batch[f"{name}input_ids"], batch[f"{name}completion_mask"][:, 1:]
                given = {"input_ids": ids, "attention_mask": batch[f"{name}attention_mask"]}
                if adapted:
                    logits = model(**given).logits
                else:
                    with model.disable_adapter():
                        logits = model(**given).logits
                logprobs = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
                sums.append((logprobs * mask).sum(1))
        scores = LabelledScores(sums[0], sums[1], batch["label"].bool(), sums[2], sums[3])
        torch.testing.assert_close(kto(scores), wanted, atol=1e-6, rtol=1e-5)


def test_the_loss_of_orpo_is_that_of_trl(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.orpo import ORPOTrainer

    generator = torch.Generator().manual_seed(0)
    chosen, rejected = (-torch.rand(5, generator=generator) * 20 for _ in "ab")
    counts = torch.tensor([3, 9, 4, 1, 7])
    scores = PairScores(chosen, rejected, chosen * 0, chosen * 0, counts, counts.flip(0))
    means = chosen / counts, rejected / counts.flip(0)
    settings = SimpleNamespace(beta=0.1, accelerator=SimpleNamespace(device="cpu"))
    ratios, *_ = ORPOTrainer.odds_ratio_loss(settings, *means)
    wanted = -chosen.sum() / counts.sum() - ratios.mean()
    torch.testing.assert_close(orpo(scores), wanted, atol=1e-6, rtol=1e-5)


def test_a_model_with_recurrent_layers_is_trained_by_trl_itself(tmp_path):
    from model_families import make_family

    folder = make_family("LFM 2", tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [
        {"prompt": "a long common beginning of all rows " * 3, "completion": f"answer {n}"}
        for n in range(8)
    ]
    trainer = TreeSFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder),
        args=SFTConfig(**options(tmp_path / "out", max_steps=1)),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train()
    assert trainer.execution.kind == "rows"
    assert "log-probabilities differ" in trainer.execution.reason


def test_importing_the_package_loads_neither_torch_nor_trl():
    code = (
        "import sys, burnish_trainer; print(*({'torch', 'trl', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
