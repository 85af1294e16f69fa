"""Measure other tracers on the same work: 3 model and 3 tool calls of the same agent.

Each tracer runs in its own process, all in one environment that this script makes under
out/peers-venv (burnish does not depend on them). Content is captured, spans go through a batch
processor into an exporter that drops them; burnish writes its journal with its defaults, and, as
"burnish-shipping", also feeds such an exporter. Blocks with and without the tracer are interleaved,
except for OpenLLMetry: it cannot be switched off again, so its untraced blocks come first. The
tracers take turns several times, and each figure is the median over its turns, so that other work
on the machine affects all of them. A turn's figure is the difference of the lower quartiles of CPU
time, as in overhead.py.

    python benchmarks/capture/peers.py [--quick] [--json FILE]     all of them
    python benchmarks/capture/peers.py NAME [--quick]              one of them, one line of JSON
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
import _report
import overhead

ROOT = Path(__file__).parents[2]
VENV = ROOT / "out" / "peers-venv"
PACKAGES = {
    "opentelemetry-genai": "opentelemetry-instrumentation-genai-langchain==1.3b0",
    "openinference": "openinference-instrumentation-langchain==0.1.80",
    "openllmetry": "opentelemetry-instrumentation-langchain==0.62.4",
}
SHARED = ("langchain", "langchain-core", "langgraph", "pydantic", "opentelemetry-sdk", "msgspec")
TURNS = 3
CONTENT = {
    "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
}


class Tracer(NamedTuple):
    """Functions that switch a tracer on and off, and wrap a graph."""

    switch: Callable[[bool], None]
    wrap: Callable[[Any], Any] = lambda graph: graph
    stops: bool = True  # whether it can be switched off again


class Counted:
    """A span exporter that counts and drops."""

    def __init__(self) -> None:
        self.spans = 0

    def export(self, spans: Any) -> Any:
        """Drop the spans."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        self.spans += len(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Do nothing: no span is held."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Do nothing: no span is held."""
        return True


def provider(exporter: Counted) -> Any:
    """Return a tracer provider with the defaults of OpenTelemetry."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    made = TracerProvider()
    made.add_span_processor(BatchSpanProcessor(exporter))  # pyright: ignore[reportArgumentType]
    return made


def instrumentor(made: Any, exporter: Counted, *, stops: bool = True) -> Tracer:
    """Return a tracer that is an OpenTelemetry instrumentor."""
    spans_go_to = provider(exporter)

    def switch(on: bool) -> None:
        if on == made.is_instrumented_by_opentelemetry:
            return
        if on:
            made.instrument(tracer_provider=spans_go_to, skip_dep_check=True)
        else:
            made.uninstrument()

    return Tracer(switch, stops=stops)


def tracer(name: str, exporter: Counted) -> Tracer:
    """Return the tracer of that name."""
    if name == "opentelemetry-genai":
        os.environ.update(CONTENT)
        from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

        return instrumentor(LangChainInstrumentor(), exporter)
    if name == "openinference":
        from openinference.instrumentation.langchain import LangChainInstrumentor as OpenInference

        return instrumentor(OpenInference(), exporter)
    if name == "openllmetry":
        from opentelemetry.instrumentation.langchain import LangchainInstrumentor as OpenLlmetry

        return instrumentor(OpenLlmetry(), exporter, stops=False)
    import burnish

    if name == "burnish-shipping":
        burnish.configure(exporters=[exporter])
    unhooked = contextlib.ExitStack()

    def switch(on: bool) -> None:
        unhooked.close()
        if not on:
            unhooked.enter_context(overhead.unhooked())

    return Tracer(switch, wrap=lambda graph: burnish.wrap(graph, agent="adder"))


def pairs(
    way: Tracer, off: Callable[[], None], on: Callable[[], None], count: int
) -> list[tuple[float, float]]:
    """Return CPU seconds of untraced and traced blocks, in alternating order."""
    measured = []
    for turn in range(count):
        found = {}
        for traced in (False, True) if turn % 2 else (True, False):
            way.switch(traced)
            found[traced] = overhead.cpu_of(on if traced else off)
        measured.append((found[False], found[True]))
    return measured


def measure(name: str, quick: bool) -> dict[str, float]:
    """Return the added CPU time of one tracer, in milliseconds and percent of a run, and throughput."""
    exporter = Counted()
    graph = overhead.build()
    runs, count = (20, 4) if quick else (20, 8)
    plain = overhead.blocks(graph, runs, 50)
    way = tracer(name, exporter)
    if way.stops:
        return interleaved(way, graph, plain, count) | {"spans": float(exporter.spans)}
    before = {kind: repeated(block, counted(kind, count)) for kind, block in plain.items()}
    way.switch(True)
    after = {kind: repeated(block, counted(kind, count)) for kind, block in plain.items()}
    measured = {kind: list(zip(before[kind], after[kind], strict=True)) for kind in plain}
    return figures(measured, runs) | {"spans": float(exporter.spans)}


def interleaved(
    way: Tracer, graph: Any, plain: dict[str, Callable[[], None]], count: int
) -> dict[str, float]:
    """Return the figures of a tracer that can be switched on and off."""
    traced = overhead.blocks(way.wrap(graph), 20, 50)
    for kind in ("sync", "async"):
        pairs(way, plain[kind], traced[kind], 1)  # warm
    measured = {kind: pairs(way, plain[kind], traced[kind], counted(kind, count)) for kind in plain}
    return figures(measured, 20)


def counted(kind: str, count: int) -> int:
    """Return the number of blocks of a kind; those of 50 concurrent runs are longer."""
    return max(3, count // 3) if kind == "concurrent" else count


def repeated(block: Callable[[], None], count: int) -> list[float]:
    """Return the CPU seconds of each repetition of a block, after one warm-up."""
    block()
    return [overhead.cpu_of(block) for _ in range(count)]


def figures(measured: dict[str, list[tuple[float, float]]], runs: int) -> dict[str, float]:
    """Return the figures that overhead.py reports."""
    found: dict[str, float] = {}
    for kind in ("sync", "async"):
        found[f"{kind}_ms"], found[f"{kind}_percent"] = overhead.added(measured[kind], runs)
    off, on = ([pair[side] for pair in measured["concurrent"]] for side in (0, 1))
    found["concurrent_ratio"] = overhead.quartile(off) / overhead.quartile(on)
    return found


def ensure_environment() -> Path:
    """Return the interpreter that has the peers; make the environment if it is missing.

    Raises:
        SystemExit: If the peers cannot be installed.
    """
    python = VENV / "bin" / "python"
    wanted = [*(f"{name}=={version(name)}" for name in SHARED), *PACKAGES.values()]
    stamp = VENV / "peers.txt"
    if stamp.exists() and stamp.read_text() == "\n".join(wanted):
        return python
    print("making out/peers-venv ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    done = subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=False)
    if done.returncode:
        sys.exit("the peers cannot be installed; they come from PyPI")
    stamp.write_text("\n".join(wanted))
    return python


def run_one(python: Path, name: str, quick: bool) -> dict[str, float]:
    """Return the figures of one tracer from its own process.

    Raises:
        SystemExit: If the process fails.
    """
    with tempfile.TemporaryDirectory() as home:
        env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("OTEL_")},
            "PYTHONPATH": str(ROOT / "sdk"),
            "BURNISH_HOME": home,
        }
        command = [str(python), __file__, name, *(["--quick"] if quick else [])]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(quick: bool) -> tuple[dict[str, float], dict[str, Any]]:
    """Measure all tracers, and compare burnish with the best of the others."""
    python = ensure_environment()
    names = ("burnish", *PACKAGES, "burnish-shipping")
    turns = [
        {name: run_one(python, name, quick) for name in names} for _ in range(1 if quick else TURNS)
    ]
    found = {
        name: {key: statistics.median(turn[name][key] for turn in turns) for key in turns[0][name]}
        for name in names
    }
    best: dict[str, float] = {}
    for way in ("sync", "async"):
        best[f"burnish_{way}_ms"] = found["burnish"][f"{way}_ms"]
        best[f"peer_best_{way}_ms"] = min(found[name][f"{way}_ms"] for name in PACKAGES)
        best[f"share_of_best_{way}"] = best[f"burnish_{way}_ms"] / best[f"peer_best_{way}_ms"]
    best["burnish_concurrent_ratio"] = found["burnish"]["concurrent_ratio"]
    best["peer_best_concurrent_ratio"] = max(found[n]["concurrent_ratio"] for n in PACKAGES)
    rounded = {
        name: {key: round(value, 3) for key, value in one.items()} for name, one in found.items()
    }
    return best, {"tracers": rounded, "packages": list(PACKAGES.values())}


def main() -> None:
    parser = _report.options(__doc__)
    parser.add_argument("name", nargs="?", choices=(*PACKAGES, "burnish", "burnish-shipping"))
    chosen = parser.parse_args()
    if chosen.name is None:
        _report.tell(*compare(chosen.quick), chosen)
    elif Path(sys.prefix) == VENV:
        print(json.dumps(measure(chosen.name, chosen.quick)))
    else:  # called from the development environment
        print(json.dumps(run_one(VENV / "bin" / "python", chosen.name, chosen.quick)))


if __name__ == "__main__":
    main()
