"""Pytest plugin that wraps every graph of another project's tests, and records the result of each test.

`benchmarks/reliability/suites.py` uses it; BURNISH_SUITES_WRAP says whether graphs are wrapped,
BURNISH_SUITES_RESULTS names the file of results.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

_results: dict[str, str] = {}


def pytest_configure() -> None:
    """Wrap the functions that make graphs, before the tests are imported."""
    if os.environ.get("BURNISH_SUITES_WRAP") == "1":
        _wrap_graphs()


def _wrap_graphs() -> None:
    from langgraph.func import entrypoint
    from langgraph.graph import StateGraph
    from langgraph.pregel import Pregel
    from langgraph.pregel.remote import RemoteGraph

    import burnish
    from burnish.capture import faults

    faults.set_raising(True)
    compiled = StateGraph.compile
    made = entrypoint.__call__

    @functools.wraps(compiled)
    def compile_wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return burnish.wrap(compiled(self, *args, **kwargs), agent="suite")

    @functools.wraps(made)
    def make_wrapped(self: Any, func: Any) -> Any:
        return burnish.wrap(made(self, func), agent="suite")

    setattr(StateGraph, "compile", compile_wrapped)  # noqa: B010 - their types are exact
    setattr(entrypoint, "__call__", make_wrapped)  # noqa: B010
    for kind in (Pregel, RemoteGraph):
        _wrap_instances(kind, burnish.wrap)


def _wrap_instances(kind: type, wrap: Any) -> None:
    """Give each instance that is made by its class itself the class that records."""
    started = kind.__init__

    @functools.wraps(started)
    def start_wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        started(self, *args, **kwargs)
        if type(self) is kind:
            object.__setattr__(self, "__class__", type(wrap(self, agent="suite")))

    kind.__init__ = start_wrapped  # pyright: ignore[reportAttributeAccessIssue]


def pytest_runtest_logreport(report: Any) -> None:
    """Keep the worst of a test's three phases."""
    said = report.outcome
    if getattr(report, "wasxfail", None) is not None:
        said = f"x{said}"
    if report.failed:
        lines = str(report.longrepr).strip().splitlines()
        said = f"failed: {lines[-1][:300] if lines else ''}"
    if report.when == "call" or said != "passed":
        _results[report.nodeid] = said


def pytest_sessionfinish() -> None:
    """Write the results; of several processes, only the one that collects them writes."""
    path = os.environ.get("BURNISH_SUITES_RESULTS")
    if path and "PYTEST_XDIST_WORKER" not in os.environ:
        Path(path).write_text(json.dumps(_results, indent=0, sort_keys=True))
