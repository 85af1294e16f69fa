"""Collect fresh runs and build the dataset of a round."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

import burnish
from burnish.errors import BackendUnavailable, EvaluationError
from burnish.files.storage import make_private_folder
from burnish.journal.index.trajectory_index import Query
from burnish.records import Task, Trajectory
from burnish_trainer import console
from burnish_trainer.evaluation.attempts.ended import AttemptResult, EndedAttempt
from burnish_trainer.rounds.context import Json, RetrainRound
from burnish_trainer.rounds.news import write_positions
from burnish_trainer.rounds.stages import read_receipt, run_number
from burnish_trainer.run.storage import write_json

if TYPE_CHECKING:
    from burnish_trainer.evaluation.runner import RunCollection

_MOST_LOST = 0.5  # of fresh runs, to errors of the backend
_ENDED = ("completed", "failed")


def rollout_inputs(one: RetrainRound) -> Json:
    """Return what decides the fresh runs of a round."""
    table = one.subject.config.evaluate
    prompt = [one.before.prompt] if one.before.prompt else []
    return [one.current, msgspec.to_builtins(table), one.stages.run_id, *prompt]


def collect_rollouts(one: RetrainRound) -> dict[str, Any]:
    """Run the agent on training tasks and record the runs; runs that a killed call recorded are not repeated.

    Raises:
        BackendUnavailable: Most runs met an error of the infrastructure, most of them of the backend.
        EvaluationError: Most of these errors came from the environment.
    """
    from burnish_trainer.evaluation.runner import RunCollection

    subject, table = one.subject, one.subject.config.evaluate
    seed = table.seed + run_number(one.stages.run_id)
    focused = round(table.rollout_focus * table.rollouts)
    candidates = subject.tasks("train", table.rollouts + focused, seed)
    first = candidates[: table.rollouts - focused]
    known = _grade_recorded(one, candidates)
    if known:
        console.say("  {} runs are already recorded", len(known))
    found = _run_missing(one, first, known)
    if focused:
        rest = candidates[len(first) :]
        more = _run_missing(one, _choose_focused(found.results, rest, focused), known)
        found = RunCollection([*found.results, *more.results], found.seconds + more.seconds)
    console.say(f"  {len(found.results)} fresh runs, {found.success_rate:.1%} succeeded")
    _require_runs(subject.name, found)
    return {
        "runs": len(found.results),
        "success_rate": found.success_rate,
        "seed": seed,
        "infrastructure_errors": found.faults,
    }


def _require_runs(agent: str, found: RunCollection) -> None:
    """Say which runs were lost to infrastructure errors; raise if they are too many."""
    from burnish_trainer.evaluation.attempts.ended import ENVIRONMENT
    from burnish_trainer.evaluation.attempts.refusals import name_fault_source

    lost = sum(found.faults.values())
    for error, count in found.faults.items():
        console.say("  {}", f"{count} runs met an error of the infrastructure: {error}")
    if lost <= _MOST_LOST * len(found.results):
        return
    source = name_fault_source(found.results)
    commonest = max(found.faults, key=lambda error: found.faults[error])
    told = f"{lost} of {len(found.results)} fresh runs met an error of the {source}: {commonest}"
    fix = f"burnish doctor; then: burnish retrain {agent}"
    if source == ENVIRONMENT:
        raise EvaluationError(told, "an environment that opens and closes for each task", fix)
    raise BackendUnavailable(told, "a backend that answers", fix)


def _run_missing(one: RetrainRound, tasks: list[Task], known: list[AttemptResult]) -> RunCollection:
    """Run the agent on the tasks without a recorded run; return the results of all tasks."""
    from burnish_trainer.evaluation.runner import RunCollection, collect

    wanted = {task.id for task in tasks}
    graded = [result for result in known if result.task_id in wanted]
    done = {result.task_id for result in graded}
    missing = [task for task in tasks if task.id not in done]
    made = collect(one.subject, missing, adapter=one.current, prompt=one.before.prompt)
    return RunCollection([*graded, *made.results], made.seconds)


def _choose_focused(results: list[AttemptResult], rest: list[Task], count: int) -> list[Task]:
    """Return tasks by kind, in proportion to the failures of each kind, and say what each kind gets."""
    from burnish_trainer.credit.task_selection import choose_by_failures

    solved: dict[str, tuple[int, int]] = {}
    for result in results:
        if result.label != "unknown":
            good, all_ = solved.get(str(result.kind), (0, 0))
            solved[str(result.kind)] = good + (result.label == "success"), all_ + 1
    chosen = [
        rest[place] for place in choose_by_failures(solved, [str(t.kind) for t in rest], count)
    ]
    kinds = Counter(str(task.kind) for task in chosen)
    if len(kinds) > 1:
        told = ", ".join(
            f"{kind} {kinds[kind]} (solved {good} of {all_})"
            for kind, (good, all_) in sorted(solved.items())
        )
        console.say("  {}", f"further runs by failures: {told}")
    return chosen


def _grade_recorded(one: RetrainRound, tasks: list[Task]) -> list[AttemptResult]:
    """Grade the runs that an interrupted call of this round has recorded, one for each task."""
    from burnish_trainer.evaluation.grading import grade_attempts

    path = one.stages.folder / "stages" / "rollouts.began.json"
    began = read_receipt(path).get("since_ns")
    if began is None:
        make_private_folder(path.parent)
        write_json(path, {"since_ns": time.time_ns()})
        return []
    workspace = one.subject.workspace
    query = Query(agent=one.subject.name, source="rollout", since_ns=began)
    entries = [entry for entry in workspace.entries(query) if entry.status in _ENDED]
    kinds = {task.id: task.kind for task in tasks}
    found: dict[str, EndedAttempt] = {}
    for run in workspace.read(entries):
        if run.task_id in kinds and not _ended_in_a_failed_call(run):
            found[run.task_id] = EndedAttempt(
                task_id=run.task_id,
                pool="train",
                kind=kinds[run.task_id],
                attempt=1,
                trajectory_id=run.id,
                error=None if run.error is None else f"{run.error.type}: {run.error.message}",
            )
    if not found:
        return []
    return grade_attempts(one.subject, list(found.values()), one.subject.verifiers)


def _ended_in_a_failed_call(run: Trajectory) -> bool:
    """Report if the last call of the model failed, which may be an error of the backend."""
    return bool(run.model_calls) and run.model_calls[-1].error is not None


def dataset_inputs(one: RetrainRound) -> Json:
    """Return what decides the dataset of a round, beside the recorded runs."""
    ready = one.outputs["readiness"]
    return [ready["current"], ready["base_sha256"], one.outputs.get("rollouts")]


def build_round_dataset(one: RetrainRound) -> dict[str, Any]:
    """Build the dataset from all verified runs, without the tasks that measure the adapter."""
    from burnish_exporters import BuildOptions, build_dataset
    from burnish_exporters.verify import PoolSettings
    from burnish_trainer.rows.examples import NEEDS_FAILURES

    burnish.flush()
    subject, workspace = one.subject, one.subject.workspace
    trusted = subject.config.trust_received
    write_positions(one.stages.folder, workspace)
    version = build_dataset(
        workspace,
        agent=subject.name,
        verify=subject.verifiers,
        recipe={
            **msgspec.structs.asdict(subject.config.dataset),
            **_refused_tasks(one),
            **({"contrast": True} if subject.config.train.objective in NEEDS_FAILURES else {}),
        },
        options=BuildOptions(pool=PoolSettings(trust_received=tuple(trusted))),
    )
    console.say("  [green]{}[/]: {} rows", version.id, version.manifest.rows.get("train", 0))
    return {"id": version.id, "path": str(version.path), "rows": version.manifest.rows}


def _refused_tasks(one: RetrainRound) -> dict[str, list[str]]:
    """Return hashes of the tasks that measure the adapter, so that training excludes them."""
    from burnish_trainer.evaluation.guards.leak import describe_refusals
    from burnish_trainer.evaluation.runner import select_pools

    pools = select_pools(one.subject).values()
    return describe_refusals([task for several in pools for task in several])
