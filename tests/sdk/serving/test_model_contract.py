"""A model's folder defines the model, even if its configuration omits defaults of its family."""

from __future__ import annotations

import json

import pytest

from burnish.errors import ServingError
from burnish.serving.contract.model_contract import (
    FULL,
    SLIDING,
    find_own_cache_reason,
    read_contract,
    refuse_agent_model,
    refuse_to_serve,
)


@pytest.fixture
def write(tmp_path):
    def written(config, **files):
        (tmp_path / "config.json").write_text(json.dumps(config))
        for name, value in files.items():
            text = value if isinstance(value, str) else json.dumps(value)
            suffix = "jinja" if name == "chat_template" else "json"
            (tmp_path / f"{name}.{suffix}").write_text(text)
        return tmp_path

    return written


@pytest.mark.parametrize(
    ("config", "attention", "window"),
    [
        ({"model_type": "llama"}, [FULL] * 4, None),
        ({"model_type": "mistral", "sliding_window": 8}, [SLIDING] * 4, 8),
        ({"model_type": "mistral", "sliding_window": None}, [FULL] * 4, None),
        ({"model_type": "gemma2", "sliding_window": 8}, [SLIDING, FULL] * 2, 8),
        ({"model_type": "gemma2"}, [SLIDING, FULL] * 2, 4096),
        ({"model_type": "gemma3_text", "sliding_window_pattern": 4, "sliding_window": 8}, [SLIDING] * 3 + [FULL], 8),
        ({"model_type": "cohere2", "sliding_window": 8}, [SLIDING] * 3 + [FULL], 8),
        ({"model_type": "qwen2", "sliding_window": 8, "use_sliding_window": False}, [FULL] * 4, None),
        ({"model_type": "qwen2", "sliding_window": 8, "use_sliding_window": True, "max_window_layers": 2}, [FULL] * 2 + [SLIDING] * 2, 8),
        ({"model_type": "x", "layer_types": [FULL, SLIDING, FULL, FULL], "sliding_window": 8}, [FULL, SLIDING, FULL, FULL], 8),
    ],
)  # fmt: skip
def test_the_attention_of_each_layer_is_read(write, config, attention, window):
    contract = read_contract(write({"num_hidden_layers": 4, **config}))
    assert list(contract.attention) == attention
    assert contract.window == window


def test_the_reading_agrees_with_transformers_where_nothing_is_listed(tmp_path, write):
    from transformers import AutoConfig

    for model_type in ("gemma2", "gemma3_text", "cohere2", "olmo3", "gpt_oss", "mistral", "llama"):
        folder = write({"model_type": model_type, "num_hidden_layers": 12})
        loaded = AutoConfig.from_pretrained(folder)
        kinds = getattr(loaded, "layer_types", None)
        if kinds is None:
            kinds = [SLIDING if getattr(loaded, "sliding_window", None) else FULL] * 12
        contract = read_contract(folder)
        assert list(contract.attention) == list(kinds), model_type
        if SLIDING in kinds:
            assert contract.window == loaded.sliding_window, model_type


def test_every_end_of_both_files_and_what_lies_before_the_logits_is_read(write):
    folder = write(
        {
            "num_hidden_layers": 1,
            "eos_token_id": 7,
            "text_config": {
                "num_hidden_layers": 2,
                "model_type": "gemma3_text",
                "eos_token_id": [8],
                "final_logit_softcapping": 30.0,
                "max_position_embeddings": 512,
                "layer_types": [FULL, FULL],
            },
        },
        generation_config={"eos_token_id": [1, 106]},
        chat_template="{{ '[TOOL_CALLS]' }}",
    )
    contract = read_contract(folder)
    assert contract.end_ids == {1, 7, 8, 106}
    assert contract.head == {"final_logit_softcapping": 30.0}
    assert (contract.context, contract.layers, contract.syntax) == (512, 2, "mistral")


def test_a_folder_that_is_written_anew_is_read_anew(write):
    import os

    folder = write({"num_hidden_layers": 1, "eos_token_id": 1})
    read_contract(folder)
    write({"num_hidden_layers": 1, "eos_token_id": 2})
    os.utime(folder / "config.json", ns=(1, 1))
    assert read_contract(folder).end_ids == {2}


@pytest.mark.parametrize(
    ("config", "backend", "said"),
    [
        ({"model_type": "gpt2", "n_layer": 2}, "embedded", "no linear layers"),
        ({"model_type": "recurrent_gemma", "num_hidden_layers": 2}, "embedded", "inside the model"),
        ({"model_type": "llama", "num_hidden_layers": 2}, "http://x", "no chat template"),
    ],
)
def test_what_cannot_be_trained_or_served_is_refused_by_name(write, config, backend, said):
    template = {} if "template" in said else {"chat_template": "x"}
    with pytest.raises(ServingError, match=said):
        refuse_agent_model(write(config, **template), backend)


def test_a_server_may_serve_what_the_engine_cannot(write):
    folder = write({"model_type": "recurrent_gemma", "num_hidden_layers": 2}, chat_template="x")
    refuse_agent_model(folder, "http://127.0.0.1:1")
    with pytest.raises(ServingError, match="serve it with vLLM"):
        refuse_to_serve(read_contract(folder))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "jamba"}, "recurrent or convolution layers"),
        ({"model_type": "mamba2"}, "recurrent or convolution layers"),
        ({"model_type": "llama4_text", "layer_types": ["chunked_attention"] * 2}, "layers of the kinds chunked_attention"),
        ({"model_type": "gemma3_text", "sliding_window": 8}, None),
        ({"model_type": "llama"}, None),
    ],
)  # fmt: skip
def test_the_contract_says_which_models_need_their_own_caches(write, config, reason):
    contract = read_contract(write({"num_hidden_layers": 2, **config}))
    refuse_to_serve(contract)
    assert find_own_cache_reason(contract) == reason


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_configuration_that_cannot_be_read_is_one_clear_error(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ServingError, match=r"config\.json cannot be read"):
        read_contract(tmp_path)
