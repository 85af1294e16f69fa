"""Send mutated requests to `burnish serve` on the loopback and check that it still answers.

    python benchmarks/reliability/fuzz_serve.py --requests 2000 --seed 1

Counts answers by status, requests without an answer, and the slowest answer of /health meanwhile. It
ends with 1 if a request had no answer or 500, or if the server does not answer a good one at the end.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from burnish.serving.embedded.engine import Engine
from burnish.serving.embedded.tiny import make_model
from burnish.serving.http.server import make_app, running

PATHS = ["/v1/chat/completions"] * 4 + ["/v1/completions"] * 3 + ["/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/models", "/nowhere"]  # fmt: skip
KEYS = ["messages", "prompt", "model", "max_tokens", "temperature", "top_p", "stop", "stream", "stream_options",
        "logprobs", "n", "tools", "tool_choice", "seed", "max_completion_tokens", "lora_name", "lora_path",
        "return_token_ids", "response_format", "user"]  # fmt: skip
LEAVES: list[Any] = [None, True, False, 0, 1, -1, 1.5, 2**70, 1e300, "", "x", "\x00", "é\u2028", "a" * 5000, [], {},
                     [[]], [1, 2, 3], [-1], [10, 11], ["a"] * 9, {"a": 1}]  # fmt: skip
RAW = ["[" * 50_000, '{"messages": 1e999}', '{"a": "\\ud800"}', "NaN", "", "{", '"x"', "\ufeff{}", '{"a":1}{"b":2}']  # fmt: skip


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=2000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    logging.disable(logging.CRITICAL)
    draw = random.Random(given.seed)
    answers: Counter[str] = Counter()
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        base = make_model(Path(folder) / "tiny")
        engine = Engine(base)
        with running(make_app(base, engine=engine)) as url, httpx.Client(timeout=60) as client:
            watch = Watch(url)
            for _ in range(given.requests):
                path, body = draw.choice(PATHS), body_of(draw)
                status = send(client, f"{url}{path}", body)
                answers[status] += 1
                if status in ("500", "no answer"):
                    failed.append(f"{status} {path} {body[:200]!r}")
            slowest = watch.end()
            last = send(client, f"{url}/v1/completions", b'{"prompt": [10, 11], "max_tokens": 2}')
        engine.close()
    figures = {
        "requests": given.requests, "answers": dict(sorted(answers.items())),
        "slowest_health_s": round(slowest, 2), "good_request_at_the_end": last, "failed": failed[:5],
    }  # fmt: skip
    print(json.dumps(figures, indent=2))
    return 1 if failed or last != "200" else 0


class Watch:
    """Asks /health continuously and keeps the longest wait."""

    def __init__(self, url: str) -> None:
        self._url, self._ended, self._slowest = url, threading.Event(), 0.0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        with httpx.Client(timeout=60) as client:
            while not self._ended.wait(0.05):
                started = time.perf_counter()
                client.get(f"{self._url}/health")
                self._slowest = max(self._slowest, time.perf_counter() - started)

    def end(self) -> float:
        self._ended.set()
        self._thread.join()
        return self._slowest


def send(client: httpx.Client, url: str, body: bytes) -> str:
    try:
        kind = {"content-type": "application/json"}
        return str(client.post(url, content=body, headers=kind).status_code)
    except httpx.HTTPError:
        return "no answer"


def body_of(draw: random.Random) -> bytes:
    if draw.random() < 0.05:
        return draw.choice(RAW).encode()
    hello = [{"role": "user", "content": "hi"}]
    base: dict[str, Any] = draw.choice([
        {"messages": hello, "max_tokens": 2}, {"prompt": [10, 11], "max_tokens": 1}, {"prompt": "hi", "max_tokens": 1},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]},
        {"lora_name": "x", "lora_path": "/nowhere"}, {},
    ])  # fmt: skip
    body = base | {key: value(draw) for key in draw.sample(KEYS, draw.choice([0, 1, 1, 2, 4]))}
    if body.get("max_tokens", 9) not in (1, 2) and draw.random() < 0.8:
        body["max_tokens"] = 2  # long answers are not the point
    content = json.dumps(body).encode()
    if draw.random() < 0.2:
        at = draw.randrange(len(content))
        content = content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :]
    return content


def value(draw: random.Random, depth: int = 0) -> Any:
    if depth < 3 and draw.random() < 0.3:
        return [value(draw, depth + 1) for _ in range(draw.randint(0, 3))]
    if depth < 3 and draw.random() < 0.3:
        keys = ["role", "content", "parts", "type", "tool_calls", "function", "name", "arguments"]
        return {key: value(draw, depth + 1) for key in draw.sample(keys, draw.randint(0, 3))}
    return draw.choice(LEAVES)


if __name__ == "__main__":
    sys.exit(main())
