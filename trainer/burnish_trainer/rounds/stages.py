"""Run the stages of a retrain: each leaves a receipt, and a finished stage with the same inputs is not repeated.

`open_run` finds the unfinished run or starts a new one:

    home/runs/retrain-support-0003/
      run.json               agent, settings, start time; `ended` once it is complete, `failed` after an error
      stages/dataset.json    hash of the stage's inputs, its output, seconds
      report.json            the RetrainReport
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
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

    def do(
        self,
        name: str,
        inputs: Json,
        work: Callable[[], Json],
        *,
        still_valid: Callable[[Json], bool] | None = None,
    ) -> Json:
        """Run a stage, or return its earlier output for the same inputs.

        Args:
            name: Name of the stage.
            inputs: Plain data that decides the result.
            work: Runs the stage and returns plain data.
            still_valid: Lets an earlier run of the agent give its output for the same inputs, if this function
                accepts it; None repeats the stage in each run.
        """
        digest = hash_inputs(inputs)
        path = self.folder / "stages" / f"{name}.json"
        receipt = read_receipt(path)
        if receipt.get("inputs_sha256") != digest and still_valid is not None:
            receipt = self._find_earlier(name, digest, still_valid) or receipt
            if receipt.get("inputs_sha256") == digest:
                self._write_receipt(path, receipt)
        if receipt.get("inputs_sha256") == digest:
            console.say("[bold]{}[/] [dim]is already done[/]", name)
            self._note(name, receipt["seconds"], reused=True)
            return receipt["output"]
        console.say("[bold]{}[/]", name)
        started = time.monotonic()
        output = work()
        seconds = round(time.monotonic() - started, 3)
        self._write_receipt(
            path, {"inputs_sha256": digest, "output": output, "seconds": seconds, "at": time.time()}
        )
        self._note(name, seconds, reused=False)
        return output

    def end(self, report: Json) -> None:
        """Write the report and close the run."""
        write_json(self.folder / "report.json", report)
        run = self._read_run()
        run.pop("failed", None)
        write_json(self.folder / "run.json", {**run, "ended": time.time()})

    def fail(self, stage: str, error: str) -> None:
        """Record that a stage failed; the same call continues there."""
        failed = {"stage": stage, "error": error, "at": time.time()}
        write_json(self.folder / "run.json", {**self._read_run(), "failed": failed})

    def _read_run(self) -> dict[str, Json]:
        return read_receipt(self.folder / "run.json")

    def _write_receipt(self, path: Path, receipt: dict[str, Json]) -> None:
        make_private_folder(path.parent)
        write_json(path, receipt)

    def _find_earlier(
        self, name: str, digest: str, still_valid: Callable[[Json], bool]
    ) -> dict[str, Json] | None:
        """Return the receipt of an earlier run for the same inputs, newest first."""
        agent = self.folder.name.removeprefix("retrain-").rpartition("-")[0]
        for folder in reversed(list_runs(self.folder.parent.parent, agent)):
            receipt = read_receipt(folder / "stages" / f"{name}.json")
            if receipt.get("inputs_sha256") == digest and still_valid(receipt["output"]):
                return {**receipt, "from": receipt.get("from", folder.name)}
        return None

    def _note(self, name: str, seconds: float, *, reused: bool) -> None:
        self.done.append({"name": name, "status": "done", "seconds": seconds, "reused": reused})


def hash_inputs(inputs: Json) -> str:
    """Return the hash of plain data."""
    return hashlib.sha256(canonical(inputs)).hexdigest()


def open_run(home: Path, agent: str, settings: Json) -> Stages:
    """Open the agent's unfinished run with these settings, or a new one.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        settings: Everything that the run depends on, as plain data.
    """
    unfinished = find_unfinished(home, agent, settings)
    if unfinished is not None:
        console.say("continuing [bold]{}[/]", unfinished.name)
        return Stages(unfinished)
    known = list_runs(home, agent)
    number = (run_number(known[-1].name) if known else 0) + 1
    folder = home / "runs" / f"retrain-{agent}-{number:04d}"
    make_private_folder(folder)
    facts = {
        "agent": agent,
        "began": time.time(),
        "settings": settings,
        "settings_sha256": hash_inputs(settings),
    }
    write_json(folder / "run.json", facts)
    return Stages(folder)


def find_unfinished(home: Path, agent: str, settings: Json) -> Path | None:
    """Return the newest unfinished run with these settings; None if there is none.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        settings: Everything that the run depends on, as plain data.
    """
    found = (folder for folder, run in _read_runs(home, agent, settings) if "ended" not in run)
    return next(found, None)


def find_ended(home: Path, agent: str, settings: Json) -> Path | None:
    """Return the newest run with these settings that has ended; None if there is none.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        settings: Everything that the run depends on, as plain data.
    """
    found = (folder for folder, run in _read_runs(home, agent, settings) if "ended" in run)
    return next(found, None)


def _read_runs(home: Path, agent: str, settings: Json) -> Iterator[tuple[Path, dict[str, Json]]]:
    """Yield the runs with these settings, newest first."""
    digest = hash_inputs(settings)
    for folder in reversed(list_runs(home, agent)):
        run = read_receipt(folder / "run.json")
        if run.get("settings_sha256") == digest:
            yield folder, run


def list_runs(home: Path, agent: str) -> list[Path]:
    """Return the folders of an agent's runs, oldest first."""
    prefix = f"retrain-{agent}-"
    found = [
        folder
        for folder in (home / "runs").glob("retrain-*")
        if folder.name.startswith(prefix) and folder.name.removeprefix(prefix).isdigit()
    ]
    return sorted(found, key=lambda folder: run_number(folder.name))


def run_number(run_id: str) -> int:
    """Return the number of a run, which is the last part of its name."""
    return int(run_id.rpartition("-")[2])


def read_receipt(path: Path) -> dict[str, Json]:
    """Read a JSON object; empty if the file is missing or incomplete."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


__all__ = [
    "Stages",
    "find_ended",
    "find_unfinished",
    "hash_inputs",
    "list_runs",
    "open_run",
    "read_receipt",
    "run_number",
]
