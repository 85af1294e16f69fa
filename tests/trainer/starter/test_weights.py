"""The committed weights: their hash, their size, loading, and their knowledge of the desks."""

import hashlib
import re

import pytest

from burnish_trainer.starter import project_path, weights_path
from burnish_trainer.starter.demonstrations import conversation, right_way, tool_schemas
from burnish_trainer.starter.world import project_module


@pytest.fixture(scope="module")
def model():
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(weights_path())


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(weights_path())


def test_the_weights_are_those_whose_hash_was_printed():
    digest, name = (weights_path() / "SHA256").read_text().split()
    assert hashlib.sha256((weights_path() / name).read_bytes()).hexdigest() == digest


def test_the_weights_are_small():
    assert (weights_path() / "model.safetensors").stat().st_size <= 8_000_000


def test_the_example_project_is_linked():
    assert (project_path() / "burnish.toml").is_file()


def test_half_precision_on_disk_runs_in_single_precision(model):
    import torch
    from safetensors import safe_open

    with safe_open(weights_path() / "model.safetensors", "pt") as stored:
        kinds = {stored.get_tensor(name).dtype for name in stored.keys()}  # noqa: SIM118
    assert kinds == {torch.float16}
    assert model.dtype is torch.float32


def test_the_template_beside_the_weights_is_the_source_s(tokenizer):
    from burnish_trainer.starter.tokenizer import chat_template

    assert tokenizer.chat_template == chat_template()


def test_the_starter_makes_the_right_first_call_of_clean_questions(model, tokenizer):
    import torch

    right = 0
    chosen = [t for t in project_module("tasks").tasks("capability", 24) if t["kind"] != "refuse"]
    for task in chosen:
        way = right_way(task)
        prompt = tokenizer.apply_chat_template(
            conversation(task, way)[:2],
            tools=tool_schemas(task["desk"]),
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        )
        with torch.no_grad():
            tokens = model.generate(**prompt, max_new_tokens=48, do_sample=False)[0]
        reply = tokenizer.decode(tokens[prompt["input_ids"].shape[1] :])
        called = re.match(
            r'<tool_call>\{"name": "(\w+)", "arguments": (\{.*?\})\}</tool_call>', reply
        )
        right += called is not None and called[1] == way.calls[0][0]
    assert right >= 0.8 * len(chosen)
