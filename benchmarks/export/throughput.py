"""Measure how many spans per CPU second become written rows, from 4 to 64 model calls per run.

Runs are written to a journal as capture writes them (a node, a model call, a node and a tool run
per step), read back as spans, and then measured: assembly, verification by reported outcomes,
curation, Parquet. Redaction is measured apart and its share reported: each distinct text is scanned
once. `stored_ratio` compares the version's folder with the unique text of its runs.

    python benchmarks/export/throughput.py [--quick] [--json FILE] [--profile CALLS]
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import os
import platform
import pstats
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

AGENT = "throughput"
SIZES = (4, 16, 64)
WORDS = [
    "order",
    "parcel",
    "street",
    "invoice",
    "total",
    "refund",
    "city",
    "warehouse",
    "ticket",
    "customer",
    "delay",
    "price",
]

TOOLS = [
    {
        "type": "function",
        "name": name,
        "description": f"The tool {name} of the desk, with a description of the usual length.",
        "parameters": {
            "type": "object",
            "properties": {"order": {"type": "integer"}, "reason": {"type": "string"}},
            "required": ["order"],
        },
    }
    for name in ("find_order", "list_orders", "cancel_order")
]


def sentence(*seeds: int) -> str:
    """Return about 120 characters that depend on the seeds."""
    state = hash(seeds) & 0xFFFFFFFF
    words = [WORDS[(state >> (2 * n)) % len(WORDS)] for n in range(14)]
    return f"{' '.join(words)} {'-'.join(map(str, seeds))}."


def write_runs(home: Path, runs: int, calls: int) -> int:
    """Write runs to a journal; return the bytes of their unique text."""
    from burnish.journal import events as e
    from burnish.journal.writer import JournalWriter

    writer = JournalWriter(home)
    unique: dict[bytes, int] = {}

    def put(value: Any, blobs: dict[bytes, bytes]) -> bytes:
        data = e.canonical(value)
        ref = e.ref_of(data)
        blobs[ref] = data
        unique[ref] = len(data)
        return ref

    for run in range(runs):
        at = 10**18 + run * 10**9
        one = Run(f"{run:032x}", run, calls)
        for event, blobs in one.events(at, put):
            writer.append(event, blobs)
    writer.flush(30)
    writer.close()
    return sum(unique.values())


class Run:
    """The events of one run."""

    def __init__(self, trajectory: str, number: int, calls: int) -> None:
        self.id, self.number, self.calls = trajectory, number, calls
        self._span = 0

    def span(self) -> str:
        """Return a new span id."""
        self._span += 1
        return f"{self.number:08x}{self._span:08x}"

    def events(self, at: int, put: Any) -> Iterator[tuple[Any, dict[bytes, bytes]]]:
        """Yield all events that capture would write, in order."""
        from burnish.journal import events as e

        root, blobs = self.span(), {}
        trace = self.id
        yield e.RunStarted(at=at, trajectory=self.id, span=root, trace=trace, agent=AGENT), {}
        tools = put(TOOLS, blobs)
        refs = [
            put(_text("system", "You work at a desk. " + sentence(0)), blobs),
            put(_text("user", "Please help: " + sentence(self.number)), blobs),
        ]
        for step in range(self.calls):
            at += 1000
            last = step == self.calls - 1
            node, model = self.span(), self.span()
            yield _node(self.id, node, root, at), {}
            yield (
                e.ModelStarted(at=at + 1, trajectory=self.id, span=model, parent=node,
                               messages=list(refs), tools=tools, model="tiny"),
                blobs,
            )  # fmt: skip
            call_id = f"call_{self.number}_{step}"
            reply = put(_reply(self.number, step, None if last else call_id), blobs := {})
            yield e.ModelEnded(at=at + 2, trajectory=self.id, span=model, reply=reply), blobs
            yield e.NodeEnded(at=at + 3, trajectory=self.id, span=node), {}
            if not last:
                refs.append(reply)
                blobs = {}
                yield from self._tool(at + 4, root, (call_id, step), (put, blobs, refs))
        yield (
            e.RunEnded(at=at + 9, trajectory=self.id, span=root, status="completed", answer="done"),
            {},
        )
        yield e.OutcomeReported(at=at + 10, source="crm", trajectory=self.id, success=True), {}

    def _tool(
        self, at: int, root: str, call: tuple[str, int], store: Any
    ) -> Iterator[tuple[Any, dict[bytes, bytes]]]:
        from burnish.journal import events as e

        (call_id, step), (put, blobs, refs) = call, store
        node, tool = self.span(), self.span()
        arguments = put({"order": step, "reason": sentence(step, self.number)}, blobs)
        yield _node(self.id, node, root, at), {}
        yield (
            e.ToolStarted(at=at + 1, trajectory=self.id, span=tool, parent=node, name="find_order",
                          call_id=call_id, arguments=arguments),
            dict(blobs),
        )  # fmt: skip
        response = sentence(9, self.number, step)
        result = put({"response": response}, blobs)
        yield e.ToolEnded(at=at + 2, trajectory=self.id, span=tool, result=result), dict(blobs)
        yield e.NodeEnded(at=at + 3, trajectory=self.id, span=node), {}
        part = {"type": "tool_call_response", "id": call_id, "response": response}
        refs.append(put({"role": "tool", "parts": [part]}, blobs))


def _node(trajectory: str, span: str, parent: str, at: int) -> Any:
    from burnish.journal import events as e

    return e.NodeStarted(at=at, trajectory=trajectory, span=span, parent=parent, name="node")


def _text(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def _reply(number: int, step: int, call_id: str | None) -> dict[str, Any]:
    message = _text("assistant", sentence(number, step))
    if call_id:
        arguments = {"order": step, "reason": sentence(step, number)}
        call = {"type": "tool_call", "id": call_id, "name": "find_order", "arguments": arguments}
        message["parts"].append(call)
    return message


class Spans:
    """Spans in memory, as a source."""

    def __init__(self, spans: list[Any]) -> None:
        self._spans = spans

    def spans(self, since_ns: int | None = None) -> Iterable[Any]:
        """Return all spans."""
        del since_ns
        return iter(self._spans)


def _freeze_objects() -> None:
    """Keep what is in memory out of the collector's passes, whose number is a matter of chance."""
    gc.collect()
    gc.freeze()


def build(source: Any, home: Path, redact: str) -> tuple[float, Any]:
    """Return CPU seconds of one build, and the version."""
    from burnish_exporters import BuildOptions, build_dataset

    _freeze_objects()
    start = time.process_time()
    version = build_dataset(
        source,
        agent=AGENT,
        verify=["outcome"],
        recipe={"redact": redact},
        options=BuildOptions(home=home / f"datasets-{redact}", key=b"key"),
    )
    return time.process_time() - start, version


def measure(calls: int, runs: int) -> dict[str, float]:
    """Return the figures of one size."""
    from burnish.workspace import Workspace

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        unique_bytes = write_runs(home, runs, calls)
        workspace = Workspace(home)
        _freeze_objects()
        start = time.process_time()
        spans = list(workspace.spans())
        reading = time.process_time() - start
        plain, version = build(Spans(spans), home, "none")
        redacted, _ = build(Spans(spans), home, "structured")
        stored = sum(p.stat().st_size for p in version.path.rglob("*") if p.is_file())
        rows = sum(version.manifest.rows.values())
        if rows != runs:
            raise SystemExit(f"{rows} rows of {runs} runs: the benchmark is wrong")
        return {
            f"spans_per_cpu_s_{calls}": len(spans) / plain,
            f"with_redaction_{calls}": len(spans) / redacted,
            f"from_journal_{calls}": len(spans) / (plain + reading),
            f"stored_ratio_{calls}": stored / unique_bytes,
        }


def options(story: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=story)
    parser.add_argument("--quick", action="store_true", help="under 50 s on 2 cores")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser


def tell(figures: dict[str, float], path: Path | None, **conditions: Any) -> None:
    """Print the figures, and write them to a file with the conditions."""
    for name, value in figures.items():
        print(f"{name:24} {value:,}")
    machine = {
        "python": platform.python_version(), "cpus": os.cpu_count(), "load": os.getloadavg()[0]
    }  # fmt: skip
    if path:
        path.write_text(json.dumps({"figures": figures, "conditions": {**machine, **conditions}}))


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--profile", type=int, help="show where the time goes for so many calls")
    chosen = parser.parse_args()
    import pyarrow.parquet  # noqa: F401 - its import is not part of the work

    total = 4_000 if chosen.quick else 16_000
    measure(4, 20)
    if chosen.profile:
        profiler = cProfile.Profile()
        profiler.runcall(measure, chosen.profile, total // chosen.profile)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)
        return
    figures: dict[str, float] = {}
    for calls in SIZES:
        figures |= measure(calls, max(20, total // calls))
    figures = {name: round(value, 2) for name, value in figures.items()}
    tell(figures, chosen.json, model_calls=total)


if __name__ == "__main__":
    main()
