"""One training run: resumable to the byte, whole on disk, refused with one clear error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from burnish.adapters import AdapterStore
from burnish.errors import BaseModelMismatch, EmptyDataset, TrainingError
from burnish.serving.fingerprint import distance
from burnish_trainer import Recipe, console, train
from burnish_trainer.run.storage import is_whole, newest_checkpoint, seal_checkpoint

QUICK = Recipe(name="shop", rank=4, epochs=4, learning_rate=1e-2, batch_size=4, warmup_steps=2)
TENSORS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory, made):
    """One run, looked at by several tests."""
    import random

    from burnish import settings

    rng = random.Random(0)
    rows = [
        made.row(made.conversation(rng.randint(1000, 9999), rng.randint(1000, 9999)), row_id=str(i))
        for i in range(24)
    ]
    home = tmp_path_factory.mktemp("home")
    settings.configure(home=home)
    with console.silenced():
        version = train(made.Rows(found=rows), base_model=base, recipe=QUICK)
    settings.reset()
    return home, made.Rows(found=rows), version


@pytest.mark.slow
def test_a_run_leaves_its_plan_its_figures_and_a_published_version(trained, base):
    home, _, version = trained
    assert version.id.startswith("shop@")
    plan = json.loads((version.run / "plan.json").read_text())
    assert plan["steps"] == 24
    assert plan["recipe"]["rank"] == 4
    assert plan["rows"]["rows"] == 24
    assert plan["estimate"]["seconds"] > 0
    lines = [json.loads(line) for line in (version.run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 25))
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.1
    assert all(line["flat_tokens_per_s"] > 0 < line["distinct_tokens_per_s"] for line in lines)
    assert lines[-1]["eta_s"] == 0 < lines[0]["eta_s"]
    manifest = AdapterStore(home).get(version.id)
    assert manifest.dataset == "shop@000000000000"
    assert manifest.plan["id"] == plan["id"]
    assert (version.path / TENSORS).exists()
    assert version.id in (version.path / "card.md").read_text()
    assert str(home) not in (version.path / "adapter_config.json").read_text()


@pytest.mark.slow
def test_the_drift_from_the_base_is_measured_and_stands_on_the_card(trained, base, monkeypatch):
    """The mean divergence is computed here again, over all tokens of the first row and with PEFT's own switch."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import burnish_trainer.run.measures.drift as drift_module
    from burnish_trainer.recipes.lora import ignore_future_warnings
    from burnish_trainer.rows.token_rows import tokenise_rows
    from burnish_trainer.run.measures.drift import measure_drift

    _, dataset, version = trained
    drift = version.manifest.extras["drift"]
    assert drift["rows"] == "train"  # the dataset of these tests holds nothing out
    assert drift["kl"] > 0.05
    assert drift["gain"] > 0.1
    card = (version.path / "card.md").read_text()
    assert f"KL {drift['kl']:.4f} nats a token" in card
    assert "training rows (no held-out ones)" in card
    with ignore_future_warnings():
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), version.path)
    (row,), _ = tokenise_rows(dataset.found[:1], AutoTokenizer.from_pretrained(base))
    ids = torch.tensor([row.input_ids])
    with torch.no_grad():
        here = model(input_ids=ids).logits[0].log_softmax(-1)
        with model.disable_adapter():
            there = model(input_ids=ids).logits[0].log_softmax(-1)
    places = [at - 1 for at, label in enumerate(row.labels) if label != -100]
    wanted = torch.nn.functional.kl_div(there, here, log_target=True, reduction="none").sum(-1)
    found = measure_drift(model, [row], [])
    assert found.rows == "heldout"
    assert found.tokens == len(places)
    assert found.kl == pytest.approx(float(wanted[places].mean()), abs=1e-5)
    assert measure_drift(model, [], []) is None
    monkeypatch.setattr(drift_module, "_MOST_LOGITS", 3 * len(model.get_output_embeddings().weight))
    in_parts = measure_drift(model, [row], [])
    assert in_parts.tokens == found.tokens > 3
    assert in_parts.kl == pytest.approx(found.kl, abs=1e-5)


@pytest.mark.slow
def test_every_linear_layer_but_the_head_is_adapted(trained):
    _, _, version = trained
    assert set(version.manifest.targets) == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip


@pytest.mark.slow
def test_the_fingerprint_holds_the_prompts_where_adapter_and_base_differ(trained):
    _, _, version = trained
    fingerprint = json.loads((version.path / "fingerprint.json").read_text())
    assert fingerprint["dtype"] == "float32"
    assert len(fingerprint["prompts"]) == 8
    for prompt in fingerprint["prompts"]:
        assert len(prompt["adapter"]) == len(prompt["base"]) == 20
        assert distance(prompt["adapter"], prompt["base"]) > 0.5


@pytest.mark.slow
def test_the_same_call_again_finds_the_finished_run(trained, base):
    from burnish import settings

    home, rows, version = trained
    settings.configure(home=home)
    before = (version.run / "metrics.jsonl").stat().st_mtime_ns
    again = train(rows, base_model=base, recipe=QUICK)
    settings.reset()
    assert again.id == version.id
    assert (version.run / "metrics.jsonl").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_plan_and_its_training_are_checked_once_and_on_the_threads_of_the_training(
    home, base, made, orders, monkeypatch
):
    import torch

    import burnish_trainer.tree.self_check as self_check
    from burnish_trainer.run.training import plan_training

    checked = []

    def settle(*facts, settle_execution=self_check.settle_execution):
        checked.append(torch.get_num_threads())
        return settle_execution(*facts)

    monkeypatch.setattr(self_check, "settle_execution", settle)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        rows, recipe = (
            made.Rows(found=orders.found[:8]),
            {"rank": 4, "epochs": 4, "learning_rate": 3e-2, "seed": 4321},
        )
        plan = plan_training(rows, base_model=base, recipe=recipe, home=home)
        assert train(rows, base_model=base, recipe=recipe).manifest.plan["id"] == plan.id
        assert checked == [1], "a tiny model is trained, and so checked, on one thread"
        plan_training(rows, base_model=base, recipe={**recipe, "seed": 1234}, home=home)
        assert checked == [1, 1], "another recipe is checked again"
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "kept"), [("before", "checkpoint-6"), ("after", "checkpoint-9")]
)
def test_a_killed_run_goes_on_and_gives_the_same_bytes(trained, base, tmp_path, moment, kept):
    """The child kills itself with SIGKILL right before or after the third checkpoint is sealed."""
    _, rows, version = trained
    home = tmp_path / "home"
    (tmp_path / "rows.json").write_text(json.dumps(rows.found))
    code = textwrap.dedent(
        f"""
        import json, os, signal
        from pathlib import Path
        from types import SimpleNamespace
        from burnish import settings
        from burnish_trainer import Recipe, train
        import burnish_trainer.run.checkpoints as checkpoints

        def sealed(staged, final, seal=checkpoints.seal_checkpoint):
            if final.name == "checkpoint-9" and os.environ.get("kill") == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            seal(staged, final)
            if final.name == "checkpoint-9" and os.environ.get("kill") == "after":
                os.kill(os.getpid(), signal.SIGKILL)

        checkpoints.seal_checkpoint = sealed
        settings.configure(home={str(home)!r})
        found = json.loads(Path({str(tmp_path / "rows.json")!r}).read_text())
        rows = SimpleNamespace(id="shop@000000000000", rows=lambda split: found if split == "train" else [])
        recipe = Recipe(name="shop", rank=4, epochs=4, learning_rate=1e-2, batch_size=4, warmup_steps=2)
        print(train(rows, base_model={str(base)!r}, recipe=recipe).id)
        """
    )
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.run(
        [sys.executable, "-c", code],
        env={**environ, "kill": moment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert first.returncode == -signal.SIGKILL, first.stderr
    (run,) = (home / "runs").iterdir()
    assert newest_checkpoint(run / "checkpoints").name == kept
    second = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False
    )
    assert second.returncode == 0, second.stderr
    assert second.stdout.strip() == version.id
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 25))


def test_a_torn_checkpoint_is_never_resumed_from(tmp_path):
    for step in (3, 6):
        staged = tmp_path / "staged"
        staged.mkdir()
        (staged / "weights").write_text(f"weights {step}")
        seal_checkpoint(staged, tmp_path / f"checkpoint-{step}")
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-6"
    (tmp_path / "checkpoint-6" / "weights").write_text("weights")
    assert not is_whole(tmp_path / "checkpoint-6")
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-3"
    (tmp_path / "checkpoint-3" / "MANIFEST.json").unlink()
    assert newest_checkpoint(tmp_path) is None


def test_rows_are_learned_with_their_weight_only_where_a_label_stands(base):
    """Loss worked out by hand: -(w1 log p1 + w2 log p2) / (w1 + w2) over the two labelled positions."""
    import torch
    from transformers import AutoModelForCausalLM

    from burnish_trainer.recipes.lora import add_adapter
    from burnish_trainer.run.trainer import AdapterTrainer, Collator

    batch = Collator(0)(
        [
            {"input_ids": [5, 6, 7], "labels": [-100, -100, 7], "weight": 1.0},
            {"input_ids": [8, 9], "labels": [-100, 9], "weight": 3.0},
        ]
    )
    model = add_adapter(AutoModelForCausalLM.from_pretrained(base), QUICK, None)
    logprobs = model(input_ids=batch["input_ids"]).logits.log_softmax(-1)
    wanted = -(1 * logprobs[0, 1, 7] + 3 * logprobs[1, 0, 9]) / 4

    trainer = AdapterTrainer.__new__(AdapterTrainer)
    trainer.accelerator = __import__("accelerate").Accelerator(cpu=True)
    trainer.model = model
    trainer._metrics = {
        "train": __import__("collections").defaultdict(list),
        "eval": __import__("collections").defaultdict(list),
    }
    trainer._total_train_tokens = 0
    loss = trainer.compute_loss(model, batch)
    torch.testing.assert_close(loss, wanted)
    assert trainer._get_num_items_in_batch([batch], "cpu").item() == 4.0


def test_similar_lengths_come_together_and_every_row_comes_once_an_epoch():
    from burnish_trainer.run.plan import plan_order

    lengths = [10 + 37 * i % 90 for i in range(50)]
    order = plan_order(lengths, Recipe(batch_size=4, epochs=3))
    assert len(order) == 150
    for epoch in range(3):
        assert sorted(order[50 * epoch : 50 * (epoch + 1)]) == list(range(50))
    assert order[:50] != order[50:100]
    padded = sum(4 * max(lengths[i] for i in order[s : s + 4]) for s in range(0, 48, 4))
    assert padded < 1.25 * sum(lengths[i] for i in order[:48])


def test_an_empty_dataset_is_one_clear_error(home, base, made):
    with pytest.raises(EmptyDataset, match="no row to learn from"):
        train(made.Rows(), base_model=base)


def test_rows_that_are_all_too_long_say_so(home, base, orders):
    with pytest.raises(EmptyDataset, match="too long: over 8 tokens"):
        train(orders, base_model=base, recipe={"max_length": 8})


def test_an_unknown_or_impossible_setting_is_refused(home, base, orders):
    with pytest.raises(TrainingError, match="unknown key 'learningrate'; expected 'learning_rate'"):
        train(orders, base_model=base, recipe={"learningrate": 1})
    with pytest.raises(TrainingError, match=r"recipe: .*>= 1 - at `\$\.rank`"):
        train(orders, base_model=base, recipe={"rank": 0})
    with pytest.raises(TrainingError, match=r"'ppo' - at `\$\.objective`"):
        train(orders, base_model=base, objective="ppo")


@pytest.mark.slow
def test_an_adapter_goes_on_from_another_and_says_so(trained, base):
    from burnish import settings

    home, rows, version = trained
    settings.configure(home=home)
    later = train(
        rows,
        base_model=base,
        recipe=Recipe(name="shop", rank=4, epochs=1, batch_size=8, init_adapter=version.id),
    )
    settings.reset()
    assert later.manifest.parents == [version.id]
    assert later.id != version.id
    first, last = [
        [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (later.run, version.run)
    ]
    assert abs(first[0] - last[-1]) < abs(first[0] - last[0])


@pytest.mark.slow
def test_an_adapter_of_another_base_model_is_refused(trained, made, tmp_path):
    from burnish import settings

    home, rows, version = trained
    other = made.base(tmp_path / "other", seed=1)
    settings.configure(home=home)
    with pytest.raises(BaseModelMismatch, match=version.id):
        train(rows, base_model=other, recipe=Recipe(rank=4, init_adapter=version.id))
    settings.reset()


@pytest.mark.slow
def test_two_processes_cannot_train_in_one_run_folder(home, base, orders, tmp_path):
    from burnish_trainer.run.storage import lock_folder

    held = textwrap.dedent(
        f"""
        from pathlib import Path
        from burnish_trainer.run.storage import lock_folder
        with lock_folder(Path({str(tmp_path / "run")!r}), "a training run"):
            print("held", flush=True)
            input()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(TrainingError, match=f"already running .process {holder.pid}"),
            lock_folder(tmp_path / "run", "a training run"),
        ):
            pass
        holder.communicate("\n")
    with lock_folder(tmp_path / "run", "a training run"):
        pass


def test_a_run_folder_of_another_plan_is_left_alone(home, base, orders, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.json").write_text('{"id": "train-other"}')
    with pytest.raises(TrainingError, match="holds another run"):
        train(orders, base_model=base, recipe=QUICK, out=Path(tmp_path / "run"))


@pytest.mark.slow
def test_a_full_disk_is_one_clear_error_and_the_run_goes_on_once_there_is_room(base, tmp_path):
    """The limit on the size of a file stands in for the disk; it is lifted in the same process."""
    code = textwrap.dedent(
        f"""
        import resource
        from types import SimpleNamespace
        from burnish import settings
        from burnish.errors import TrainingError
        from burnish_trainer import train

        def limited(most):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

        settings.configure(home={str(tmp_path / "home")!r})
        message = [
            {{"role": "user", "content": "total", "loss": False}},
            {{"role": "assistant", "content": "Done: 12", "loss": True}},
        ]
        row = {{"row_id": "1", "messages": message, "tools": [], "calls": [], "weight": 1.0}}
        rows = SimpleNamespace(id="shop@000000000000", rows=lambda split: [row] * 8)
        recipe = {{"rank": 8, "epochs": 4, "batch_size": 4, "learning_rate": 1e-2}}
        try:
            limited(20_000)
            train(rows, base_model={str(base)!r}, recipe=recipe)
        except TrainingError as error:
            print("told:", error)
        limited(resource.RLIM_INFINITY)
        print(train(rows, base_model={str(base)!r}, recipe=recipe).id)
        """
    )
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "BURNISH_QUIET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told, version = done.stdout.strip().splitlines()
    assert told.startswith("told: no space to write into")
    assert version.startswith("adapter@")
