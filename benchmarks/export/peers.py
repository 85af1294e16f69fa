"""Export the audit fixture with burnish and with three peers, and count with the same auditor.

Agent, tools, script and the 20 requests are the same; each peer captures and exports with its own
means into rows of chat messages (MLflow has no export, so a converter was written by hand). Counted
are: rows, rows from runs that failed, rows with an e-mail address left, exact repeats, rows that
are the beginning of another row, rows that OpenAI's own types refuse.

Peers live in their own virtual environments under out/peers/, made at first use (about 900 MB each,
and a network). A peer that cannot be installed is left out and named.

    python benchmarks/export/peers.py [--quick] [--json FILE] [--peer NAME ...]

--quick counts burnish alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import audit

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "out" / "peers"
COMMON = ["langchain==1.4.7", "langchain-openai", "langgraph"]
PEERS = {
    "agentlightning": ["agentlightning==0.3.0"],
    "mlflow": ["mlflow==3.17.2"],
    "phoenix": ["arize-phoenix==20.26.1", "arize-phoenix-otel", "openinference-instrumentation-langchain"],
}  # fmt: skip
_INSTALL_S, _RUN_S = 1800, 600
Row = dict[str, Any]


class Missing(RuntimeError):
    """A peer that could not be installed or run."""


def burnish_rows() -> list[Row]:
    """Return the rows of burnish, in OpenAI's form."""
    import burnish
    from burnish_exporters import build_dataset

    with tempfile.TemporaryDirectory() as home:
        burnish.configure(home=home)
        audit.capture_runs()
        version = build_dataset(burnish.Workspace(), agent=audit.AGENT, verify=["outcome"])
        return list(version.export("openai"))


def peer_rows(name: str) -> list[Row]:
    """Return the rows of a peer, made in its own environment.

    Raises:
        Missing: If it cannot be installed, or does not run.
    """
    python = _environment(name)
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "BURNISH_"))
    }
    ran = _quietly([str(python), str(HERE / f"_peers_{name}.py")], _RUN_S, clean)
    return [json.loads(line[4:]) for line in ran.splitlines() if line.startswith("ROW ")]


def _environment(name: str) -> Path:
    """Return the Python of a peer's environment; make the environment if it is missing."""
    folder = OUT / name
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        OUT.mkdir(parents=True, exist_ok=True)
        _quietly([sys.executable, "-m", "venv", str(folder)], _INSTALL_S)
        _quietly([str(python), "-m", "pip", "install", "-q", *PEERS[name], *COMMON], _INSTALL_S)
        done.touch()
    return python


def _quietly(command: list[str], limit_s: int, environment: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(  # there, since one of them leaves a log where it runs
            command, cwd=OUT, env=environment, capture_output=True, text=True, timeout=limit_s, check=False
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Missing(f"{command[0]}: {problem}") from problem
    if done.returncode:
        raise Missing((done.stderr.strip().splitlines() or ["no message"])[-1])
    return done.stdout


def count(rows: list[Row]) -> dict[str, int]:
    """Return the auditor's counts of rows."""
    talks = [[_plain(message) for message in row["messages"]] for row in rows]
    written = [json.dumps(talk) for talk in talks]
    steps = [[json.dumps(_act(message)) for message in talk] for talk in talks]
    beginnings = {tuple(talk[:end]) for talk in steps for end in range(1, len(talk))}
    return {
        "rows": len(rows),
        "from_failures": sum("wrong list" in text for text in written),
        "with_email": sum(bool(audit.ADDRESS.search(text)) for text in written),
        "duplicates": len(rows) - len(set(written)),
        "prefixes": sum(tuple(talk) in beginnings for talk in steps),
        "invalid_for_openai": sum(not _valid(row) for row in rows),
    }


def _plain(message: Row) -> Row:
    """Return a message without empty values and without the ids of calls."""
    kept = {
        key: value
        for key, value in message.items()
        if value and key not in ("id", "tool_call_id", "weight")
    }
    if "tool_calls" in kept:
        kept["tool_calls"] = [call["function"] for call in kept["tool_calls"]]
    return kept


def _act(message: Row) -> Row:
    """Return a message without the text beside a call, which one peer drops from history."""
    return {k: v for k, v in message.items() if k != "content" or "tool_calls" not in message}


def _valid(row: Row) -> bool:
    from burnish.errors import ExportError
    from burnish_exporters.formats import find_format

    try:
        find_format("openai").check(row)
    except ExportError:
        return False
    return True


def main() -> None:
    """Count burnish and its peers, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="burnish alone")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--peer", action="append", choices=PEERS, help="only these peers")
    options = parser.parse_args()
    makers: dict[str, Callable[[], list[Row]]] = {"burnish": burnish_rows}
    for name in [] if options.quick else options.peer or PEERS:
        makers[name] = lambda name=name: peer_rows(name)
    figures: dict[str, Any] = {}
    for name, make in makers.items():
        start = time.monotonic()
        try:
            found = count(make())
        except Missing as reason:
            print(f"{name:16} left out: {reason}")
            continue
        seconds = round(time.monotonic() - start, 1)
        figures |= {f"{name}_{what}": number for what, number in found.items()}
        print(
            f"{name:16} "
            + "  ".join(f"{what} {n}" for what, n in found.items())
            + f"  ({seconds} s)"
        )
    if options.json:
        conditions = {"python": platform.python_version(), "runs": audit.RUNS, "calls": audit.CALLS,
                      "peers": {name: PEERS[name][0] for name in PEERS if f"{name}_rows" in figures}}  # fmt: skip
        options.json.write_text(json.dumps({"figures": figures, "conditions": conditions}))


if __name__ == "__main__":
    main()
