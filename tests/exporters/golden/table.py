"""The form of a golden case."""

from pathlib import Path
from typing import NamedTuple

import msgspec
from runs_by_hand import build_run

from burnish.protocols import Verifier
from burnish.records import ToolRun, Trajectory, VerdictLabel

HERE = Path(__file__).parents[1]


class Case(NamedTuple):
    """A verifier, a run, and the label that it must get."""

    verifier: Verifier
    run: Trajectory
    label: VerdictLabel


def run_with(**fields):
    """Return run number 1 with other fields; the last reply holds the answer too."""
    run = build_run(1)
    if fields.get("answer") is not None:
        last = run.model_calls[-1]
        reply = {"role": "assistant", "parts": [{"type": "text", "content": fields["answer"]}]}
        calls = [*run.model_calls[:-1], msgspec.structs.replace(last, reply=reply)]
        fields = {"model_calls": calls, **fields}
    return msgspec.structs.replace(run, **fields)


def tool_run(result=None, name="shell", arguments=None):
    """A run of a tool that gave a result."""
    return ToolRun(span_id="t", parent_id=None, name=name, result=result, arguments=arguments)
