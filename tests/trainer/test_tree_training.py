"""Training on tries: the same adapter as by rows, resumable, with every objective, refused before compute where data lacks."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from burnish.errors import EmptyDataset, TrainingError
from burnish_trainer import Recipe, train

QUICK = Recipe(
    name="shop",
    rank=4,
    epochs=3,
    learning_rate=1e-2,
    batch_size=8,
    warmup_steps=1,
    max_grad_norm=100.0,
)
TENSORS = "adapter_model.safetensors"


@dataclass
class TwoSided:
    """A dataset version with successes and failures."""

    good: list = field(default_factory=list)
    bad: list = field(default_factory=list)
    id: str = "shop@000000000000"

    def rows(self, split: str = "train"):
        return {"train": self.good, "train-contrast": self.bad}.get(split, [])


def run_of(made, order, total, label, task):
    """A run of the shop agent with its verdict."""
    row = made.row(made.conversation(order, total), row_id=f"{task}-{label}-{total}")
    return {**row, "task_id": task, "trajectory_id": task + label, "verdict": {"label": label}}


@pytest.fixture
def both(made):
    """Eight tasks; a right answer has the digits of the total, a wrong one does not."""
    rng = random.Random(0)
    good, bad = [], []
    for number in range(8):
        order, total = rng.randint(1000, 9999), rng.randint(1000, 4999)
        good.append(run_of(made, order, total, "success", f"t{number}"))
        wrong = made.conversation(order, total)
        wrong[-1] = {**wrong[-1], "content": "Done: 77"}
        row = run_of(made, order, total, "fail", f"t{number}")
        bad.append({**row, "messages": json.dumps(wrong)})
    return TwoSided(good, bad)


@pytest.fixture
def shared(made):
    """Eight rows with a long common instruction."""
    rng = random.Random(1)
    rows = []
    for number in range(8):
        messages = made.conversation(rng.randint(1000, 9999), rng.randint(1000, 9999))
        messages[0] = {
            **messages[0],
            "content": "You are the shop agent. total order status open. " * 3,
        }
        rows.append(made.row(messages, row_id=str(number), weight=1.0 + number % 2))
    return TwoSided(rows)


def with_changes(**changes):
    return msgspec.structs.replace(QUICK, **changes)


def weights_of(version):
    return load_file(version.path / TENSORS)


def plan_of(version):
    return json.loads((version.run / "plan.json").read_text())


def lines_of(version):
    return [json.loads(line) for line in (version.run / "metrics.jsonl").read_text().splitlines()]


def test_every_way_of_execution_gives_the_adapter_of_single_rows(home, base, shared):
    """With all rows in one step, the order within it changes only the last digits."""
    ways = {
        "off": {"prefix_sharing": "off"},
        "auto": {},
        "cut": {"token_budget": 200},
        "mask": {"prefix_sharing": "mask"},
        "depth": {"prefix_sharing": "depth_first"},
    }
    versions = {
        name: train(shared, base_model=base, recipe=with_changes(**way))
        for name, way in ways.items()
    }
    kinds = {name: plan_of(version)["execution"]["kind"] for name, version in versions.items()}
    assert kinds == {
        "off": "rows", "auto": "blocks", "cut": "blocks", "mask": "mask", "depth": "depth_first",
    }  # fmt: skip
    wanted = weights_of(versions["off"])
    for version in versions.values():
        found = weights_of(version)
        for name, tensor in wanted.items():
            torch.testing.assert_close(found[name], tensor, atol=2e-4, rtol=0)
    line = lines_of(versions["auto"])[0]
    assert line["distinct_tokens"] < 0.7 * line["flat_tokens"]
    assert line["loss"] == pytest.approx(lines_of(versions["off"])[0]["loss"], abs=1e-5)
    execution = plan_of(versions["auto"])["execution"]
    assert execution["ratio"] > 1.5
    assert execution["distinct_tokens"] < execution["flat_tokens"]


def test_a_run_on_tries_that_was_interrupted_goes_on_and_gives_the_same_bytes(
    tmp_path, base, shared, monkeypatch
):
    import burnish_trainer.run.checkpoints as checkpoints
    from burnish import settings

    recipe = with_changes(batch_size=2, checkpoints=4)
    settings.configure(home=tmp_path / "one")
    whole = train(shared, base_model=base, recipe=recipe)
    settings.configure(home=tmp_path / "two")
    seal = checkpoints.seal_checkpoint

    def stop_after_the_second(staged, final):
        seal(staged, final)
        if final.name == "checkpoint-6":
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "seal_checkpoint", stop_after_the_second)
    with pytest.raises(KeyboardInterrupt):
        train(shared, base_model=base, recipe=recipe)
    monkeypatch.undo()
    again = train(shared, base_model=base, recipe=recipe)
    settings.reset()
    assert plan_of(again)["execution"]["kind"] == "blocks"
    assert again.id == whole.id


def answer_logprobs(version, base, dataset):
    """Log-probabilities of the right and the wrong answers, by the base and by the adapter."""
    import numpy as np
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from burnish_trainer.recipes.lora import ignore_future_warnings
    from burnish_trainer.rows import tokenise_rows

    tokenizer = AutoTokenizer.from_pretrained(base)
    with ignore_future_warnings():
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), version.path)
    found = []
    for rows in (dataset.good, dataset.bad):
        sequences, _ = tokenise_rows(rows, tokenizer)
        for adapted in (False, True):
            total = 0.0
            for row in sequences:
                ids = torch.tensor([row.input_ids])
                with torch.no_grad():
                    if adapted:
                        logits = model(input_ids=ids).logits[0]
                    else:
                        with model.disable_adapter():
                            logits = model(input_ids=ids).logits[0]
                last = np.flatnonzero(np.array(row.labels) != -100)[-6:]
                logprobs = logits.log_softmax(-1)
                total += float(logprobs[last - 1, torch.tensor(row.input_ids)[last]].sum())
            found.append(total)
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "dpo"},
        {"objective": "dpo", "pair_loss": "ipo"},
        {"objective": "dpo", "pair_loss": "robust", "pairs": "run"},
        {"objective": "dpo", "pair_loss": "sft"},
        {"objective": "kto"},
        {"objective": "orpo"},
    ],
    ids=lambda changes: "-".join(changes.values()),
)
def test_a_preference_moves_successes_away_from_failures(home, base, both, changes):
    version = train(
        both, base_model=base, recipe=with_changes(beta=0.2, batch_size=4, epochs=5, **changes)
    )
    good_before, good_after, bad_before, bad_after = answer_logprobs(version, base, both)
    assert good_after - bad_after > good_before - bad_before + 1
    assert plan_of(version)["objective"] == changes["objective"]
    losses = [line["loss"] for line in lines_of(version)]
    assert losses[-1] < losses[0]


def test_the_first_loss_of_dpo_is_the_logarithm_of_two(home, base, both):
    """The adapter changes nothing yet, so both sides gain nothing over the reference."""
    version = train(both, base_model=base, recipe=with_changes(objective="dpo", batch_size=4))
    assert lines_of(version)[0]["loss"] == pytest.approx(0.6931472, abs=1e-5)


def test_dft_learns_the_rows_too(home, base, shared):
    version = train(shared, base_model=base, objective="dft", recipe=QUICK)
    lines = lines_of(version)
    assert lines[-1]["mean_token_probability"] > lines[0]["mean_token_probability"]


@pytest.mark.parametrize("objective", ["dpo", "kto", "orpo"])
def test_a_preference_of_one_side_is_refused_before_any_step(home, base, both, objective):
    for dataset, missing in (
        (TwoSided(both.good), "failures"),
        (TwoSided([], both.bad), "successes"),
    ):
        with pytest.raises(EmptyDataset, match=f"has no verified {missing}.*contrast"):
            train(dataset, base_model=base, recipe=with_changes(objective=objective))
    assert not (home / "runs").exists()


def test_runs_of_different_tasks_give_no_pair_and_the_reasons_are_counted(home, base, both):
    apart = TwoSided(both.good[:4], both.bad[4:])
    with pytest.raises(EmptyDataset, match="no failure with the same task and tools"):
        train(apart, base_model=base, recipe=with_changes(objective="dpo"))


@pytest.fixture
def room(monkeypatch):
    """Gives models room for some rows, or tokens of one pass; returns the sizes of the passes that were tried."""
    import burnish_trainer.run.training as training_module

    make, seen = training_module._make_trainer, []

    def limit(dimension, most):
        def refuse_more(module, args, kwargs):
            seen.append(kwargs["input_ids"].shape[dimension])
            if torch.is_grad_enabled() and seen[-1] > most:
                raise torch.OutOfMemoryError("out of memory")

        def make_narrow(job, **arguments):
            job.model.register_forward_pre_hook(refuse_more, with_kwargs=True)
            return make(job, **arguments)

        monkeypatch.setattr(training_module, "_make_trainer", make_narrow)
        return seen

    return limit


@pytest.mark.parametrize(
    ("sharing", "dimension", "most"), [("auto", 1, 150), ("off", 0, 3)], ids=["tries", "rows"]
)
def test_a_step_that_needs_too_much_memory_is_repeated_in_halves(
    home, base, shared, room, sharing, dimension, most
):
    settings = {"prefix_sharing": sharing}
    wanted = train(shared, base_model=base, recipe=with_changes(name="wide", **settings))
    seen = room(dimension, most)
    found = train(shared, base_model=base, recipe=with_changes(name="narrow", **settings))
    assert max(seen) > most
    assert seen.count(max(seen)) <= 2  # one step met the limit; later ones are divided at once
    for name, tensor in weights_of(wanted).items():
        torch.testing.assert_close(weights_of(found)[name], tensor, atol=2e-4, rtol=0)


@pytest.mark.parametrize("sharing", ["auto", "off"])
def test_memory_that_is_too_small_for_one_row_is_one_clear_error(home, base, shared, room, sharing):
    room(1, 10)
    with pytest.raises(TrainingError, match=r"out of memory in step 1, with one row at a time"):
        train(shared, base_model=base, recipe=with_changes(prefix_sharing=sharing))


def test_the_trainer_of_tries_is_used_for_imitation_only_where_sharing_pays(home, base, made):
    rng = random.Random(2)
    rows = [
        made.row(
            [
                {"role": "user", "content": "".join(rng.choices("abcdefgh ", k=60)), "loss": False},
                {"role": "assistant", "content": f"Done: {number}", "loss": True},
            ],
            row_id=str(number),
            tools="[]",
        )
        for number in range(8)
    ]
    version = train(TwoSided(rows), base_model=base, recipe=QUICK)
    execution = plan_of(version)["execution"]
    assert execution["kind"] == "rows"
    assert "below" in execution["reason"]
    assert "mean_token_accuracy" in lines_of(version)[0]
