"""An adapter that cannot be served exactly as trained is refused with a reason."""

from __future__ import annotations

import contextlib
import json
import shutil

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from burnish.adapters.store import AdapterStore
from burnish.errors import BaseModelMismatch, ServingError
from burnish.records import AdapterManifest
from burnish.serving import OpenAIBackend
from burnish.serving.contract.base_models import base_sha256
from burnish.serving.embedded.requests import EngineRequest
from burnish.serving.embedded.tiny import ModelSize, make_adapter, make_model

# PEFT still reads a name that transformers has given up.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


@pytest.fixture
def adapter(tmp_path, base):
    return make_adapter(tmp_path / "adapter", base)


def change_config(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_weights(folder, change):
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def manifest(**changes):
    facts = {
        "id": "",
        "name": "a",
        "sha256": "",
        "base_model": "other",
        "base_sha256": "0" * 64,
        "rank": 8,
        "alpha": 16.0,
        "targets": [],
        "created_at": "2026-01-01T00:00:00Z",
    }
    return msgspec.json.encode(AdapterManifest(**(facts | changes)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"use_dora": True}, "use_dora=True"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias='all'"),
        ({"lora_bias": True}, "lora_bias"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"init_lora_weights": "pissa_niter_4"}, "changed weights"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
    ],
)
def test_settings_that_a_slot_cannot_follow_are_refused(engine, adapter, changes, said):
    change_config(adapter, **changes)
    with pytest.raises(ServingError, match=said):
        engine.load("a@1", adapter)
    assert engine.list() == []


def test_an_adapter_of_another_size_is_refused_by_its_shapes(engine, tmp_path):
    other = make_model(tmp_path / "other", size=ModelSize(hidden=96))
    with pytest.raises(BaseModelMismatch, match=r"shape .* for model\.layers\.0"):
        engine.load("a@1", make_adapter(tmp_path / "adapter", other))


def test_an_adapter_with_more_layers_than_the_base_is_refused(engine, tmp_path):
    other = make_model(tmp_path / "other", size=ModelSize(layers=3))
    with pytest.raises(BaseModelMismatch, match=r"model\.layers\.2"):
        engine.load("a@1", make_adapter(tmp_path / "adapter", other))


def test_an_adapter_of_a_base_of_the_same_shape_is_refused_by_its_manifest(engine, adapter, base):
    (adapter / "burnish.json").write_bytes(manifest())
    with pytest.raises(BaseModelMismatch, match="was trained on other"):
        engine.load("a@1", adapter)
    (adapter / "burnish.json").write_bytes(manifest(base_sha256=base_sha256(base)))
    engine.load("a@1", adapter)
    assert engine.list() == ["a@1"]


def test_a_damaged_manifest_is_refused(engine, adapter):
    (adapter / "burnish.json").write_bytes(b'{"id": 1}')
    with pytest.raises(ServingError, match="not a manifest"):
        engine.load("a@1", adapter)


def test_a_cut_file_is_refused(engine, adapter):
    path = adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ServingError, match="cut or damaged"):
        engine.load("a@1", adapter)


def test_pickled_weights_are_never_opened(engine, adapter):
    path = adapter / "adapter_model.safetensors"
    torch.save(load_file(path), adapter / "adapter_model.bin")
    path.unlink()
    with pytest.raises(ServingError, match="never opened"):
        engine.load("a@1", adapter)


def test_a_missing_folder_or_configuration_is_refused(engine, adapter, tmp_path):
    with pytest.raises(ServingError, match="no folder"):
        engine.load("a@1", tmp_path / "nowhere")
    (adapter / "adapter_config.json").write_text("{")
    with pytest.raises(ServingError, match="cannot be read"):
        engine.load("a@1", adapter)


def test_half_a_pair_a_stranger_and_broken_numbers_are_refused(engine, adapter, base, tmp_path):
    key = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    change_weights(adapter, lambda tensors: tensors.pop(key))
    with pytest.raises(ServingError, match="lacks lora_A or lora_B"):
        engine.load("a@1", adapter)
    change_weights(adapter, lambda tensors: tensors.update({key: torch.full((128, 8), torch.nan)}))
    with pytest.raises(ServingError, match="not finite"):
        engine.load("a@1", adapter)
    other = make_adapter(tmp_path / "other", base)
    change_weights(other, lambda t: t.update({"base_model.model.lm_head.weight": torch.ones(1)}))
    with pytest.raises(ServingError, match="not a LoRA weight"):
        engine.load("a@1", other)


def test_rank_stabilised_scale_and_alpha_patterns_follow_peft(engine, adapter, base, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    change_config(adapter, use_rslora=True, alpha_pattern={"q_proj": 3}, rank_pattern={})
    engine.load("a@1", adapter)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.inference_mode():
        logits = PeftModel.from_pretrained(model, adapter)(torch.tensor([[7, 8, 9]])).logits
    expected = logits[0, -1].log_softmax(-1)
    for token, logprob in engine.rank_next_tokens([7, 8, 9], "a@1", 5):
        assert logprob == pytest.approx(float(expected[token]), abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "recurrent_gemma"}, "inside the model"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "without a window size"),
    ],
)
def test_a_base_that_cannot_be_served_exactly_is_refused_by_name(tmp_path, base, changes, said):
    from burnish.serving.embedded.engine import Engine

    folder = shutil.copytree(base, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ServingError, match=said):
        Engine(folder)


def test_an_adapter_that_is_switched_off_is_refused(engine, adapter):
    change_config(adapter, lora_alpha=0)
    with pytest.raises(ServingError, match="switches it off"):
        engine.load("off@1", adapter)


def test_an_adapter_that_lacks_a_whole_layer_is_refused(engine, adapter):
    def forget_layer(tensors):
        for key in [key for key in tensors if "layers.1.mlp.up_proj" in key]:
            del tensors[key]

    change_weights(adapter, forget_layer)
    with pytest.raises(
        ServingError, match=r"lacks the weights of 1 layers.*layers\.1\.mlp\.up_proj"
    ):
        engine.load("gap@1", adapter)


@pytest.mark.parametrize(
    "changes",
    [
        {"target_modules": r".*layers\.0\..*(proj)"},
        {"layers_to_transform": [0]},
        {"exclude_modules": r".*layers\.1\..*"},
    ],
)
def test_layers_that_were_never_trained_are_not_missed(engine, adapter, changes):
    def first_layer(tensors):
        for key in [key for key in tensors if "layers.0." not in key]:
            del tensors[key]

    change_weights(adapter, first_layer)
    change_config(adapter, **changes)
    engine.load("half@1", adapter)
    assert "half@1" in engine


def test_a_name_that_is_no_model_says_what_there_is():
    from burnish.serving.embedded.engine import Engine

    with pytest.raises(ServingError, match="no base model 'nonesuch'"):
        Engine("nonesuch")


@pytest.mark.parametrize("pattern", ["(([a-z_.0-9])+)+!", "(.*a.*b.*c.*)*x", "((((a*)*)*)*)*!"])
@pytest.mark.parametrize("key", ["alpha_pattern", "target_modules"])
def test_a_pattern_that_takes_for_ever_is_refused(engine, adapter, key, pattern):
    change_config(adapter, **{key: {pattern: 1} if key == "alpha_pattern" else pattern})
    with contextlib.suppress(ServingError):  # what the matcher decides in time may be loaded
        engine.load("x", adapter)
    assert engine.generate(EngineRequest(prompt=[10, 11], max_tokens=1)).token_ids


@pytest.mark.parametrize(
    "changes",
    [
        {"lora_alpha": "much"},
        {"lora_alpha": [1]},
        {"alpha_pattern": ["q_proj"]},
        {"alpha_pattern": {"q_proj": {}}},
        {"alpha_pattern": {"(": 1}},
        {"alpha_pattern": {"x" * 5000: 1}},
        {"target_modules": 5},
        {"target_modules": "("},
    ],
)
def test_a_setting_of_a_wrong_type_is_refused_with_a_reason(engine, adapter, changes):
    change_config(adapter, **changes)
    with pytest.raises(ServingError, match=r"pattern|wrong type|lacks"):
        engine.load("x", adapter)


def test_an_alpha_pattern_names_layers_by_their_last_parts(engine, adapter):
    def strength(**changes):
        change_config(adapter, lora_alpha=8, **changes)
        engine.load("x", adapter)
        layers = zip(engine._model.slots.layers, engine.find_slot("x").pairs, strict=True)
        norms = {name: float(pair.up.norm()) for name, pair in layers if pair is not None}
        engine.unload("x")
        engine._given.clear()
        return norms

    plain = strength(alpha_pattern={})
    q_proj = strength(alpha_pattern={"q_proj": 16})
    by_regex = strength(alpha_pattern={".*q_proj": 16})
    first = strength(alpha_pattern={"layers.0.self_attn.q_proj": 16})

    assert q_proj == by_regex
    assert {name for name in plain if q_proj[name] != plain[name]} == {
        name for name in plain if name.endswith("q_proj")
    }
    assert {name for name in plain if first[name] != plain[name]} == {
        name for name in plain if name.endswith("layers.0.self_attn.q_proj")
    }


@pytest.fixture
def published(tmp_path, home, base, adapter):
    facts = msgspec.json.decode(manifest(name="shop", base_sha256=""), type=AdapterManifest)
    store = AdapterStore(home)
    return store.path(store.publish(adapter, facts).id)


def test_a_published_adapter_is_served_under_its_name(engine, published):
    assert engine.ensure_loaded(published.name) == published.name


@pytest.mark.parametrize(
    "file", ["adapter_model.safetensors", "adapter_config.json", "burnish.json"]
)
def test_an_adapter_that_was_changed_after_publication_is_refused(
    engine, published, file, tmp_path
):
    engine.ensure_loaded(published.name)
    engine.unload(published.name)
    (published / file).chmod(0o600)
    if file.endswith("safetensors"):
        change_weights(published, lambda tensors: [t.mul_(2) for t in tensors.values()])
    elif file == "burnish.json":
        (published / file).unlink()
    else:
        change_config(published, lora_alpha=999)
    loads = [lambda: engine.ensure_loaded(published.name)]
    if file != "burnish.json":
        loads.append(lambda: engine.load(published.name, published))
        loads.append(lambda: OpenAIBackend("http://127.0.0.1:9").load(published.name, published))
    for load in loads:
        with pytest.raises(ServingError):
            load()
    assert list(engine.list()) == []


@pytest.mark.parametrize("damage", [b"", b"{", b'{"id": ""}', b"\xff" * 100])
def test_other_weights_beside_a_damaged_manifest_are_not_served_under_the_old_name(
    engine, published, damage
):
    for file in published.iterdir():
        file.chmod(0o600)
    change_weights(published, lambda tensors: [t.mul_(2) for t in tensors.values()])
    content = json.loads((published / "burnish.json").read_text()) if damage[:1] == b"{" else None
    if content and damage != b"{":
        damage = json.dumps(content | {"id": ""}).encode()
    (published / "burnish.json").write_bytes(damage)

    with pytest.raises(ServingError):
        engine.load(published.name, published)
    with pytest.raises(ServingError):
        engine.ensure_loaded(published.name)


def test_a_folder_is_not_served_as_what_its_manifest_claims(engine, published, adapter):
    content = json.loads((published / "burnish.json").read_text())
    (adapter / "burnish.json").write_text(json.dumps(content | {"id": "shop@ffffffffffff"}))
    with pytest.raises(ServingError, match="its content is shop@"):
        engine.ensure_loaded(str(adapter))
    with pytest.raises(ServingError, match="requested as"):
        engine.load("shop@ffffffffffff", published)
