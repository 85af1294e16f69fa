"""Write each evaluation into the workspace, and list those of an agent.

`save_evaluation` writes one, `list_evaluations` reads all of an agent.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from burnish.files.storage import BROKEN_JSON, make_private_folder
from burnish.journal.events import canonical
from burnish.records import Decision, Evaluation, Record
from burnish_trainer.evaluation.attempts.arm_version import read_versions
from burnish_trainer.run.storage import write_json

_DECIDES = ("tasks_sha256", "options", "attempts")
_HASH = re.compile(r"[0-9a-f]{12}")


class StoredEvaluation(Record, frozen=True, kw_only=True):
    """An evaluation as the workspace keeps it."""

    name: str  # eval-AGENT-HASH
    at: float  # seconds since the epoch, when it was made or asked for again
    evaluation: Evaluation
    decision: Decision | None = None  # None if the gate was not asked


def save_evaluation(
    home: Path, evaluation: Evaluation, decision: Decision | None = None
) -> StoredEvaluation:
    """Write an evaluation; one that is stored keeps its decision unless a new one is given.

    Args:
        home: Folder of the workspace.
        evaluation: What was measured.
        decision: The gate's decision on it.
    """
    name = name_evaluation(evaluation)
    path = _results_folder(home) / f"{name}.json"
    if decision is None and path.exists():
        known = _read_stored(path)
        decision = known.decision if known is not None else None
    stored = StoredEvaluation(name=name, at=time.time(), evaluation=evaluation, decision=decision)
    make_private_folder(path.parent)
    write_json(path, msgspec.to_builtins(stored))
    return stored


def name_evaluation(evaluation: Evaluation) -> str:
    """Return the name of an evaluation, which hashes its versions, tasks, options and results."""
    extras = evaluation.extras
    decides = [evaluation.agent, evaluation.base_model, *read_versions(evaluation)]
    results = {key: extras[key] for key in _DECIDES if key in extras}
    digest = hashlib.sha256(canonical([decides, msgspec.to_builtins(results)])).hexdigest()
    return f"eval-{evaluation.agent}-{digest[:12]}"


def list_evaluations(home: Path, agent: str) -> tuple[list[StoredEvaluation], list[str]]:
    """Return the stored evaluations of an agent, newest first, and the names of those that cannot be read.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
    """
    found: list[StoredEvaluation] = []
    damaged: list[str] = []
    for path in _list_files(home, agent):
        stored = _read_stored(path)
        if stored is None:
            damaged.append(path.stem)
        elif stored.evaluation.agent == agent:
            found.append(stored)
    return sorted(found, key=lambda one: (one.at, one.name), reverse=True), damaged


def _list_files(home: Path, agent: str) -> Iterator[Path]:
    folder, beginning = _results_folder(home), f"eval-{agent}-"
    for path in sorted(folder.glob("*.json")):
        name = path.stem
        if name.startswith(beginning) and _HASH.fullmatch(name.removeprefix(beginning)):
            yield path


def _read_stored(path: Path) -> StoredEvaluation | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=StoredEvaluation)
    except (OSError, *BROKEN_JSON):
        return None


def _results_folder(home: Path) -> Path:
    return home / "evaluations" / "results"


__all__ = [
    "StoredEvaluation",
    "list_evaluations",
    "name_evaluation",
    "save_evaluation",
]
