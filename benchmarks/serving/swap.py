"""Measure swaps under load: their duration, and dropped or wrong answers.

    python benchmarks/serving/swap.py [--quick] [--json FILE]

Clients ask without pause while one adapter version after another is loaded, checked and made
current, and the version before the last is unloaded. Each answer is compared, token by token, with
the answer of the stamped version alone. A request counts as dropped if it raises, as wrong if its
version is not the requested one or its tokens are not that version's.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from burnish.errors import BurnishError
from burnish.serving import EmbeddedBackend
from burnish.serving.embedded.engine import Engine
from burnish.serving.embedded.requests import EngineAnswer, EngineRequest
from burnish.serving.embedded.tiny import ModelSize, make_adapter, make_model
from burnish.serving.fingerprint import make_fingerprint, write_fingerprint
from burnish.serving.swap import Swap, SwapTimes, swap

STARTER = ModelSize(
    hidden=192, layers=4, heads=6, mlp=512, vocabulary=896
)  # the bundled model's size
PROMPTS = [[20 + at, 30 + at, 40 + at, *range(50, 50 + 5 * at)] for at in range(8)]
TOKENS = 8


class Load:
    """Clients that ask without pause, each with the version that the pointer names."""

    def __init__(self, engine: Engine, first: str) -> None:
        self.engine = engine
        self.pointer = first
        self.answers: list[tuple[int, str, EngineAnswer]] = []
        self.dropped = 0
        self._over = threading.Event()
        self._more = threading.Condition()

    def client(self, number: int) -> None:
        """Ask until the load is over."""
        turn = number
        while not self._over.is_set():
            at, version = turn % len(PROMPTS), self.pointer
            turn += 1
            try:
                answer = self.engine.generate(_ask(at, version))
            except BurnishError:
                self.dropped += 1
                continue
            with self._more:
                self.answers.append((at, version, answer))
                self._more.notify_all()

    def wait_for(self, count: int) -> None:
        """Block until so many more requests were answered."""
        with self._more:
            enough = len(self.answers) + count
            self._more.wait_for(lambda: len(self.answers) >= enough, timeout=60)

    def stop(self) -> None:
        """Let every client stop after its request."""
        self._over.set()


def _ask(at: int, version: str) -> EngineRequest:
    return EngineRequest(prompt=PROMPTS[at], adapter=version, max_tokens=TOKENS)


def prepare(
    home: Path, count: int
) -> tuple[Path, dict[str, Path], dict[tuple[int, str], list[int]]]:
    """Return a model of the bundled one's size, adapters with fingerprints, and the answers of each alone."""
    base = make_model(home / "base", size=STARTER)
    engine = Engine(base)
    adapters: dict[str, Path] = {}
    expected: dict[tuple[int, str], list[int]] = {}
    for seed in range(count):
        version = f"bench@{seed:012d}"
        folder = make_adapter(home / f"a{seed}", base, seed=seed + 1, rank=16)
        engine.load(version, folder)
        write_fingerprint(folder, make_fingerprint(engine, version, PROMPTS))
        for at in range(len(PROMPTS)):
            expected[at, version] = engine.generate(_ask(at, version)).token_ids
        adapters[version] = folder
    engine.close()
    return base, adapters, expected


def run(
    base: Path, adapters: dict[str, Path], swaps: int, clients: int, between: int
) -> tuple[Load, list[SwapTimes], float]:
    """Swap versions in turn under load; `between` requests are answered between two swaps."""
    engine = Engine(base)
    backend, names = EmbeddedBackend(base, engine), list(adapters)
    engine.load(names[0], adapters[names[0]])
    load, times = Load(engine, names[0]), []
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(load.client, number) for number in range(clients)]
        load.wait_for(between)
        for turn in range(1, swaps + 1):
            version = names[turn % len(names)]
            retire = names[(turn - 2) % len(names)] if turn > 1 else None
            plan = Swap(version=version, path=adapters[version], retire=retire)
            times.append(swap(backend, plan, lambda new=version: setattr(load, "pointer", new)))
            load.wait_for(between)
        load.stop()
        for client in running:
            client.result()
    seconds = time.perf_counter() - started
    engine.close()
    return load, times, seconds


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer swaps and requests")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    swaps, clients, between = (20, 6, 50) if given.quick else (60, 8, 50)
    with tempfile.TemporaryDirectory() as home:
        base, adapters, expected = prepare(Path(home), 4)
        load, times, seconds = run(base, adapters, swaps, clients, between)
    wrong = sum(
        answer.adapter != version or answer.token_ids != expected[at, version]
        for at, version, answer in load.answers
    )
    milliseconds = sorted(step.swap_ms for step in times)
    report = {
        "figures": {
            "requests": len(load.answers) + load.dropped,
            "swaps": len(times),
            "dropped": load.dropped,
            "wrong": wrong,
            "swap_p95_ms": round(milliseconds[int(0.95 * (len(milliseconds) - 1))], 2),
            "swap_median_ms": round(statistics.median(milliseconds), 2),
            "load_median_ms": round(statistics.median(step.load_ms for step in times), 2),
            "probe_median_ms": round(statistics.median(step.probe_ms for step in times), 2),
            "drain_median_ms": round(statistics.median(step.drain_ms for step in times), 2),
            "requests_per_s": round(len(load.answers) / seconds, 1),
        },
        "conditions": {
            "model": "random Qwen3 of 1.9 M parameters, float32",
            "adapter": "LoRA rank 16 on all linear layers",
            "clients": clients,
            "tokens_per_answer": TOKENS,
            "cpus": os.cpu_count(),
            "load_average": round(os.getloadavg()[0], 1),
        },
    }
    print(json.dumps(report, indent=2))
    if given.json:
        given.json.write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
