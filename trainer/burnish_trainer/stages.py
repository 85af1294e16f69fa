"""Run the stages of a retrain: each leaves a receipt, and a finished stage with the same inputs is not repeated.

`open_run` finds the unfinished run or starts a new one:

    home/runs/retrain-support-0003/
      run.json               agent, settings, start time; `ended` once it is complete
      stages/dataset.json    hash of the stage's inputs, its output, seconds
      report.json            the RetrainReport
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.files.storage import make_private_folder
from burnish.journal.events import canonical
from burnish_trainer import console
from burnish_trainer.run.storage import write_json

Json = Any


@dataclass
class Stages:
    """The stages of one run, in order.

    Attributes:
        folder: Folder of the run.
        done: Finished stages: name, status, seconds, reused or not.
    """

    folder: Path
    done: list[dict[str, Json]] = field(default_factory=list)

    @property
    def run_id(self) -> str:
        """Return the name of the run."""
        return self.folder.name

    def do(self, name: str, inputs: Json, work: Callable[[], Json]) -> Json:
        """Run a stage, or return its earlier output for the same inputs.

        Args:
            name: Name of the stage.
            inputs: Plain data that decides the result.
            work: Runs the stage and returns plain data.
        """
        digest = hashlib.sha256(canonical(inputs)).hexdigest()
        path = self.folder / "stages" / f"{name}.json"
        receipt = _read_receipt(path)
        if receipt.get("inputs_sha256") == digest:
            console.say("[bold]{}[/] [dim]is already done[/]", name)
            self._note(name, receipt["seconds"], reused=True)
            return receipt["output"]
        console.say("[bold]{}[/]", name)
        started = time.monotonic()
        output = work()
        seconds = round(time.monotonic() - started, 3)
        make_private_folder(path.parent)
        write_json(path, {"inputs_sha256": digest, "output": output, "seconds": seconds})
        self._note(name, seconds, reused=False)
        return output

    def end(self, report: Json) -> None:
        """Write the report and close the run."""
        write_json(self.folder / "report.json", report)
        run = _read_receipt(self.folder / "run.json")
        write_json(self.folder / "run.json", {**run, "ended": time.time()})

    def _note(self, name: str, seconds: float, *, reused: bool) -> None:
        self.done.append({"name": name, "status": "done", "seconds": seconds, "reused": reused})


def open_run(home: Path, agent: str, settings: Json) -> Stages:
    """Open the agent's unfinished run with these settings, or a new one.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        settings: Everything that the run depends on, as plain data.
    """
    digest = hashlib.sha256(canonical(settings)).hexdigest()
    prefix = f"retrain-{agent}-"
    known = sorted((home / "runs").glob(f"{prefix}[0-9]*"), key=_receipt_number)
    for folder in reversed(known):
        run = _read_receipt(folder / "run.json")
        if run.get("settings_sha256") == digest and "ended" not in run:
            console.say("continuing [bold]{}[/]", folder.name)
            return Stages(folder)
    folder = home / "runs" / f"{prefix}{(_receipt_number(known[-1]) if known else 0) + 1:04d}"
    make_private_folder(folder)
    facts = {"agent": agent, "began": time.time(), "settings": settings, "settings_sha256": digest}
    write_json(folder / "run.json", facts)
    return Stages(folder)


def _receipt_number(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _read_receipt(path: Path) -> dict[str, Json]:
    """Read a JSON object; empty if the file is missing or incomplete."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
