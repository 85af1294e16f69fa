"""Measure the cost of capture: CPU of one run of 3 model and 3 tool calls, and throughput of 50 concurrent runs.

Traced and untraced blocks of 100 runs (20 with --quick) alternate in one process; the figure is the
difference of the lower quartiles of both, because other work on the machine only adds time. CPU
time is that of the whole process, the journal's own thread included. The model answers from a
script without latency, so all measured time is Python. In untraced blocks the handler is removed
from langchain-core's list, as if burnish had never been imported. peers.py measures other tracers.

    python benchmarks/capture/overhead.py [--quick] [--json FILE] [--profile]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import gc
import json
import os
import platform
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ASK = {"messages": [("user", "what is 3 + 7?")]}


def build() -> Any:
    """Return the agent: three model calls, two tools at once and one more."""
    from langchain.agents import create_agent
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool

    from burnish.testing import ScriptedChatModel

    @tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @tool
    def multiply(a: int, b: int) -> int:
        """Multiply two numbers."""
        return a * b

    def call(a: int, b: int, number: int) -> dict[str, Any]:
        return {"name": "add", "args": {"a": a, "b": b}, "id": f"call_{number}"}

    script = [
        AIMessage("I add both pairs.", tool_calls=[call(1, 2, 1), call(3, 4, 2)]),
        AIMessage("Now the sums.", tool_calls=[call(3, 7, 3)]),
        AIMessage("The sum of the sums is ten."),
    ]

    def answer(messages: list[Any]) -> AIMessage:
        return script[sum(message.type == "ai" for message in messages)]

    model = ScriptedChatModel(script=[answer], repeat=True)
    return create_agent(model, [add, multiply], system_prompt="You add numbers. " * 20)


@contextlib.contextmanager
def unhooked() -> Iterator[None]:
    """Remove burnish's handler inside the block."""
    from langchain_core.tracers import context

    hooks = context._configure_hooks  # noqa: SLF001 - there is no way to take one off
    before = list(hooks)
    hooks[:] = [hook for hook in before if hook[0].name != "burnish_handler"]
    try:
        yield
    finally:
        hooks[:] = before


def cpu_of(run: Callable[[], None]) -> float:
    gc.collect()
    before = time.process_time()
    run()
    return time.process_time() - before


def pairs(off: Callable[[], None], on: Callable[[], None], count: int) -> list[tuple[float, float]]:
    """Return CPU seconds of untraced and traced blocks, in alternating order."""
    measured = []
    for turn in range(count):
        found = {}
        for traced in (False, True) if turn % 2 else (True, False):
            if traced:
                found[traced] = cpu_of(on)
            else:
                with unhooked():
                    found[traced] = cpu_of(off)
        measured.append((found[False], found[True]))
    return measured


def added(measured: list[tuple[float, float]], runs: int) -> tuple[float, float]:
    """Return the added milliseconds a run, and the addition in percent of the untraced run."""
    base = quartile([off for off, _ in measured])
    extra = quartile([on for _, on in measured]) - base
    return 1000 * extra / runs, 100 * extra / base


def quartile(values: list[float]) -> float:
    """Return the lower quartile."""
    return statistics.quantiles(values, n=4, method="inclusive")[0]


def blocks(graph: Any, runs: int, width: int) -> dict[str, Callable[[], None]]:
    def sync() -> None:
        for _ in range(runs):
            graph.invoke(ASK)

    async def in_turn() -> None:
        for _ in range(runs):
            await graph.ainvoke(ASK)

    async def at_once() -> None:
        await asyncio.gather(*(graph.ainvoke(ASK) for _ in range(width)))

    return {
        "sync": sync,
        "async": lambda: asyncio.run(in_turn()),
        "concurrent": lambda: asyncio.run(at_once()),
    }


def measure(quick: bool) -> tuple[dict[str, float], dict[str, Any]]:
    import burnish

    graph = build()
    traced = burnish.wrap(graph, agent="adder")
    runs, count = (20, 8) if quick else (100, 16)
    plain, recorded = blocks(graph, runs, 50), blocks(traced, runs, 50)
    for block in (plain["sync"], recorded["sync"], plain["async"], recorded["async"]):
        block()
    figures: dict[str, float] = {}
    bases = {}
    for way in ("sync", "async"):
        measured = pairs(plain[way], recorded[way], count)
        figures[f"{way}_ms"], figures[f"{way}_percent"] = added(measured, runs)
        bases[f"untraced_{way}_ms"] = 1000 * quartile([off for off, _ in measured]) / runs
    measured = pairs(plain["concurrent"], recorded["concurrent"], max(3, count // 3))
    untraced, traced_s = ([pair[side] for pair in measured] for side in (0, 1))
    figures["concurrent_ratio"] = quartile(untraced) / quartile(traced_s)
    control = pairs(plain["sync"], plain["sync"], max(3, count // 3))
    bases["control_ms"] = added(control, runs)[0]
    return figures, {"runs_per_block": runs, "pairs": count, **bases}


def profile() -> None:
    """Profile traced runs and print the most expensive functions."""
    import burnish

    graph = burnish.wrap(build(), agent="adder")
    for _ in range(50):
        graph.invoke(ASK)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(60):
        graph.invoke(ASK)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats("burnish|blake2b|marshal|writev", 45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 50 s on 2 cores")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["BURNISH_HOME"] = home
        if options.profile:
            profile()
            return
        figures, conditions = measure(options.quick)
    conditions |= {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "quick": options.quick,
    }
    report = {
        "figures": {name: round(value, 3) for name, value in figures.items()},
        "conditions": conditions,
    }
    print(json.dumps(report, indent=2))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
