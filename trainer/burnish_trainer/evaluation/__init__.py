"""The agent is run with and without an adapter on the same tasks, and both are compared.

Knows: the order of an evaluation, and which half of it was already done.
Does not know: how the agent works, what is good enough (gate.py).

Each arm (one adapter on one set of tasks) is kept under `home/evaluations/arms/`, named after all that decides it:
agent code, backend and its model, adapter, tasks, verifiers, options, burnish's version. The arm of the current version
is therefore run once, and the "before" of a round is the "after" of the last one. Attempts that an error of the
infrastructure ended are not kept: they are made again the next time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from burnish.errors import EvaluationError
from burnish.records import Evaluation, Task
from burnish_trainer import console
from burnish_trainer.evaluation.arms import Arm, ArmStore
from burnish_trainer.evaluation.comparison import (
    compare,
    faults_by_reason,
    pairs_of,
    regressions,
    unknown_by_reason,
)
from burnish_trainer.evaluation.event_loop import EvaluationLoop
from burnish_trainer.evaluation.judging import Result, judge
from burnish_trainer.evaluation.running import Job, Ran, Runner, RunOptions, since_now
from burnish_trainer.evaluation.subject import POOLS, Subject, as_tasks, subject_of, tasks_sha256

Tasks = dict[str, Sequence[Any]] | Iterable[Any] | None


@dataclass(frozen=True, slots=True)
class Collection:
    """Fresh runs of an agent.

    Attributes:
        results: What became of each, judged.
        seconds: How long it took.
    """

    results: list[Result]
    seconds: float

    @property
    def success_rate(self) -> float:
        """Share of judged runs that succeeded."""
        known = [r for r in self.results if r.label != "unknown"]
        return sum(r.label == "success" for r in known) / len(known) if known else 0.0

    @property
    def faults(self) -> dict[str, int]:
        """Runs that an error of the infrastructure ended, by error."""
        return faults_by_reason(self.results)


def evaluate(
    agent: str | Subject,
    *,
    adapters: Sequence[str | None],
    tasks: Tasks = None,
    options: RunOptions | None = None,
    fresh: bool = False,
) -> Evaluation:
    """Compare two versions of an agent on the same tasks.

    The real agent is run, captured by burnish, in an environment of its own per attempt, and judged by the verifiers
    of its burnish.toml. Gains are paired: Tango's 95 % interval, McNemar's exact test.

    Args:
        agent: Name of the agent in burnish.toml.
        adapters: The version before and the one after; one alone is compared with the base model. None is the base.
        tasks: By pool, or one list that counts as held-out; by default the pools heldout, standing and capability.
        options: How attempts are run; by default as in burnish.toml.
        fresh: Make all attempts again, also those whose results are remembered.

    Raises:
        EvaluationError: There are no tasks, or nothing could be judged.
        BackendUnavailable: The backend does not answer.
        NoVerifier: Nothing can say what a success is.
        UnknownAdapter: The workspace does not hold a version.
    """
    subject = subject_of(agent)
    before, after = _two(adapters)
    pools = pools_of(subject, tasks)
    chosen = options or options_of(subject)
    started = time.monotonic()
    with EvaluationLoop(chosen.concurrency) as loop:
        sides = [
            run_arm(subject, adapter, pools, chosen, loop=loop, fresh=fresh)
            for adapter in (before, after)
        ]
    arms = [side.results for side in sides]
    pairs = pairs_of(*arms)
    if not pairs:
        raise _nothing_judged(*arms)
    by_pool = {pool: [p for p in pairs if p[0].pool == pool] for pool in pools}
    return Evaluation(
        agent=subject.name,
        base_model=subject.config.base_model,
        before=before,
        after=after,
        pools={pool: compare(pool, found) for pool, found in by_pool.items() if found},
        trajectories=sum(r.trajectory_id is not None for arm in arms for r in arm),
        unknown=unknown_by_reason(*arms),
        seconds=round(time.monotonic() - started, 3),
        extras={
            "interval": "Tango's paired score interval, 95 %",
            "test": "McNemar's exact test, two-sided",
            "tasks_sha256": {pool: tasks_sha256(several) for pool, several in pools.items()},
            "options": msgspec.to_builtins(chosen),
            "regressions": regressions(pairs),
            "infrastructure": {
                name: {"attempts": len(side.results), "errors": faults_by_reason(side.results)}
                for name, side in zip(("before", "after"), sides, strict=True)
            },
            "remembered": {
                name: side.remembered for name, side in zip(("before", "after"), sides, strict=True)
            },
        },
    )


def collect(
    agent: str | Subject,
    tasks: Iterable[Any],
    *,
    adapter: str | None = None,
    options: RunOptions | None = None,
) -> Collection:
    """Let the agent attempt tasks and record it, to learn from or to look at.

    Args:
        agent: Name of the agent in burnish.toml.
        tasks: What to attempt.
        adapter: Version that answers; None is the base model.
        options: How; by default one attempt each at the rollout temperature, recorded as rollout.
    """
    subject = subject_of(agent)
    table = subject.config.evaluate
    chosen = options or RunOptions(
        source="rollout",
        temperature=table.rollout_temperature,
        seed=table.seed,
        concurrency=table.concurrency,
        max_steps=table.max_steps,
    )
    started = time.monotonic()
    with EvaluationLoop(chosen.concurrency) as loop:
        runner = Runner(subject, adapter, chosen, loop=loop)
        results = _run(runner, {"train": as_tasks(tasks)}, "rollouts")
    return Collection(results, round(time.monotonic() - started, 3))


def run_arm(
    subject: Subject,
    adapter: str | None,
    pools: dict[str, list[Task]],
    options: RunOptions,
    *,
    loop: EvaluationLoop | None = None,
    fresh: bool = False,
) -> Arm:
    """Results of one version on the tasks of all pools; those of the last time if nothing has changed.

    Args:
        subject: The agent.
        adapter: The version; None is the base model.
        pools: Tasks by pool.
        options: How attempts are run.
        loop: The event loop of the evaluation.
        fresh: Make all attempts again.
    """
    jobs: list[Job] = [
        (task, pool, attempt)
        for attempt in range(1, options.attempts + 1)
        for pool, several in pools.items()
        for task in several
    ]
    store = ArmStore(subject, adapter, pools, options)
    known = {} if fresh else store.load()
    missing = [job for job in jobs if (job[1], job[0].id, job[2]) not in known]
    if missing:
        runner = Runner(subject, adapter, options, loop=loop)
        made = _run_jobs(runner, missing, f"evaluating {adapter or 'the base'}")
        known = {**known, **{(r.pool, r.task_id, r.attempt): r for r in made}}
        store.save(list(known.values()))
    results = [known[pool, task.id, attempt] for task, pool, attempt in jobs]
    return Arm(results, remembered=len(jobs) - len(missing))


def pools_of(subject: Subject, tasks: Tasks = None) -> dict[str, list[Task]]:
    """Tasks by pool, from what evaluate() was given.

    Raises:
        EvaluationError: There are none.
    """
    if isinstance(tasks, dict):
        pools = {pool: as_tasks(several) for pool, several in tasks.items()}
    elif tasks is not None:
        pools = {"heldout": as_tasks(tasks)}
    else:
        pools = {pool: subject.tasks(pool) for pool in POOLS}
    if not any(pools.values()):
        raise EvaluationError(
            f"agent {subject.name!r} has no tasks to be evaluated on",
            f"tasks in the pools {', '.join(POOLS)}",
            f"look at `tasks` in [agent.{subject.name}] of burnish.toml",
        )
    return {pool: several for pool, several in pools.items() if several}


def options_of(subject: Subject) -> RunOptions:
    """How burnish.toml wants attempts of an evaluation to be run."""
    table = subject.config.evaluate
    return RunOptions(seed=table.seed, concurrency=table.concurrency, max_steps=table.max_steps)


def _run(runner: Runner, pools: dict[str, list[Task]], label: str) -> list[Result]:
    jobs = [
        (task, pool, attempt)
        for attempt in range(1, runner.options.attempts + 1)
        for pool, several in pools.items()
        for task in several
    ]
    return _run_jobs(runner, jobs, label)


def _run_jobs(runner: Runner, jobs: Sequence[Job], label: str) -> list[Result]:
    since = since_now()
    _ = runner.subject.verifiers  # a missing verifier is told before an hour of attempts
    with console.bar(label, len(jobs)) as advance:
        ran: list[Ran] = runner.run_jobs(jobs, advance)
    return judge(runner.subject, ran, since)


def _nothing_judged(*arms: Sequence[Result]) -> EvaluationError:
    faults = {reason: n for arm in arms for reason, n in faults_by_reason(arm).items()}
    if faults:
        return EvaluationError(
            f"no attempt could be judged, {sum(faults.values())} met an error of the backend: "
            f"{next(iter(faults))}",
            "a backend that answers",
            "burnish doctor",
        )
    return EvaluationError(
        f"no attempt could be judged: {unknown_by_reason(*arms)}",
        "verdicts of success or fail",
        "burnish traces list",
    )


def _two(adapters: Sequence[str | None]) -> tuple[str | None, str | None]:
    if len(adapters) == 1:
        return None, adapters[0]
    if len(adapters) == 2:
        return adapters[0], adapters[1]
    raise EvaluationError(
        f"{len(adapters)} adapters to compare",
        "one or two",
        "evaluate(agent, adapters=[None, version])",
    )


__all__ = ["Collection", "Result", "RunOptions", "collect", "evaluate"]
