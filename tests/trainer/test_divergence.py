"""A training whose numbers break stops with its last good checkpoint and publishes nothing."""

from __future__ import annotations

import types

import pytest
import torch
from model_families import make_family
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from burnish.errors import TrainingDiverged
from burnish_trainer import Recipe, train
from burnish_trainer.recipes.lora import add_adapter
from burnish_trainer.run.publish import save_adapter
from burnish_trainer.run.storage import newest_checkpoint
from burnish_trainer.run.trainer import AdapterTrainer

QUICK = Recipe(
    name="shop", rank=4, epochs=2, learning_rate=1e-3, batch_size=2, warmup_steps=2, checkpoints=16
)


@pytest.fixture
def spoiled(tmp_path):
    """A base model that gives NaN after one rare character."""
    folder = make_family("Llama", tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(folder)
    (token,) = AutoTokenizer.from_pretrained(folder)("~")["input_ids"]
    with torch.no_grad():
        model.get_input_embeddings().weight[token] = torch.nan
    model.save_pretrained(folder)
    return folder


def rows(made, *questions):
    found = []
    for number, question in enumerate(questions):
        reply = {"role": "assistant", "content": f"answer {number}", "loss": True}
        messages = [{"role": "user", "content": question, "loss": False}, reply]
        found.append(made.row(messages, row_id=str(number), tools="[]"))
    return made.Rows(found=found)


def test_a_training_that_diverges_stops_at_the_last_good_checkpoint_and_publishes_nothing(
    home, spoiled, made
):
    questions = [f"question {at}" for at in range(9)] + ["question ~"]
    with pytest.raises(
        TrainingDiverged, match=r"the loss is nan in step \d.*nothing was published"
    ):
        train(rows(made, *questions), base_model=spoiled, recipe=QUICK)
    assert not list((home / "adapters").glob("*@*"))
    (run,) = (home / "runs").iterdir()
    kept = newest_checkpoint(run / "checkpoints")
    if kept is not None:
        tensors = load_file(kept / "adapter_model.safetensors")
        assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    with pytest.raises(TrainingDiverged):  # the same call meets the same fault; it skips nothing
        train(rows(made, *questions), base_model=spoiled, recipe=QUICK)


def test_a_gradient_that_is_not_finite_stops_before_the_step(base, tmp_path):
    model = add_adapter(AutoModelForCausalLM.from_pretrained(base), QUICK, None)
    trainer = AdapterTrainer.__new__(AdapterTrainer)
    trainer.model = model
    trainer.args = types.SimpleNamespace(output_dir=str(tmp_path))
    trainer.state = types.SimpleNamespace(global_step=6)
    name, weight = next((n, p) for n, p in model.named_parameters() if p.requires_grad)
    weight.grad = torch.zeros_like(weight)
    trainer.refuse_broken_gradients()
    weight.grad.view(-1)[1] = torch.inf
    with pytest.raises(TrainingDiverged, match=f"gradient of {name} is not finite in step 7"):
        trainer.refuse_broken_gradients()


def test_an_adapter_with_numbers_that_are_not_finite_is_never_written(base, tmp_path):
    model = add_adapter(AutoModelForCausalLM.from_pretrained(base), QUICK, None)
    with torch.no_grad():
        next(p for p in model.parameters() if p.requires_grad).view(-1)[3] = torch.nan
    with pytest.raises(TrainingDiverged, match="is not finite, so nothing is published"):
        save_adapter(model, tmp_path / "adapter", "base")
    assert not list(tmp_path.iterdir())
