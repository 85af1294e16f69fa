"""Models with several kinds of layers answer token for token as transformers and PEFT do, in a batch or one by one."""

from __future__ import annotations

import threading

import pytest
import torch
from model_families import make_family
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from burnish.serving.embedded.engine import Engine
from burnish.serving.embedded.model import EngineOptions
from burnish.serving.embedded.requests import EngineRequest
from burnish.serving.embedded.row_caches import RowCaches
from burnish.serving.embedded.sampling import Sampling

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")
TOKENS = 14
# Shorter than the window of eight, longer than it, and so long that the window moves over itself many times.
PROMPTS = [[7 + (at * step) % 270 for at in range(length)] for step, length in ((1, 3), (5, 9), (11, 40), (3, 90))]  # fmt: skip
FAMILIES = ("Gemma 3", "Falcon-H1", "Qwen 3.5")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """A tiny random model with two adapters, and what transformers and PEFT generate with each."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("family")
    base = make_family(request.param, folder / "base")
    expected = {None: generate(AutoModelForCausalLM.from_pretrained(base).eval())}
    for seed in (1, 2):
        adapter = folder / f"adapter{seed}"
        save_adapter(base, adapter, seed)
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
        expected[adapter] = generate(model.eval())
    assert len({str(answers) for answers in expected.values()}) == 3, "the adapters change nothing"
    return base, expected


def save_adapter(base, folder, seed):
    torch.manual_seed(seed)
    names = ["q_proj", "v_proj", "o_proj", "up_proj", "in_proj", "in_proj_qkv"]
    model = AutoModelForCausalLM.from_pretrained(base)
    found = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    config = LoraConfig(r=4, target_modules=[name for name in names if name in found])
    adapted = get_peft_model(model, config)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, 0, 0.3)
    adapted.save_pretrained(folder)


def generate(model):
    answers = []
    for prompt in PROMPTS:
        given = torch.tensor([prompt])
        said = model.generate(
            input_ids=given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=TOKENS,
            do_sample=False,
        )
        answers.append(said[0, len(prompt) :].tolist())
    return answers


@pytest.mark.parametrize("own_caches", [False, True])
def test_adapters_and_base_side_by_side_answer_as_transformers_does(family, own_caches):
    base, expected = family
    engine = Engine(base, EngineOptions(own_caches=own_caches))
    try:
        for adapter in filter(None, expected):
            engine.load(adapter.name, adapter)
        futures = {
            adapter: [
                engine.submit_request(
                    EngineRequest(
                        prompt=prompt, adapter=adapter and adapter.name, max_tokens=TOKENS
                    )
                )
                for prompt in PROMPTS
            ]
            for adapter in expected
        }
        found = {
            adapter: [one.result(60).token_ids for one in asked]
            for adapter, asked in futures.items()
        }
    finally:
        engine.close()
    assert found == expected
    assert (engine.one_by_one is None) == (
        not own_caches and "gemma3" in engine.contract.model_type
    )


def test_a_cancelled_request_leaves_the_others_as_they_were(family):
    base, expected = family
    engine = Engine(base, EngineOptions(own_caches=True))
    started = threading.Event()
    try:
        first = engine.submit_request(
            EngineRequest(
                prompt=PROMPTS[0], max_tokens=200, sampling=Sampling(temperature=1.0, seed=1),
                on_token=lambda token: started.set(),
            )
        )  # fmt: skip
        others = [
            engine.submit_request(EngineRequest(prompt=p, max_tokens=TOKENS)) for p in PROMPTS
        ]
        assert started.wait(60)
        first.cancel()
        assert [one.result(60).token_ids for one in others] == expected[None]
    finally:
        engine.close()


def add_up(failing=()):
    """A forward whose logits are the sum of all tokens so far; it fails for some slots after it changed its cache."""

    def forward(tokens, start, cache, slot):
        cache = [] if cache is None else cache
        assert len(cache) == start
        cache += tokens
        if slot in failing:
            raise RuntimeError("no")
        return torch.tensor([float(sum(cache))]), cache

    return forward


def test_a_step_that_is_repeated_after_a_failure_counts_each_token_once():
    caches = RowCaches()
    assert caches.run_prefill(add_up(), [[1, 2], [10], [100]], ["a", "b", "c"], 0).tolist() == [[3.0], [10.0], [100.0]]  # fmt: skip
    with pytest.raises(RuntimeError):
        caches.run_step(add_up({"b"}), [5, 5, 5], [2, 1, 1], ["a", "b", "c"], None)
    assert caches.run_step(add_up(), [5], [2], ["a"], [0]).tolist() == [[8.0]]
    with pytest.raises(RuntimeError):  # its cache was changed by the forward that failed
        caches.run_step(add_up(), [5], [1], ["b"], [1])
    assert caches.run_step(add_up(), [5], [1], ["c"], [2]).tolist() == [[105.0]]
    caches.clear_row(1)
    caches.move_row(2, 1, 2)
    found = caches.run_step(add_up(), [1, 1], [3, 2], ["a", "c"], None)
    assert found.tolist() == [[9.0], [106.0]]
