"""Measure the memory that burnish takes after set-up, and its growth over many runs.

Two processes run the same agent, one without burnish and one with it. Both warm up first. The
set-up is the gain in resident memory from `import burnish` to the end of the first recorded run.
The growth is the gain of the recorded runs over the unrecorded ones, per 10,000 runs; resident
memory is read after a garbage collection and after free pages were returned to the system.

    python benchmarks/capture/memory.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _report

ASK = {"messages": [("user", "what is 3 + 7?")]}
READINGS = 10
WARM = 300
FIRST_SEGMENT = 6_500  # runs that fill it
QUICK = {"BURNISH_SEGMENT_BYTES": "1000000"}  # filled after some 200 runs


def resident() -> int:
    """Return the resident memory in bytes."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def build() -> Any:
    """Return the agent of overhead.py, with a model that imports nothing of burnish."""
    from langchain.agents import create_agent
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration, ChatResult
    from langchain_core.tools import tool

    class Model(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "model"

        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self.bind(tools=[{"name": one.name} for one in tools])

        def _generate(
            self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
        ) -> ChatResult:
            turn = sum(message.type == "ai" for message in messages)
            calls = [
                {"name": "add", "args": {"a": turn, "b": number}, "id": f"c{turn}{number}"}
                for number in range(2 - turn)
            ]
            return ChatResult(
                generations=[ChatGeneration(message=AIMessage("go", tool_calls=calls))]
            )

    @tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    return create_agent(Model(), [add], system_prompt="You add numbers. " * 20)


def measure(traced: bool, runs: int, warm: int) -> dict[str, Any]:
    """Return megabytes after set-up and after settling, and the slope in megabytes per 10,000 runs."""
    graph = build()
    for _ in range(WARM):
        graph.invoke(ASK)
    before = resident()
    if traced:
        import burnish

        graph = burnish.wrap(graph, agent="adder")
    graph.invoke(ASK)
    set_up = resident() - before
    for _ in range(warm):
        graph.invoke(ASK)
    readings = [resident()]
    for _ in range(READINGS):
        for _ in range(runs // READINGS):
            graph.invoke(ASK)
        readings.append(resident())
    done = [place * (runs // READINGS) for place in range(READINGS + 1)]
    slope = statistics.linear_regression(done, readings).slope
    return {
        "set_up_mb": set_up / 1e6,
        "settled_mb": (statistics.median(readings) - before) / 1e6,
        "growth_mb": slope * 10_000 / 1e6,
        "readings_mb": [round((reading - readings[0]) / 1e6, 2) for reading in readings],
    }


def in_own_process(traced: bool, quick: bool) -> dict[str, Any]:
    """Run `measure` in a fresh process."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "BURNISH_HOME": home, **(QUICK if quick else {})}
        command = [sys.executable, __file__, "--measure", *(["--traced"] if traced else [])]
        command += ["--quick"] if quick else []
        done = subprocess.run(command, env=env, capture_output=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = _report.options(__doc__)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--traced", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    runs, warm = (1_000, WARM) if chosen.quick else (10_000, FIRST_SEGMENT)
    if chosen.measure:
        print(json.dumps(measure(chosen.traced, runs, warm)))
        return
    plain, traced = (in_own_process(traced, chosen.quick) for traced in (False, True))
    figures = {
        "set_up_mb": traced["set_up_mb"] - plain["set_up_mb"],
        "settled_mb": traced["settled_mb"] - plain["settled_mb"],
        "growth_mb_per_10000": traced["growth_mb"] - plain["growth_mb"],
    }
    _report.tell(figures, {"runs": runs, "untraced": plain, "traced": traced}, chosen)


if __name__ == "__main__":
    main()
