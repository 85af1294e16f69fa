"""Held-out rows watch a training: it stops where their loss no longer falls, and its best state is published."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

import pytest

import burnish
from burnish_trainer import console, train
from burnish_trainer.run import training

RECIPE = {
    "name": "shop",
    "rank": 4,
    "epochs": 12,
    "learning_rate": 1e-2,
    "batch_size": 4,
    "warmup_steps": 2,
    "checkpoints": 12,
    "patience": 2,
}
TENSORS = "adapter_model.safetensors"


@dataclass
class Split:
    """A dataset version with held-out rows."""

    parts: dict[str, list] = field(default_factory=dict)
    id: str = "shop@000000000000"

    def rows(self, split: str = "train"):
        return self.parts.get(split, [])


@pytest.fixture
def orders_apart(made):
    """Sixteen orders that are answered by 4444, and eight like them by 1111: learning by heart harms the second."""
    rng = random.Random(0)
    rows = []
    for number in range(24):
        said = made.conversation(rng.randint(1000, 9999), 4444)
        said[2] = {**said[2], "loss": False}  # both have this call
        if number >= 16:
            said[-1] = {**said[-1], "content": "Done: 1111"}
        rows.append(made.row(said, row_id=str(number)))
    return Split({"train": rows[:16], "heldout": rows[16:]})


def trained(home, base, rows, **changes):
    burnish.configure(home=home)
    with console.silenced():
        return train(rows, base_model=base, recipe={**RECIPE, **changes})


def losses(version):
    lines = [json.loads(line) for line in (version.run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["heldout_loss"] for line in lines if "heldout_loss" in line}


def loss_of(version, base, rows):
    """Return the mean loss of rows under a published adapter, by the model's own forward pass."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from burnish_trainer.recipes.lora import ignore_future_warnings
    from burnish_trainer.rows.token_rows import tokenise_rows

    tokenizer = AutoTokenizer.from_pretrained(base)
    with ignore_future_warnings():
        model = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base), str(version.path)
        ).eval()
    found, _ = tokenise_rows(rows, tokenizer=tokenizer, max_length=None, end_ids=frozenset())
    with torch.no_grad():
        each = [
            model(
                input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([row.labels])
            ).loss.item()
            for row in found
        ]
    return sum(each) / len(each)


@pytest.mark.slow
@pytest.mark.parametrize("sharing", ["off", "blocks"])
def test_a_training_stops_where_the_heldout_loss_rises_and_publishes_its_best_state(
    tmp_path, base, orders_apart, sharing
):
    version = trained(tmp_path / "home", base, orders_apart, prefix_sharing=sharing)
    found, told = losses(version), version.metrics

    best = min(found, key=found.get)
    assert told["best_step"] == best
    assert told["stopped_at"] == max(found) < told["planned_steps"] == 48
    assert sorted(found).index(max(found)) - sorted(found).index(best) == 2, "the patience"
    assert told["heldout_loss"] == pytest.approx(found[best])
    assert loss_of(version, base, orders_apart.rows("heldout")) == pytest.approx(
        found[best], abs=0.02
    )
    assert found[max(found)] > found[best]
    assert version.rows["heldout"] == 8


@pytest.mark.slow
def test_a_training_that_was_killed_after_its_stop_publishes_the_same_bytes(
    tmp_path, base, orders_apart, monkeypatch
):
    whole = trained(tmp_path / "whole", base, orders_apart)
    monkeypatch.setattr(training, "save_adapter", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", base, orders_apart)
    monkeypatch.undo()
    (run,) = (tmp_path / "killed" / "runs").iterdir()
    before = (run / "metrics.jsonl").read_bytes()

    again = trained(tmp_path / "killed", base, orders_apart)

    assert again.id == whole.id
    assert (again.path / TENSORS).read_bytes() == (whole.path / TENSORS).read_bytes()
    assert (run / "metrics.jsonl").read_bytes() == before, "nothing was trained again"


def _interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_heldout_pairs_watch_a_preference(tmp_path, base, made):
    rows = {"train": [], "train-contrast": [], "heldout": [], "heldout-contrast": []}
    rng = random.Random(1)
    for number in range(12):
        part = "train" if number < 8 else "heldout"
        order, total = rng.randint(1000, 9999), rng.randint(1000, 4999)
        for label, suffix in (("success", ""), ("fail", "-contrast")):
            said = made.conversation(order, total)
            if label == "fail":
                said[-1] = {**said[-1], "content": "Done: 77"}
            row = made.row(said, row_id=f"{number}-{label}")
            run = {"task_id": f"t{number}", "trajectory_id": f"{number}{label}"}
            rows[part + suffix].append({**row, **run, "verdict": {"label": label}})
    version = trained(tmp_path, base, Split(rows), objective="dpo", learning_rate=5e-3, epochs=4)
    assert version.metrics["heldout_loss"] < 0.69, (
        "below the loss of a model that has no preference"
    )
    assert version.rows["heldout"] == 4


@pytest.mark.slow
def test_patience_zero_and_rows_without_a_split_train_all_epochs(tmp_path, base, orders_apart):
    for number, rows in enumerate([orders_apart, Split({"train": orders_apart.rows("train")})]):
        changes = {"patience": 0} if number == 0 else {}
        version = trained(tmp_path / str(number), base, rows, epochs=1, **changes)
        assert "heldout_loss" not in version.metrics
        assert "heldout" not in version.rows
