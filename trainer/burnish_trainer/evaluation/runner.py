"""Run the attempts of both arms and compare them, or run an agent to record it.

`evaluate` states the order of an evaluation; `collect` only runs and records.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from burnish.adapters.prompt_store import PromptVersion
from burnish.errors import EvaluationError
from burnish.records import Evaluation, PoolComparison, Task
from burnish_exporters.tasks.task_sources import decode_tasks, hash_tasks
from burnish_trainer import console
from burnish_trainer.evaluation.agent_project import (
    POOLS,
    AgentProject,
    find_prompt_version,
    load_agent,
)
from burnish_trainer.evaluation.arms import ArmCache, ArmResults
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion
from burnish_trainer.evaluation.attempts.attempt_log import AttemptLog
from burnish_trainer.evaluation.attempts.ended import AttemptKey, AttemptResult, EndedAttempt
from burnish_trainer.evaluation.attempts.refusals import explain_no_grades, set_refusals_apart
from burnish_trainer.evaluation.attempts.shared import EvaluationState
from burnish_trainer.evaluation.comparison import (
    AttemptsByTask,
    Pair,
    compare_pool,
    faults_by_reason,
    find_regressions,
    group_attempts,
    pair_results,
    task_facts,
    unknown_by_reason,
)
from burnish_trainer.evaluation.event_loop import EvaluationLoop
from burnish_trainer.evaluation.grading import verifier_doubts
from burnish_trainer.evaluation.guards.assessment import assess_evaluation
from burnish_trainer.evaluation.guards.leak import find_trained_tasks
from burnish_trainer.evaluation.history.store import save_evaluation
from burnish_trainer.evaluation.live_grading import LiveGrader
from burnish_trainer.evaluation.repeats import repeat_solved
from burnish_trainer.evaluation.rollouts import AttemptJob, AttemptRunner, RunOptions

Tasks = dict[str, Sequence[Any]] | Iterable[Any] | None


@dataclass(frozen=True, slots=True)
class RunCollection:
    """Recorded runs of an agent.

    Attributes:
        results: Result of each run.
        seconds: Duration of all runs.
    """

    results: list[AttemptResult]
    seconds: float

    @property
    def success_rate(self) -> float:
        """Return the share of graded runs that succeeded."""
        known = [r for r in self.results if r.label != "unknown"]
        return sum(r.label == "success" for r in known) / len(known) if known else 0.0

    @property
    def faults(self) -> dict[str, int]:
        """Return the count of runs that ended with an infrastructure error, by error."""
        return faults_by_reason(self.results)


def evaluate(
    agent: str | AgentProject,
    *,
    adapters: Sequence[str | None],
    prompts: Sequence[str | None] | None = None,
    tasks: Tasks = None,
    options: RunOptions | None = None,
    fresh: bool = False,
) -> Evaluation:
    """Compare two versions of an agent on the same tasks.

    The real agent runs, captured by burnish, in a new environment per attempt, and the verifiers of its burnish.toml
    grade the attempts. Gains are paired; families of tasks and attempts at one task count as one cluster. The workspace
    keeps the evaluation, and `burnish report AGENT` shows it.

    Args:
        agent: Name of the agent in burnish.toml.
        adapters: The version before and the one after; a single one is compared with the base model. None is the base.
        prompts: The prompt version of each of the two; by default both have the agent's own prompts. With one adapter,
            a single prompt is compared with the agent's own.
        tasks: By pool, or one list that counts as held-out; by default the pools heldout, standing and capability.
        options: How attempts are run; by default as in burnish.toml.
        fresh: Repeat all attempts, including those with cached results.

    Raises:
        EvaluationError: There are no tasks, or no attempt could be graded.
        BackendUnavailable: The backend does not answer.
        NoVerifier: burnish.toml names no verifier.
        UnknownAdapter: The workspace does not hold an adapter version.
        RegistryError: It does not hold a prompt version.
    """
    subject = load_agent(agent)
    versions = _two_versions(adapters, prompts)
    before, after = versions
    pools = select_pools(subject, tasks)
    measuring = dict(pools)
    chosen = options or read_options(subject)
    if (tasks is None or isinstance(tasks, dict)) and subject.config.evaluate.train_sample:
        sample = subject.tasks("train", subject.config.evaluate.train_sample, chosen.seed)
        pools |= {"train": sample} if sample else {}
    started = time.monotonic()
    sides, pairs, repeated = _run_sides(subject, versions, pools, chosen, fresh=fresh)
    arms = [side.results for side in sides]
    known = group_attempts(arms[0], repeated)
    found = Evaluation(
        agent=subject.name,
        base_model=subject.config.base_model,
        before=before.adapter,
        after=after.adapter,
        before_prompt=before.prompt,
        after_prompt=after.prompt,
        pools=_compare_pools(pools, pairs, known),
        trajectories=sum(r.trajectory_id is not None for r in (*arms[0], *arms[1], *repeated)),
        unknown=unknown_by_reason(*arms),
        seconds=round(time.monotonic() - started, 3),
        extras={
            "interval": "Tango's paired score interval, 95 %, with the design effect of the families",
            "test": "exact sign flips over families, two-sided; McNemar's where each has one pair",
            "tasks_sha256": {pool: hash_tasks(several) for pool, several in pools.items()},
            "options": msgspec.to_builtins(chosen),
            "code_sha256": subject.code_sha256,
            "regressions": find_regressions(pairs, known),
            "repeated": len(repeated),
            "verifier_doubts": verifier_doubts(subject),
            "also_trained": find_trained_tasks(subject, measuring),
            "guards": assess_evaluation(subject, versions, (arms[0], arms[1]), measuring),
            **_describe_sides(sides),
        },
    )
    save_evaluation(subject.workspace.home, found)
    return found


def _run_sides(
    subject: AgentProject,
    versions: tuple[ArmVersion, ArmVersion],
    pools: dict[str, list[Task]],
    options: RunOptions,
    *,
    fresh: bool,
) -> tuple[list[ArmResults], list[Pair], list[AttemptResult]]:
    """Run both versions; return their results, the pairs, and further attempts of the version before."""
    table, gate = subject.config.evaluate, subject.config.gate
    with EvaluationLoop(EvaluationState(options.token_limit)) as loop:
        sides = [
            run_arm(subject, version, pools, options, loop=loop, fresh=fresh)
            for version in versions
        ]
        arms = set_refusals_apart(versions, [side.results for side in sides])
        sides = [replace(side, results=arm) for side, arm in zip(sides, arms, strict=True)]
        pairs = pair_results(*arms)
        if not pairs:
            raise explain_no_grades(subject.name, arms)

        def run_before(tasks: dict[str, list[Task]], more: RunOptions) -> list[AttemptResult]:
            return run_arm(subject, versions[0], tasks, more, loop=loop, fresh=fresh).results

        again = repeat_solved(pairs, pools, options, table.repeat_base, gate, run_before)
        return sides, pairs, again


def _compare_pools(
    pools: dict[str, list[Task]], pairs: Sequence[Pair], known: AttemptsByTask
) -> dict[str, PoolComparison]:
    return {
        pool: compare_pool(pool, paired, task_facts(several), known)
        for pool, several in pools.items()
        if (paired := [pair for pair in pairs if pair[0].pool == pool])
    }


def _describe_sides(sides: Sequence[ArmResults]) -> dict[str, Any]:
    """Return the results, infrastructure errors and cached results of each side."""
    named = list(zip(("before", "after"), sides, strict=True))
    return {
        "infrastructure": {
            name: {"attempts": len(side.results), "errors": faults_by_reason(side.results)}
            for name, side in named
        },
        "remembered": {name: side.remembered for name, side in named},
        "unstable_verdicts": [one for side in sides for one in side.unstable],
        "skipped": sum(r.status == "skipped" for side in sides for r in side.results),
        "attempts": {name: msgspec.to_builtins(side.results) for name, side in named},
    }


def collect(
    agent: str | AgentProject,
    tasks: Iterable[Any],
    *,
    adapter: str | None = None,
    prompt: str | None = None,
    options: RunOptions | None = None,
) -> RunCollection:
    """Run the agent on tasks and record the runs.

    Args:
        agent: Name of the agent in burnish.toml.
        tasks: Tasks to attempt.
        adapter: Version that answers; None is the base model.
        prompt: Prompt version that answers; None is the agent's own prompts.
        options: Run options; by default one attempt each at the rollout temperature, recorded as rollout.
    """
    subject = load_agent(agent)
    table = subject.config.evaluate
    chosen = options or replace(
        read_options(subject),
        source="rollout",
        attempts=1,
        temperature=table.rollout_temperature,
    )
    started = time.monotonic()
    state = EvaluationState(chosen.token_limit)
    with EvaluationLoop(state) as loop, tempfile.TemporaryDirectory() as folder:
        text = find_prompt_version(subject, prompt)
        runner = AttemptRunner(subject, adapter, chosen, loop=loop, prompt=text)
        jobs = chosen.list_jobs({"train": decode_tasks(tasks)})
        log = AttemptLog(Path(folder) / "attempts.jsonl")
        results, _ = _run_jobs(runner, jobs, {}, log, "rollouts")
    version = ArmVersion(adapter, prompt)
    (found,) = set_refusals_apart([version], [[results[_key_of(job)] for job in jobs]])
    return RunCollection(found, round(time.monotonic() - started, 3))


def run_arm(
    subject: AgentProject,
    version: ArmVersion,
    pools: dict[str, list[Task]],
    options: RunOptions,
    *,
    loop: EvaluationLoop,
    fresh: bool = False,
    folder: Path | None = None,
    prompt: PromptVersion | None = None,
) -> ArmResults:
    """Return the results of one version on the tasks of all pools; reuse cached results.

    Args:
        subject: The agent.
        version: The version.
        pools: Tasks by pool.
        options: Options of the attempts.
        loop: The event loop of the evaluation.
        fresh: Repeat all attempts.
        folder: Folder of the cached results; by default that of all evaluations.
        prompt: The prompt version itself, if the workspace does not hold it.
    """
    jobs = options.list_jobs(pools)
    store = ArmCache(subject, version, pools, options, folder)
    if fresh:
        store.log.remove()
    ended, logged = store.log.read()
    known = {} if fresh else store.load_results()
    known |= {key: result for key, result in logged.items() if result.cacheable}
    missing = [job for job in jobs if _key_of(job) not in known]
    unstable: list[Any] = []
    if missing:
        loop.state.remember_starts(known.values())
        text = prompt or find_prompt_version(subject, version.prompt)
        runner = AttemptRunner(subject, version.adapter, options, loop=loop, prompt=text)
        made, unstable = _run_jobs(runner, missing, ended, store.log, f"evaluating {version.label}")
        known = {**known, **made}
    results = [known[_key_of(job)] for job in jobs]
    if missing:
        store.save_results(results)
    return ArmResults(results, remembered=len(jobs) - len(missing), unstable=unstable)


def select_pools(subject: AgentProject, tasks: Tasks = None) -> dict[str, list[Task]]:
    """Return tasks by pool, from the `tasks` argument of evaluate().

    Raises:
        EvaluationError: There are no tasks.
    """
    if isinstance(tasks, dict):
        pools = {pool: decode_tasks(several) for pool, several in tasks.items()}
    elif tasks is not None:
        pools = {"heldout": decode_tasks(tasks)}
    else:
        pools = {pool: subject.tasks(pool) for pool in POOLS}
    if not any(pools.values()):
        raise EvaluationError(
            f"agent {subject.name!r} has no tasks to be evaluated on",
            f"tasks in the pools {', '.join(POOLS)}",
            f"look at `tasks` in [agent.{subject.name}] of burnish.toml",
        )
    return {pool: several for pool, several in pools.items() if several}


def read_options(subject: AgentProject) -> RunOptions:
    """Return the options of an evaluation's attempts from burnish.toml."""
    table = subject.config.evaluate
    return RunOptions(
        seed=table.seed,
        concurrency=table.concurrency,
        max_steps=table.max_steps,
        attempts=table.attempts,
        temperature=table.temperature,
        time_limit_s=table.time_limit_s,
        token_limit=table.token_limit,
        same_start=table.same_start,
    )


def _key_of(job: AttemptJob) -> AttemptKey:
    task, pool, attempt = job
    return pool, task.id, attempt


def _run_jobs(
    runner: AttemptRunner,
    jobs: Sequence[AttemptJob],
    ended: Mapping[AttemptKey, EndedAttempt],
    log: AttemptLog,
    label: str,
) -> tuple[dict[AttemptKey, AttemptResult], list[Any]]:
    """Make and grade attempts; return results, and verdicts that differed when graded twice.

    Args:
        runner: Runs the agent.
        jobs: Task, pool and number of each attempt.
        ended: Attempts that ended in a killed evaluation; they are graded and not repeated.
        log: Gets each attempt and its result.
        label: Name of the work, for its progress.
    """
    subject = runner.subject  # a missing verifier fails before an hour of attempts
    learned = runner.options.source != "evaluation"
    verifiers = subject.verifiers if learned else subject.proof_verifiers
    made = [one for job in jobs if (one := ended.get(_key_of(job))) is not None and one.recorded]
    done = {one.key for one in made}
    with (
        console.bar(label, len(jobs)) as advance,
        LiveGrader(subject, log, advance, verifiers) as grader,
    ):
        for one in made:
            grader.add_logged(one)
        rest = [job for job in jobs if _key_of(job) not in done]
        if rest:
            runner.run_jobs(rest, grader.add)
    return grader.results, grader.unstable


def _two_versions(
    adapters: Sequence[str | None], prompts: Sequence[str | None] | None
) -> tuple[ArmVersion, ArmVersion]:
    given = [None] * len(adapters) if prompts is None else prompts
    if len(given) != len(adapters):
        raise EvaluationError(
            f"{len(given)} prompts for {len(adapters)} adapters",
            "one for each",
            "evaluate(agent, adapters=[None, version], prompts=[None, prompt])",
        )
    versions = [ArmVersion(*pair) for pair in zip(adapters, given, strict=True)]
    if len(versions) == 1:
        return ArmVersion(), versions[0]
    if len(versions) == 2:
        return versions[0], versions[1]
    raise EvaluationError(
        f"{len(adapters)} adapters to compare",
        "one or two",
        "evaluate(agent, adapters=[None, version])",
    )
