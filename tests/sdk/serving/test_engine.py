"""The engine answers as the adapter alone would, independent of the other rows of its batches."""

from __future__ import annotations

import random
import shutil
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest
import torch

from burnish.errors import ServingError, UnknownAdapter
from burnish.serving.embedded.engine import Engine
from burnish.serving.embedded.requests import EngineRequest
from burnish.serving.embedded.sampling import Sampling

# PEFT still reads a name that transformers has given up.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


def prompts(count: int, seed: int = 0) -> list[list[int]]:
    draws = random.Random(seed)
    return [[draws.randrange(5, 261) for _ in range(draws.randint(3, 60))] for _ in range(count)]


@pytest.fixture(scope="module")
def references(base, adapters):
    """Greedy answers of each adapter alone, by transformers and PEFT themselves."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    names = list(adapters)
    peft = PeftModel.from_pretrained(model, adapters[names[0]], adapter_name="a0")
    for at, name in enumerate(names[1:], 1):
        peft.load_adapter(adapters[name], adapter_name=f"a{at}")

    def generate(prompt, name):
        ids = torch.tensor([prompt])
        settings = {"max_new_tokens": 12, "do_sample": False, "attention_mask": ids * 0 + 1}
        with torch.inference_mode():
            if name is None:
                with peft.disable_adapter():
                    out = peft.generate(input_ids=ids, **settings)
            else:
                peft.set_adapter(f"a{names.index(name)}")
                out = peft.generate(input_ids=ids, **settings)
        return out[0, len(prompt) :].tolist()

    return generate


def test_a_batch_that_mixes_adapters_equals_peft_token_by_token(loaded, adapters, references):
    who = [None, *adapters]
    asked = [(prompt, who[at % 4]) for at, prompt in enumerate(prompts(24))]
    futures = [
        loaded.submit_request(EngineRequest(prompt=prompt, adapter=name, max_tokens=12))
        for prompt, name in asked
    ]
    for (prompt, name), future in zip(asked, futures, strict=True):
        answer = future.result()
        assert answer.adapter == name
        assert answer.token_ids == references(prompt, name)
    assert loaded.counters["prefills"] < 24, "nothing was batched"


def test_adapters_change_what_is_said(loaded, adapters):
    said = {
        tuple(
            loaded.generate(
                EngineRequest(prompt=[40, 41, 42], adapter=name, max_tokens=8)
            ).token_ids
        )
        for name in (None, *adapters)
    }
    assert len(said) == 4


def test_log_probabilities_are_the_models_own_and_agree_with_scoring(loaded, adapters):
    name = next(iter(adapters))
    answer = loaded.generate(
        EngineRequest(
            prompt=[40, 41, 42],
            adapter=name,
            max_tokens=6,
            sampling=Sampling(temperature=0.7, seed=1),
        )
    )
    scored = loaded.score_tokens([40, 41, 42, *answer.token_ids], 3, name)
    assert answer.logprobs == pytest.approx(scored, abs=1e-4)


def test_a_seeded_request_draws_the_same_tokens_alone_and_among_neighbours(loaded, adapters):
    name = next(iter(adapters))
    asked = EngineRequest(
        prompt=[70, 71, 72],
        adapter=name,
        max_tokens=16,
        sampling=Sampling(temperature=1.0, top_p=0.9, seed=7),
    )
    alone = loaded.generate(asked).token_ids
    others = [
        EngineRequest(prompt=prompt, max_tokens=20, sampling=Sampling(temperature=1.3, seed=at))
        for at, prompt in enumerate(prompts(20, seed=5))
    ]
    futures = [loaded.submit_request(other) for other in others[:10]]
    among = loaded.submit_request(asked)
    futures += [loaded.submit_request(other) for other in others[10:]]
    assert among.result().token_ids == alone
    other_seed = EngineRequest(
        prompt=[70, 71, 72],
        adapter=name,
        max_tokens=16,
        sampling=Sampling(temperature=1.0, top_p=0.9, seed=8),
    )
    assert loaded.generate(other_seed).token_ids != alone


def test_the_same_seed_draws_other_numbers_for_another_prompt():
    one = Sampling(temperature=1.0, seed=3).make_stream([1, 2])
    other = Sampling(temperature=1.0, seed=3).make_stream([1, 3])
    assert one is not None
    assert other is not None
    assert one.random() != other.random()


def test_sampling_follows_the_distribution(engine):
    """600 draws of one token: each of the likeliest ones within 4 standard errors."""
    import math
    from collections import Counter

    prompt, count = [50, 51, 52], 600
    top = engine.rank_next_tokens(prompt, None, 5)
    futures = [
        engine.submit_request(
            EngineRequest(prompt=prompt, max_tokens=1, sampling=Sampling(temperature=1.0, seed=at))
        )
        for at in range(count)
    ]
    seen = Counter(future.result().token_ids[0] for future in futures)
    for token, logprob in top:
        share = math.exp(logprob)
        error = math.sqrt(share * (1 - share) / count)
        assert abs(seen[token] / count - share) < 4 * error


def test_top_p_never_draws_what_lies_outside(engine):
    prompt = [50, 51, 52]
    (likeliest, _), *_ = engine.rank_next_tokens(prompt, None, 1)
    for seed in range(30):
        sampling = Sampling(temperature=1.0, top_p=1e-6, seed=seed)
        answer = engine.generate(EngineRequest(prompt=prompt, max_tokens=1, sampling=sampling))
        assert answer.token_ids == [likeliest]


def test_an_unknown_adapter_raises_and_is_never_answered_by_the_base(loaded):
    with pytest.raises(UnknownAdapter, match="not loaded"):
        loaded.submit_request(EngineRequest(prompt=[1, 2, 3], adapter="other@dddddddddddd"))


def test_a_request_keeps_its_version_while_it_is_unloaded(loaded, adapters):
    name = next(iter(adapters))
    alone = loaded.generate(
        EngineRequest(prompt=[9, 10, 11], adapter=name, max_tokens=60)
    ).token_ids
    begun, unloaded = threading.Event(), threading.Event()
    seen: list[int] = []

    def listen(token: int) -> None:
        seen.append(token)
        if len(seen) == 3:
            begun.set()
            unloaded.wait(20)

    future = loaded.submit_request(
        EngineRequest(prompt=[9, 10, 11], adapter=name, max_tokens=60, on_token=listen)
    )
    assert begun.wait(20)
    with ThreadPoolExecutor(1) as pool:
        draining = pool.submit(loaded.unload, name)
        while name in loaded:
            pass
        with pytest.raises(UnknownAdapter):
            loaded.submit_request(EngineRequest(prompt=[9], adapter=name))
        assert loaded.count_users(name) == 1
        assert not draining.done(), "unload did not wait for the running request"
        unloaded.set()
        assert future.result(20).token_ids == alone
        draining.result(20)
    assert loaded.count_users(name) == 0


def test_an_unload_that_waits_too_long_says_so_and_harms_nobody(loaded, adapters):
    name = next(iter(adapters))
    go_on = threading.Event()
    future = loaded.submit_request(
        EngineRequest(
            prompt=[9], adapter=name, max_tokens=3, on_token=lambda _: go_on.wait(20) and None
        )
    )
    with pytest.raises(ServingError, match="1 requests still run"):
        loaded.unload(name, timeout_s=0.01)
    go_on.set()
    assert len(future.result(20).token_ids) == 3


def test_a_name_is_never_given_to_other_weights(loaded, adapters):
    one, two = list(adapters)[:2]
    loaded.load(one, adapters[one])
    with pytest.raises(ServingError, match="the name was loaded with"):
        loaded.load(one, adapters[two])


def test_every_generation_ends_at_its_limit(engine):
    answer = engine.generate(EngineRequest(prompt=[9, 10], max_tokens=5))
    assert (len(answer.token_ids), answer.finish_reason) == (5, "length")


def test_the_context_of_the_model_ends_a_generation_too(engine):
    room = 4
    prompt = [9] * (engine.facts.context - room)
    assert len(engine.generate(EngineRequest(prompt=prompt, max_tokens=50)).token_ids) <= room
    with pytest.raises(ServingError, match="room for an answer"):
        engine.submit_request(EngineRequest(prompt=[*prompt, *prompt]))


@pytest.mark.parametrize("prompt", [[], [-1], [10_000]])
def test_token_ids_that_the_model_does_not_know_are_refused_alone(engine, prompt):
    with pytest.raises(ServingError, match="unknown token ids"):
        engine.submit_request(EngineRequest(prompt=prompt))


def test_a_cancelled_request_stops_and_its_neighbours_go_on(engine):
    begun = threading.Event()
    runs = engine.submit_request(
        EngineRequest(prompt=[9, 10], max_tokens=1500, on_token=lambda _: begun.set())
    )
    other = engine.submit_request(EngineRequest(prompt=[9, 10], max_tokens=12))
    assert begun.wait(20)
    assert runs.cancel()
    assert len(other.result(20).token_ids) <= 12
    with pytest.raises(CancelledError):
        runs.result(20)
    assert engine.generate(EngineRequest(prompt=[9, 10], max_tokens=3)).token_ids
    assert engine.counters["steps"] < 1400


def test_a_listener_that_raises_fails_its_own_request_only(engine):
    def listen(token: int) -> None:
        raise ValueError("no")

    bad = engine.submit_request(EngineRequest(prompt=[9, 10], max_tokens=9, on_token=listen))
    good = engine.submit_request(EngineRequest(prompt=[9, 10], max_tokens=9))
    with pytest.raises(ServingError, match="ValueError: no"):
        bad.result(20)
    assert good.result(20).token_ids


def test_a_stop_rule_ends_the_answer_with_the_token_that_met_it(engine):
    first, second = engine.generate(EngineRequest(prompt=[9, 10], max_tokens=2)).token_ids
    answer = engine.generate(
        EngineRequest(prompt=[9, 10], max_tokens=9, stop=lambda tokens: tokens[-1] == second)
    )
    assert answer.token_ids[-1] == second
    assert (first == second) or answer.token_ids[:2] == [first, second]
    assert answer.finish_reason == "stop"


def test_more_requests_than_rows_are_all_answered(base):
    from burnish.serving.embedded.model import EngineOptions

    engine = Engine(base, EngineOptions(max_rows=3, prefill_tokens=64))
    asked = prompts(20, seed=2)
    futures = [
        engine.submit_request(EngineRequest(prompt=prompt, max_tokens=7)) for prompt in asked
    ]
    together = [future.result().token_ids for future in futures]
    alone = [engine.generate(EngineRequest(prompt=p, max_tokens=7)).token_ids for p in asked]
    engine.close()
    assert together == alone


def test_a_closed_engine_fails_what_runs_and_refuses_what_comes(base):
    engine = Engine(base)
    begun = threading.Event()
    runs = engine.submit_request(
        EngineRequest(prompt=[9], max_tokens=1900, on_token=lambda _: begun.set())
    )
    assert begun.wait(20)
    engine.close()
    with pytest.raises(ServingError, match="closed"):
        runs.result(20)
    with pytest.raises(ServingError, match="closed"):
        engine.submit_request(EngineRequest(prompt=[9]))


def test_the_shared_engine_of_a_model_is_one_per_process(base):
    assert Engine.shared(base) is Engine.shared(str(base))
    first = Engine.shared(base)
    Engine.close_shared()
    assert Engine.shared(base) is not first
    Engine.close_shared()


def test_many_threads_may_ask_at_once(loaded, adapters):
    who = [None, *adapters]
    asked = [(prompt, who[at % 4]) for at, prompt in enumerate(prompts(16, seed=9))]
    with ThreadPoolExecutor(16) as pool:
        together = list(
            pool.map(
                lambda pair: (
                    loaded.generate(
                        EngineRequest(prompt=pair[0], adapter=pair[1], max_tokens=8)
                    ).token_ids
                ),
                asked,
            )
        )
    alone = [
        loaded.generate(EngineRequest(prompt=prompt, adapter=name, max_tokens=8)).token_ids
        for prompt, name in asked
    ]
    assert together == alone


class Fault(torch.nn.Module):
    """A layer of one version that fails; every other row passes it unharmed."""

    def __init__(self, layer, version):
        super().__init__()
        self.layer, self.version, self.armed = layer, version, True

    def forward(self, hidden):
        if self.armed and any(slot.version == self.version for slot, _ in self.layer.plan.groups):
            raise RuntimeError("a broken layer")
        return self.layer(hidden)


def break_layer(engine, version):
    """Put a fault of one version into the last layer, behind the caches of all others."""
    model = engine._model._model
    mlp = model.model.layers[-1].mlp
    mlp.down_proj = Fault(mlp.down_proj, version)
    return mlp.down_proj


def test_a_fault_of_one_version_in_a_prefill_fails_its_own_requests_only(loaded, adapters):
    good, bad, other = adapters
    wanted = {
        name: loaded.generate(
            EngineRequest(prompt=[9, 8, 7], adapter=name, max_tokens=30)
        ).token_ids
        for name in (good, other, None)
    }
    break_layer(loaded, bad)
    futures = {
        name: loaded.submit_request(EngineRequest(prompt=[9, 8, 7], adapter=name, max_tokens=30))
        for name in (good, bad, other, None)
    }
    with pytest.raises(ServingError, match="a broken layer"):
        futures.pop(bad).result(timeout=60)
    assert {name: future.result(60).token_ids for name, future in futures.items()} == wanted


def test_a_fault_of_one_version_in_a_step_leaves_the_others_their_tokens(loaded, adapters):
    good, bad, _ = adapters
    prompts = [[9, 8, at] for at in range(6)]
    wanted = [
        loaded.generate(EngineRequest(prompt=p, adapter=name, max_tokens=60)).token_ids
        for p in prompts
        for name in (good, None)
    ]
    fault = break_layer(loaded, bad)
    fault.armed = False
    started = threading.Event()

    def arm(_):
        fault.armed = started.is_set()
        started.set()

    broken = loaded.submit_request(
        EngineRequest(prompt=[5, 5], adapter=bad, max_tokens=60, on_token=arm)
    )
    futures = [
        loaded.submit_request(EngineRequest(prompt=p, adapter=name, max_tokens=60))
        for p in prompts
        for name in (good, None)
    ]
    with pytest.raises(ServingError, match="a broken layer"):
        broken.result(timeout=60)
    assert [future.result(60).token_ids for future in futures] == wanted


def test_a_name_stays_with_its_weights_after_it_was_unloaded(loaded, adapters, tmp_path):
    one, two, _ = adapters
    loaded.unload(one)
    with pytest.raises(ServingError, match="the name was loaded with"):
        loaded.load(one, adapters[two])
    copy = shutil.copytree(adapters[one], tmp_path / "copy")
    loaded.load(one, copy)
    assert one in loaded
