"""Measure the cost of capture in long runs: CPU, stored bytes, and whether either grows faster than the run.

One agent run of S steps, each a tool call with a result of 2 kB. Every call sends all messages
before it, so a tracer that writes whole requests stores O(S^2) bytes.

    python benchmarks/capture/long_runs.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from overhead import added, pairs, quartile

ASK = {"messages": [("user", "read all pages")]}


def build(steps: int) -> Any:
    """Return an agent that reads a page of 2 kB a step."""
    from langchain.agents import create_agent
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool

    from burnish.testing import ScriptedChatModel

    @tool
    def read(page: int) -> str:
        """Read a page."""
        return f"page {page}: " + "".join(chr(97 + (page * 7 + i * i) % 26) for i in range(2000))

    def answer(messages: list[Any]) -> AIMessage:
        page = sum(message.type == "ai" for message in messages)
        if page == steps:
            return AIMessage("All pages are read.")
        call = {"name": "read", "args": {"page": page}, "id": f"call_{page}"}
        return AIMessage(f"I read page {page}.", tool_calls=[call])

    model = ScriptedChatModel(script=[answer], repeat=True)
    return create_agent(model, [read], system_prompt="You read.")


def stored(home: str) -> int:
    """Return the bytes of all segments."""
    return sum(path.stat().st_size for path in Path(home).rglob("*.seg"))


def run(graph: Any, steps: int) -> None:
    graph.invoke(ASK, {"recursion_limit": 3 * steps + 10})


def bytes_of(graph: Any, steps: int, home: str) -> int:
    from burnish.journal.writer import close_shared

    close_shared()
    before = stored(home)
    run(graph, steps)
    close_shared()
    return stored(home) - before


def measure(quick: bool, home: str) -> tuple[dict[str, float], dict[str, Any]]:
    import burnish

    figures: dict[str, float] = {}
    per_step: dict[int, tuple[float, float]] = {}
    for steps in (10, 50, 200):
        plain = build(steps)
        traced = burnish.wrap(plain, agent="reader")
        run(plain, steps), run(traced, steps)
        count = {10: 20, 50: 8, 200: 3}[steps] // (2 if quick else 1) or 1
        off, on = functools.partial(run, plain, steps), functools.partial(run, traced, steps)
        measured = pairs(off, on, max(2, count))
        extra = quartile([b for _, b in measured]) - quartile([a for a, _ in measured])
        size = bytes_of(traced, steps, home)
        per_step[steps] = (1000 * extra / steps, size / steps)
        if steps == 50:
            figures["cpu_percent_50"] = added(measured, 1)[1]
            figures["stored_mb_50"] = size / 1e6
    figures["growth_10_to_200"] = per_step[200][1] / per_step[10][1]
    figures["cpu_growth_10_to_200"] = per_step[200][0] / per_step[10][0]
    steps = {str(key): {"cpu_ms": cpu, "bytes": size} for key, (cpu, size) in per_step.items()}
    return figures, {"per_step": steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 50 s on 2 cores")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["BURNISH_HOME"] = home
        figures, conditions = measure(options.quick, home)
    conditions |= {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "quick": options.quick,
    }
    report = {"figures": {k: round(v, 3) for k, v in figures.items()}, "conditions": conditions}
    print(json.dumps(report, indent=2))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
