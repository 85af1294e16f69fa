"""Swaps under load drop no request, and each answer comes from the stamped version."""

from __future__ import annotations

import queue
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from burnish.errors import ServingError
from burnish.serving import EmbeddedBackend
from burnish.serving.embedded.requests import EngineRequest
from burnish.serving.swap import Swap, swap

PROMPT = [40, 41, 42]


def test_swaps_under_load_drop_nothing_and_never_mix_versions(base, engine, adapters):
    backend = EmbeddedBackend(base, engine)
    names = list(adapters)
    expected = {}
    for name, folder in adapters.items():
        engine.load(name, folder)
        ask = EngineRequest(prompt=PROMPT, adapter=name, max_tokens=10)
        expected[name] = engine.generate(ask).token_ids
        engine.unload(name)
    pointer = {"now": names[0]}
    engine.load(names[0], adapters[names[0]])
    over, fresh = threading.Event(), queue.Queue()
    answered = []

    def client():
        while not over.is_set():
            ask = EngineRequest(prompt=PROMPT, adapter=pointer["now"], max_tokens=10)
            fresh.put((ask.adapter, engine.generate(ask)))

    with ThreadPoolExecutor(6) as pool:
        clients = [pool.submit(client) for _ in range(6)]
        for turn in range(1, 9):
            old, new = names[(turn - 1) % 3], names[turn % 3]
            retire = names[(turn - 2) % 3] if turn > 1 else None
            plan = Swap(version=new, path=adapters[new], retire=retire)
            times = swap(backend, plan, lambda new=new: pointer.update(now=new))
            assert times.swap_ms > 0
            assert old in engine, "the version that was left is not kept"
            answered += [fresh.get(timeout=30) for _ in range(12)]
        over.set()
        for running in clients:
            running.result(30)  # a dropped request raises here
    answered += [fresh.get() for _ in range(fresh.qsize())]
    assert len(answered) >= 96
    for asked, answer in answered:
        assert answer.adapter == asked
        assert answer.token_ids == expected[asked]


def test_a_version_that_fails_its_probe_is_never_flipped_to_nor_left_loaded(
    base, engine, adapters, tmp_path
):
    (one, two, _) = adapters
    wrong = shutil.copytree(adapters[one], tmp_path / "wrong")
    shutil.copy(adapters[two] / "fingerprint.json", wrong / "fingerprint.json")
    flipped = []
    with pytest.raises(ServingError, match="fingerprint"):
        swap(
            EmbeddedBackend(base, engine),
            Swap(version="wrong@000000000000", path=wrong),
            lambda: flipped.append(1),
        )
    assert flipped == []
    assert engine.list() == []
