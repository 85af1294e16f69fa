"""Find what a report shows: the evaluations and evaluated retrains of an agent, from what the workspace stores.

`find_report` returns one by name, or the newest; `list_reports` lists all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from burnish.errors import EvaluationError
from burnish.files.paths import is_component
from burnish.files.storage import BROKEN_JSON
from burnish.records import Decision, Evaluation, RetrainReport
from burnish_trainer.evaluation.history.store import StoredEvaluation, list_evaluations
from burnish_trainer.rounds.stages import list_runs, read_receipt


class ReportedEvaluation(NamedTuple):
    """An evaluation with where it comes from.

    Attributes:
        name: Name of the retrain, or of the stored evaluation.
        at: Seconds since the epoch, when it ended.
        evaluation: What was measured.
        decision: The gate's decision; None if it was not asked.
        retrain: The retrain that the evaluation is part of; None for `burnish eval`.
    """

    name: str
    at: float
    evaluation: Evaluation
    decision: Decision | None
    retrain: RetrainReport | None = None


def find_report(home: Path, agent: str, run: str | None = None) -> ReportedEvaluation:
    """Return an evaluation of an agent with its decision.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        run: Name of a retrain or of an evaluation; by default the newest with results.

    Raises:
        EvaluationError: There is none, or it cannot be read.
    """
    stored, damaged = list_evaluations(home, agent)
    if run is not None:
        return _find_named(home, agent, run, (stored, damaged))
    retrain = _newest_retrain(home, agent)
    newest = _from_store(stored[0]) if stored else None
    if retrain is not None and (newest is None or newest.at <= retrain.at):
        return retrain
    if newest is None:
        raise _no_report_error(home, agent)
    return newest


def list_reports(home: Path, agent: str) -> list[ReportedEvaluation]:
    """Return all evaluations of an agent, newest first; one that cannot be read is left out.

    The stored copy of a retrain's evaluation is left out beside the retrain.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
    """
    retrains: list[ReportedEvaluation] = []
    for folder in list_runs(home, agent):
        try:
            found = _read_retrain(folder, agent)
        except EvaluationError:
            continue
        if found is not None:
            retrains.append(found)
    known = [one.evaluation for one in retrains]
    several = [
        _from_store(one) for one in list_evaluations(home, agent)[0] if one.evaluation not in known
    ]
    return sorted([*retrains, *several], key=lambda one: (one.at, one.name), reverse=True)


def _find_named(
    home: Path, agent: str, run: str, stored: tuple[list[StoredEvaluation], list[str]]
) -> ReportedEvaluation:
    if run in stored[1]:
        raise EvaluationError(
            f"the stored evaluation {run} cannot be read",
            "the file that burnish eval wrote",
            f"burnish eval {agent}",
        )
    for one in stored[0]:
        if one.name == run:
            return _from_store(one)
    found = _read_retrain(home / "runs" / run, agent) if is_component(run) else None
    if found is None:
        raise _no_report_error(home, agent, run)
    return found


def _newest_retrain(home: Path, agent: str) -> ReportedEvaluation | None:
    for folder in reversed(list_runs(home, agent)):
        found = _read_retrain(folder, agent)
        if found is not None:
            return found
    return None


def _read_retrain(folder: Path, agent: str) -> ReportedEvaluation | None:
    """Return the evaluation of a retrain; None if it ended without one.

    Raises:
        EvaluationError: Its report cannot be read.
    """
    path = folder / "report.json"
    try:
        report = msgspec.json.decode(path.read_bytes(), type=RetrainReport)
        written = path.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, *BROKEN_JSON) as broken:
        raise EvaluationError(
            f"{path} cannot be read: {broken}",
            "the report that the retrain wrote",
            _suggest_earlier(folder, agent),
        ) from broken
    if report.evaluation is None or report.agent != agent:
        return None
    ended = read_receipt(folder / "run.json").get("ended", written)
    return ReportedEvaluation(folder.name, ended, report.evaluation, report.decision, report)


def _suggest_earlier(folder: Path, agent: str) -> str:
    """Return the command that shows the retrain before a damaged one."""
    known = [one.name for one in list_runs(folder.parent.parent, agent)]
    place = known.index(folder.name) if folder.name in known else 0
    return (
        f"burnish report {agent} --run {known[place - 1]}" if place else f"burnish retrain {agent}"
    )


def _from_store(one: StoredEvaluation) -> ReportedEvaluation:
    return ReportedEvaluation(one.name, one.at, one.evaluation, one.decision)


def _no_report_error(home: Path, agent: str, run: str | None = None) -> EvaluationError:
    return EvaluationError(
        f"no evaluation of {agent!r} in {home}" + (f" named {run!r}" if run else ""),
        "an evaluation, or a retrain that reached its gate",
        f"burnish report {agent} --list" if run else f"burnish eval {agent}",
    )


__all__ = ["ReportedEvaluation", "find_report", "list_reports"]
