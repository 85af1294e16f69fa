"""GEPA's view of an agent: it runs tasks with candidate texts, scores them, and tells what happened.

`AgentRuns` implements GEPA's adapter. The runs are those of an evaluation: the same environments, verifiers, limits and
cache, so that a killed optimisation repeats no attempt.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from burnish.adapters.prompt_store import PromptVersion, prompt_id
from burnish.errors import BackendUnavailable, WorkspaceError
from burnish.files.storage import BROKEN_JSON
from burnish.records import Task, Trajectory
from burnish_exporters.verify.evidence.transcript import transcript
from burnish_trainer import console
from burnish_trainer.evaluation.agent_project import AgentProject, request_of
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion
from burnish_trainer.evaluation.attempts.attempt_log import AttemptLog
from burnish_trainer.evaluation.attempts.ended import AttemptKey, AttemptResult
from burnish_trainer.evaluation.event_loop import EvaluationLoop
from burnish_trainer.evaluation.runner import read_options, run_arm

_POOL = "train"
_SHOWN = 6_000  # characters of a run
Attempt = tuple[str, AttemptKey]
"""A candidate, and an attempt with it."""


class AgentRuns:
    """Runs an agent for GEPA.

    Args:
        subject: The agent.
        adapter: Adapter version that answers; None is the base model.
        folder: Folder of the results.
        loop: The event loop of all runs.
    """

    propose_new_texts = None  # GEPA's own proposer

    def __init__(
        self, subject: AgentProject, adapter: str | None, folder: Path, loop: EvaluationLoop
    ) -> None:
        self._subject, self._adapter, self._folder = subject, adapter, folder
        self._loop = loop
        self._options = read_options(subject)
        self._known, self._begun = _read_known(folder), _read_begun(folder)
        self.problem: BaseException | None = None

    @property
    def spent(self) -> int:
        """Return the number of attempts of this optimisation, with those of interrupted calls.

        Attempts that are lost to the backend are not among them: they say nothing, and are made again.
        """
        return len(self._begun.union(self._known))

    @property
    def undecided(self) -> list[AttemptResult]:
        """Return the results without a verdict."""
        return [result for result in self._known.values() if result.label == "unknown"]

    @property
    def attempts_per_task(self) -> int:
        """Return the number of attempts that one score costs."""
        return self._options.attempts

    def evaluate(
        self, batch: list[Task], candidate: dict[str, str], capture_traces: bool = False
    ) -> Any:
        """Run tasks with candidate texts, and return GEPA's batch: 1 for a success, 0 for a failure.

        An attempt without a verdict gets the mean of the others, so that it neither helps nor harms the text.

        Args:
            batch: Tasks.
            candidate: Text by name of the prompt.
            capture_traces: Return the results as trajectories too.

        Raises:
            BackendUnavailable: An attempt met an error of the infrastructure, which says nothing about the text.
        """
        from gepa.core.adapter import EvaluationBatch

        results = self._run_tasks(batch, candidate)
        labels = [result.label if result is not None else "unusable" for result in results]
        decided = [float(label == "success") for label in labels if label != "unknown"]
        mean = sum(decided) / len(decided) if decided else 0.0
        return EvaluationBatch(
            outputs=labels,
            scores=[mean if label == "unknown" else float(label == "success") for label in labels],
            trajectories=results if capture_traces else None,
        )

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return what the reflection model reads: request, run and verdict of each attempt.

        Args:
            candidate: Text by name of the prompt.
            eval_batch: The batch that `evaluate` returned, with trajectories.
            components_to_update: Names of the prompts to improve.
        """
        records = [self._describe_result(result) for result in eval_batch.trajectories]
        return dict.fromkeys(components_to_update, records)

    def _run_tasks(
        self, batch: list[Task], candidate: dict[str, str]
    ) -> list[AttemptResult | None]:
        if not all(text.strip() for text in candidate.values()):
            return [None] * len(batch)  # the reflection model proposed nothing
        try:
            name = prompt_id(self._subject.name, candidate)
            version = PromptVersion(id=name, agent=self._subject.name, texts=dict(candidate))
            distinct = {task.id: task for task in batch}  # GEPA fills a last batch up with repeats
            results = self._find_results(name, distinct)
            known = {result.task_id for result in results}
            missing = [task for key, task in distinct.items() if key not in known]
            if missing:
                results += self._run_missing(missing, version)
        except BaseException as problem:
            self.problem = problem
            raise
        return _first_attempts(batch, results)

    def _find_results(self, name: str, asked: Collection[str]) -> list[AttemptResult]:
        """Return the known results of a candidate at these tasks, whichever batches they were in."""
        return [
            result
            for (version, _), result in self._known.items()
            if version == name and result.task_id in asked
        ]

    def _run_missing(self, tasks: list[Task], version: PromptVersion) -> list[AttemptResult]:
        with console.silenced():
            found = run_arm(
                self._subject,
                ArmVersion(self._adapter, version.id),
                {_POOL: tasks},
                self._options,
                loop=self._loop,
                folder=self._folder / version.id,
                prompt=version,
            )
        _require_results(found.results)
        self._known |= {(version.id, result.key): result for result in found.results}
        return found.results

    def _describe_result(self, result: AttemptResult | None) -> dict[str, Any]:
        run = self._read_run(result)
        if result is None or run is None:
            return {"Inputs": "", "Generated Outputs": "", "Feedback": "the prompt was empty"}
        why = "; ".join(
            f"{verdict.verifier}: {verdict.label}"
            + ("" if verdict.evidence is None else f" ({verdict.evidence})")
            for verdict in run.verdicts
        )
        ended = f" The run ended early: {result.reason}." if result.reason else ""
        return {
            "Inputs": _find_request(run),
            "Generated Outputs": transcript(run)[-_SHOWN:],
            "Feedback": f"The result is {result.label}.{ended} {why}"[:_SHOWN],
        }

    def _read_run(self, result: AttemptResult | None) -> Trajectory | None:
        if result is None or result.trajectory_id is None:
            return None
        try:
            return self._subject.workspace.trajectory(result.trajectory_id)
        except WorkspaceError:  # removed by forget or retention
            return None


def _read_known(folder: Path) -> dict[Attempt, AttemptResult]:
    """Return the results of all candidates."""
    found: dict[Attempt, AttemptResult] = {}
    for path in sorted(folder.glob("*/*.json")):
        with contextlib.suppress(OSError, *BROKEN_JSON):
            results = msgspec.json.decode(path.read_bytes(), type=list[AttemptResult])
            found |= {(path.parent.name, one.key): one for one in results}
    return found


def _read_begun(folder: Path) -> set[Attempt]:
    """Return the attempts of a killed call, which a repeated batch takes from its log."""
    found: set[Attempt] = set()
    for path in sorted(folder.glob("*/*.jsonl")):
        ended, results = AttemptLog(path).read()
        made = {one.key for one in ended.values() if one.recorded}
        made |= {key for key, one in results.items() if one.final}
        found |= {(path.parent.name, key) for key in made}
    return found


def _first_attempts(
    batch: list[Task], results: Sequence[AttemptResult]
) -> list[AttemptResult | None]:
    """Return one result for each task: its worst attempt, since GEPA counts one score for a task."""
    order = {"fail": 0, "unknown": 1, "success": 2}
    by_task: dict[str, AttemptResult] = {}
    for result in sorted(results, key=lambda one: order[one.label], reverse=True):
        by_task[result.task_id] = result
    return [by_task.get(task.id) for task in batch]


def _require_results(results: Sequence[AttemptResult]) -> None:
    lost = [result for result in results if result.infrastructure or result.status == "skipped"]
    if lost:
        raise BackendUnavailable(
            f"{len(lost)} of {len(results)} attempts say nothing about the prompt: {lost[0].reason}",
            "a backend and environments that answer",
            "burnish doctor; then repeat the command, which continues",
        )


def _find_request(run: Trajectory) -> str:
    task = Task(id=run.task_id or "", input=run.input)
    return request_of(task)[:_SHOWN]
