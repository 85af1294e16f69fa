"""Methods of training: what they change, how their result is served, and what is refused before anything is loaded."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from burnish.errors import BaseModelMismatch, ServingError, TrainingError
from burnish_trainer import Recipe, train
from burnish_trainer.logits import logits_at
from burnish_trainer.recipes import publish_merged, recommend_method, serving_form
from burnish_trainer.recipes.lora import add_adapter, ignore_future_warnings, load_base
from burnish_trainer.recipes.memory import estimate_memory, measure_activations

QUICK = {"rank": 4, "epochs": 2, "learning_rate": 1e-2, "batch_size": 8, "name": "shop"}
IDS = torch.tensor([[1, 20, 33, 47, 5, 61]])


def logits_of(model):
    with torch.no_grad():
        return model.eval()(IDS).logits


@pytest.mark.parametrize("method", ["lora", "rslora", "dora", "full"])
def test_before_the_first_step_the_model_is_the_base_model(base, method):
    recipe = Recipe(**QUICK, method=method)
    model, _ = load_base(base, recipe)
    before = logits_of(model)
    adapted = add_adapter(model, recipe, None)
    assert torch.allclose(logits_of(adapted), before, atol=1e-6)
    trained = {n for n, p in adapted.named_parameters() if p.requires_grad}
    assert any("magnitude" in name for name in trained) == (method == "dora")
    assert all("lora" in name for name in trained) == (method != "full")


def test_full_training_changes_every_layer_but_tied_embeddings(base):
    recipe = Recipe(**QUICK, method="full")
    model, _ = load_base(base, recipe)
    adapted = add_adapter(model, recipe, None)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    every = sum(p.numel() for p in load_base(base, recipe)[0].parameters())
    assert trained == every - model.get_input_embeddings().weight.numel()


@pytest.mark.parametrize("method", ["dora", "full"])
def test_a_method_that_is_not_swapped_is_published_merged_and_served(
    base, home, orders, engine, tmp_path, method
):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from burnish.serving.embedded.engine import Engine

    version = train(orders, base_model=base, recipe={**QUICK, "method": method})
    assert f"| kind | {method}, " in (version.path / "card.md").read_text()
    folder = publish_merged(version.path, base, tmp_path / "merged")
    with ignore_future_warnings():
        adapted = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base), version.path
        )
    merged = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.allclose(logits_of(merged), logits_of(adapted), atol=1e-4)
    with adapted.disable_adapter():
        assert not torch.allclose(logits_of(merged), logits_of(adapted), atol=1e-2)
    assert Engine(folder).facts.vocabulary == merged.config.vocab_size
    with pytest.raises(ServingError):
        Engine.shared(base).load(version.id, version.path)
    with pytest.raises(TrainingError, match="exists"):
        publish_merged(version.path, base, folder)


def test_rslora_is_swapped_like_lora(base, home, orders, engine):
    from burnish.serving.embedded.engine import Engine

    version = train(orders, base_model=base, recipe={**QUICK, "method": "rslora"})
    Engine.shared(base).load(version.id, version.path)


def test_the_merge_command_writes_one_model_and_refuses_another_base(base, home, orders, tmp_path):
    import shutil

    from peft import PeftModel
    from transformers import AutoModelForCausalLM
    from typer.testing import CliRunner

    from burnish.cli.app import build_app

    version = train(orders, base_model=base, recipe=QUICK)
    other = tmp_path / "other"
    shutil.copytree(base, other)
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    command = ["adapters", "merge", version.id, str(tmp_path / "merged"), "--home", str(home)]

    refused = CliRunner().invoke(build_app(), [*command, "--base-model", str(other)])
    assert isinstance(refused.exception, BaseModelMismatch)
    assert not (tmp_path / "merged").exists()
    done = CliRunner().invoke(build_app(), [*command, "--json"])
    assert done.exit_code == 0, done.output
    merged = AutoModelForCausalLM.from_pretrained(json.loads(done.stdout)["model"])
    with ignore_future_warnings():
        adapted = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base), version.path
        )
    assert torch.allclose(logits_of(merged), logits_of(adapted), atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "swapped"),
    [
        ({}, True),
        ({"method": "rslora"}, True),
        ({"method": "qlora"}, True),
        ({"method": "dora"}, False),
        ({"method": "qdora"}, False),
        ({"method": "full"}, False),
        ({"peft": {"peft_type": "LORA", "r": 8}}, True),
        ({"peft": {"peft_type": "LORA", "bias": "all"}}, False),
        ({"peft": {"peft_type": "LORA", "init_lora_weights": "pissa"}}, False),
        ({"peft": {"peft_type": "LORA", "target_modules": ["q_proj", "lm_head"]}}, False),
        ({"peft": {"peft_type": "OFT"}}, False),
        ({"peft": {"peft_type": "VERA"}}, False),
    ],
)
def test_how_a_result_is_served_is_known_before_training(settings, swapped):
    form = serving_form(Recipe(**settings))
    assert form.hot_swap == swapped
    assert ("hot-swapped" in str(form)) == swapped
    assert ("must be published merged" in str(form)) != swapped


@pytest.mark.parametrize("kind", ["OFT", "VERA", "IA3", "LOHA"])
def test_any_other_configuration_of_peft_passes_through(base, kind):
    extra = {"IA3": {"feedforward_modules": ["down_proj"]}, "OFT": {"oft_block_size": 8, "r": 0}}
    peft = {"peft_type": kind, "target_modules": ["q_proj", "down_proj"], **extra.get(kind, {})}
    if kind == "VERA":
        peft["target_modules"] = ["q_proj"]
    recipe = Recipe(peft=peft)
    adapted = add_adapter(load_base(base, recipe)[0], recipe, None)
    assert adapted.peft_config["default"].peft_type.value == kind
    assert any(p.requires_grad for p in adapted.parameters())


def test_a_configuration_that_peft_refuses_is_refused_with_its_fields(base):
    for peft, message in (
        ({"peft_type": "MAGIC"}, "peft_type 'MAGIC'"),
        ({"peft_type": "LORA", "rank": 8}, "peft refuses the configuration of LORA"),
    ):
        recipe = Recipe(peft=peft)
        with pytest.raises(TrainingError, match=message):
            add_adapter(load_base(base, recipe)[0], recipe, None)


def test_an_adapter_of_another_method_is_not_continued(base, home, orders):
    version = train(orders, base_model=base, recipe=QUICK)
    recipe = Recipe(**QUICK, method="dora")
    with pytest.raises(BaseModelMismatch, match="use_dora"):
        add_adapter(load_base(base, recipe)[0], recipe, version.path)


@pytest.mark.parametrize("method", ["qlora", "qdora"])
def test_4_bits_without_bitsandbytes_names_the_install(base, method):
    if importlib.util.find_spec("bitsandbytes") is not None:
        pytest.skip("bitsandbytes is installed")
    with pytest.raises(TrainingError, match="try: pip install bitsandbytes"):
        load_base(base, Recipe(method=method))


@pytest.mark.parametrize("method", ["qlora", "qdora"])
def test_4_bits_train_where_bitsandbytes_is_installed(base, home, orders, method):
    pytest.importorskip("bitsandbytes")
    version = train(orders, base_model=base, recipe={**QUICK, "method": method})
    lines = [json.loads(one) for one in (version.run / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    assert version.manifest.plan["recipe"]["method"] == method


def test_4_bit_layers_have_gradients_also_after_a_forward_pass_without_them(base):
    """On some processors bitsandbytes repacks weights at the first such pass, for a kernel that has no backward pass."""
    pytest.importorskip("bitsandbytes")
    model, _ = load_base(base, Recipe(method="qlora"))
    model = add_adapter(model, Recipe(method="qlora"), None)
    ids = torch.tensor([[5, 6, 7, 8]])
    found = []
    for _ in range(2):
        model.train()
        model(input_ids=ids, labels=ids).loss.backward()
        weights = [
            p for n, p in model.named_parameters() if "layers.0.self_attn.q_proj.lora_B" in n
        ]
        found.append(weights[0].grad.clone())
        model.zero_grad()
        model.eval()
        with torch.no_grad():
            model(input_ids=ids)
    assert found[0].abs().max() > 0
    torch.testing.assert_close(found[1], found[0])


def test_the_memory_of_a_step_is_measured_on_a_row(base):
    """The bytes that a forward pass keeps, against the profiler's count of bytes that are still allocated after it."""
    with ignore_future_warnings():
        model = add_adapter(AutoModelForCausalLM.from_pretrained(base), Recipe(rank=4), None)
    ids = [7 + (3 * at) % 270 for at in range(200)]
    labels = [-100] * 150 + ids[150:]
    found = measure_activations(model, ids, labels)

    chosen = torch.tensor([labels])[:, 1:] != -100
    profiler = torch.profiler
    with profiler.profile(activities=[profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        logits = logits_at(model, torch.tensor([ids]), chosen).float()
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels[150:]))
    allocated = sum(event.self_cpu_memory_usage for event in seen.key_averages())
    assert loss.requires_grad
    assert 0.85 * allocated < found < 1.05 * allocated

    batch = {"batch_tokens": 800, "loss_tokens": 200}
    assert estimate_memory(model, row=(ids, labels), **batch) > 4 * found
    assert found > 1.8 * measure_activations(model, ids[100:], labels[100:])


class Labelled:
    def __init__(self, good, bad=()):
        self._parts = {"train": good, "train-contrast": bad}

    def rows(self, split="train"):
        return self._parts[split]


def rows(tasks, each=1, captured=True):
    calls = [{"token_ids": [1]}] if captured else []
    return [{"task_id": f"t{i}", "calls": calls} for i in range(tasks) for _ in range(each)]


def test_supervised_training_comes_first_and_the_data_says_what_may_follow():
    plain = recommend_method(Labelled(rows(100)))
    assert (plain.objective, plain.method, plain.then) == ("sft", "lora", {})
    paired = recommend_method(Labelled(rows(100), rows(60)))
    assert set(paired.then) == {"dpo", "grpo"}
    assert paired.then["dpo"] == "60 pairs of success and failure at 60 tasks"
    assert set(
        recommend_method(Labelled(rows(100, captured=False), rows(60, captured=False))).then
    ) == {"dpo"}
    unpaired = [{**row, "task_id": f"u{i}"} for i, row in enumerate(rows(60))]
    assert set(recommend_method(Labelled(rows(100), unpaired)).then) == {"kto"}


def test_little_data_and_little_memory_change_the_recommendation():
    assert recommend_method(Labelled([])).objective == "collect"
    few = recommend_method(Labelled(rows(5)))
    assert any("fewer than 50 rows" in reason for reason in few.reasons)
    assert any("fewer than 20 tasks" in reason for reason in few.reasons)
    large = recommend_method(Labelled(rows(100)), base_bytes=15 * 2**30, memory_bytes=24 * 2**30)
    assert large.method == "qlora"
    many = recommend_method(
        Labelled(rows(100, each=600)), base_bytes=2**30, memory_bytes=24 * 2**30
    )
    assert many.method == "full"
