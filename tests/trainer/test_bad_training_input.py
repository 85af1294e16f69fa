"""Bad input of a training: one clear error before any step, or a counted drop; what is on the disk stays."""

from __future__ import annotations

import json
import shutil
from functools import partial
from types import SimpleNamespace

import pytest

from burnish.errors import EmptyDataset, ServingError, TrainingError, UnknownAdapter
from burnish_trainer import Recipe, train
from burnish_trainer.recipes import make_recipe
from burnish_trainer.rows.examples import make_examples
from burnish_trainer.rows.token_rows import tokenise_rows
from burnish_trainer.run.storage import seal_checkpoint

QUICK = Recipe(name="shop", rank=4, epochs=6, learning_rate=3e-2, batch_size=4)


def cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def change_type(folder):
    (folder / "config.json").write_text('{"model_type": "unheard_of"}')


def drop_template(folder):
    (folder / "chat_template.jinja").write_text("")


@pytest.mark.parametrize(
    ("change", "error", "found"),
    [
        (shutil.rmtree, ServingError, "no base model"),
        (lambda f: (f / "config.json").unlink(), ServingError, "no base model"),
        (lambda f: (f / "config.json").write_text("{"), ServingError, "cannot be read"),
        (change_type, TrainingError, "no base model could be loaded"),
        (lambda f: (f / "model.safetensors").unlink(), TrainingError, "no base model could be"),
        (cut_weights, TrainingError, "no base model could be loaded"),
        (drop_template, ServingError, "has no chat template"),
    ],
    ids=["no_folder", "no_config", "torn_config", "type", "no_weights", "cut_weights", "template"],
)
def test_a_base_model_that_cannot_be_used_is_one_clear_error(
    home, base, orders, tmp_path, change, error, found
):
    folder = shutil.copytree(base, tmp_path / "model")
    change(folder)
    with pytest.raises(error, match=found):
        train(orders, base_model=folder, recipe=QUICK)
    assert not (home / "runs").exists()


def test_an_adapter_to_start_from_that_the_workspace_lacks_is_named(home, base, orders):
    with pytest.raises(UnknownAdapter, match="shop@123456789012"):
        train(orders, base_model=base, recipe={"init_adapter": "shop@123456789012"})
    assert not (home / "runs").exists()


@pytest.mark.parametrize(
    "template",
    ["{{ raise_exception('roles must alternate') }}", "{% if %}", "{{ 1 / 0 }}", "{{ x.y.z }}"],
    ids=["raises", "syntax", "division", "undefined"],
)
def test_a_template_that_fails_on_every_row_is_one_clear_error(
    home, base, orders, tmp_path, template
):
    folder = shutil.copytree(base, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(EmptyDataset, match="the chat template refuses the conversation"):
        train(orders, base_model=folder, recipe=QUICK)
    assert not (home / "runs").exists()


def change_reply(**facts):
    return lambda row: {
        **row,
        "messages": [*row["messages"][:-1], {**row["messages"][-1], **facts}],
    }


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda row: None, "the row is not an object"),
        (lambda row: {**row, "messages": "[{"}, "the column 'messages' of the row is not JSON"),
        (lambda row: {**row, "messages": [5]}, "'messages' of the row is not a list of objects"),
        (lambda row: {**row, "tools": 7}, "'tools' of the row is not a list of objects"),
        (lambda row: {**row, "calls": '{"a": 1}'}, "'calls' of the row is not a list of objects"),
        (lambda row: {**row, "weight": "much"}, "the weight of the row is no positive number"),
        (change_reply(content=[{"type": "text", "text": 5}]), "the row has another form"),
        (change_reply(tool_calls=[5]), "the row has another form"),
        (change_reply(content="half a \ud800 pair"), "the row has another form"),
    ],
    ids=[
        "none", "torn", "numbers", "tools", "calls", "weight", "part", "tool_call", "text",
    ],
)  # fmt: skip
def test_a_row_of_another_form_is_dropped_and_counted_and_the_rest_is_read(
    tokenizer, made, damage, reason
):
    good = made.row(made.conversation(1234, 5678))
    good = {**good, "messages": json.loads(good["messages"])}
    rows, report = tokenise_rows([damage(good), good], tokenizer)
    assert [row.row_id for row in rows] == [good["row_id"]]
    ((found, count),) = report.dropped.items()
    assert reason in found
    assert count == 1


@pytest.mark.parametrize("objective", ["dpo", "kto", "rejection"])
def test_objectives_that_compare_runs_drop_and_count_rows_of_another_form(
    tokenizer, made, objective
):
    parts = {"train": [], "train-contrast": []}
    for number in range(3):
        for part, label in (("train", "success"), ("train-contrast", "fail")):
            said = made.conversation(1234, 5678 + number)
            if label == "fail":
                said[-1] = {**said[-1], "content": "Done: 77"}
            row = made.row(said, row_id=f"{number}-{label}")
            run = {"task_id": f"t{number}", "trajectory_id": f"{number}{label}"}
            parts[part].append({**row, **run, "verdict": {"label": label}})
    whole = {name: list(rows) for name, rows in parts.items()}
    broken = [
        None,
        {**parts["train"][0], "messages": "[{"},
        {**parts["train"][0], "messages": [{}]},
    ]
    parts["train"] += broken

    def examples_of(given):
        rows = SimpleNamespace(id="shop@000000000000", rows=lambda split: given[split])
        return make_examples(
            rows, make_recipe(objective=objective), partial(tokenise_rows, tokenizer=tokenizer)
        )

    (found, report), (wanted, clean) = examples_of(parts), examples_of(whole)
    assert len(found) == len(wanted) > 0
    assert sum(report.dropped.values()) - sum(clean.dropped.values()) == 3
    assert report.dropped["the column 'messages' of the row is not JSON"] == 1
    assert report.dropped["a message of the row has no role"] == 1


def test_a_row_longer_than_the_models_context_is_dropped_and_counted(
    home, base, made, orders, tmp_path
):
    """The recipe sets no length; the model has 512 positions, and is served with no more."""
    said = made.conversation(1234, 5678)
    long = [{**said[0], "content": f"total of order {'7 ' * 900}"}, *said[1:]]
    rows = made.Rows(found=[*orders.found[:8], made.row(long, row_id="long")])
    train(rows, base_model=base, recipe=QUICK, out=tmp_path / "run")
    counted = json.loads((tmp_path / "run" / "plan.json").read_text())["rows"]
    assert counted["rows"] == 8
    assert counted["dropped"] == {"too long: over 512 tokens": 1}
    assert counted["longest"] < 512


def test_a_changed_dataset_does_not_continue_a_run_folder(home, base, made, orders, tmp_path):
    """The run of the first rows is on disk; other rows give another plan, which leaves it as it is."""
    rows = made.Rows(found=orders.found[:8])
    version = train(rows, base_model=base, recipe=QUICK, out=tmp_path / "run")
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*.json")}
    changed = made.Rows(found=orders.found[1:9])
    with pytest.raises(TrainingError, match="holds another run"):
        train(changed, base_model=base, recipe=QUICK, out=tmp_path / "run")
    assert {p: p.read_bytes() for p in before} == before
    assert train(rows, base_model=base, recipe=QUICK, out=tmp_path / "run").id == version.id


def test_a_checkpoint_of_another_plan_is_refused(home, base, made, orders, tmp_path):
    rows, folder = made.Rows(found=orders.found[:8]), tmp_path / "run"
    staged = tmp_path / "staged"
    staged.mkdir()
    (staged / "plan.txt").write_text("train-000000000000")
    (folder / "checkpoints").mkdir(parents=True)
    seal_checkpoint(staged, folder / "checkpoints" / "checkpoint-1")
    with pytest.raises(TrainingError, match=r"checkpoint-1 was written by train-000000000000"):
        train(rows, base_model=base, recipe=QUICK, out=folder)
    assert (folder / "checkpoints" / "checkpoint-1").exists()
