"""Check that requests come back from the journal byte for byte, over random conversations.

Messages of any kind and content, tools, tool choice, response format and parameters are generated
by hypothesis; an agent changes its messages between calls; one conversation in fifty has hundreds
of messages. All is recorded into a journal on disk, read again, and compared as canonical JSON.

    python benchmarks/capture/exactness.py [--quick] [--json FILE] [--requests N]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, given, seed, settings

import burnish

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "sdk" / "capture"))
from scenarios import exactness

REQUESTS, QUICK = 10_000, 1_000
LONG_EVERY = 50
SEED = 20261121


class Asked(NamedTuple):
    """Digest and size of a request; the request itself is not kept."""

    digest: bytes
    size: int
    messages: int


def asked(request: bytes) -> Asked:
    digest = hashlib.blake2b(request, digest_size=16).digest()
    return Asked(digest, len(request), len(json.loads(request)[0]))


def record(wanted: int) -> list[Asked]:
    """Hold conversations until so many requests were made; return the requests that the model received."""
    really: list[Asked] = []
    draw = random.Random(SEED)

    @seed(SEED)
    @settings(
        max_examples=wanted,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(exactness.conversations)
    def talk(conversation):
        if len(really) >= wanted:
            return
        given_messages, options, steps, value = conversation
        if draw.randrange(LONG_EVERY) == 0:
            given_messages = given_messages * (1_000 // len(given_messages))
        really.extend(map(asked, exactness.hold((given_messages, options, steps, value))))

    while len(really) < wanted:
        talk()
    return really


def main() -> None:
    """Record, read back, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--requests", type=int)
    args = parser.parse_args()
    wanted = args.requests or (QUICK if args.quick else REQUESTS)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        burnish.configure(home=Path(folder))
        really = record(wanted)
        burnish.flush(60)
        stored = list(map(asked, exactness.rebuilt_from(Path(folder))))
        size = sum(path.stat().st_size for path in Path(folder).glob("journal/*/*.seg"))
    figures = {
        "requests": len(really),
        "rebuilt": len(stored),
        "different": sum(a != b for a, b in zip(really, stored, strict=False)),
        "largest_messages": max(request.messages for request in really),
        "asked_bytes": sum(request.size for request in really),
        "stored_bytes": size,
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(figures, indent=2))
    if args.json:
        conditions = {"python": platform.python_version(), "machine": platform.machine()}
        args.json.write_text(json.dumps({"figures": figures, "conditions": conditions}))
    if figures["different"] or len(really) != len(stored):
        sys.exit("some requests were not rebuilt exactly")


if __name__ == "__main__":
    main()
