"""Run the agent on tasks: many attempts at a time, each in its own environment, captured like any other run."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import burnish
from burnish.errors import BurnishError, EvaluationError
from burnish.records import Task
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.evaluation.attempt import (
    AttemptWatch,
    infrastructure_error,
    next_seed,
    seed_calls,
)
from burnish_trainer.evaluation.chat_models import load_adapter, make_chat_model
from burnish_trainer.evaluation.event_loop import EvaluationLoop

AttemptJob = tuple[Task, str, int]
"""A task, its pool, and the number of the attempt."""
_TRIES = 3  # of an attempt that meets an error of the infrastructure
_PAUSE_S = 0.5


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of attempts.

    Attributes:
        source: Source of the recorded trajectories: evaluation or rollout.
        attempts: Attempts at each task.
        first: Number of the first attempt; later ones repeat a version without repeating its seeds.
        temperature: Sampling temperature; 0 takes the likeliest token.
        seed: Sampling seed; attempts differ from one another.
        concurrency: Number of concurrent attempts.
        max_steps: Model calls after which an attempt has failed.
    """

    source: str = "evaluation"
    attempts: int = 1
    first: int = 1
    temperature: float = 0.0
    seed: int = 0
    concurrency: int = 64
    max_steps: int = 12

    @property
    def numbers(self) -> range:
        """Return the numbers of the attempts at each task."""
        return range(self.first, self.first + self.attempts)

    def list_jobs(self, pools: Mapping[str, Sequence[Task]]) -> list[AttemptJob]:
        """Return all attempts at the tasks of pools, attempt by attempt.

        Args:
            pools: Tasks by pool.
        """
        return [
            (task, pool, attempt)
            for attempt in self.numbers
            for pool, several in pools.items()
            for task in several
        ]


@dataclass(frozen=True, slots=True)
class EvaluationAttempt:
    """One attempt that ended.

    Attributes:
        task: The task.
        pool: Its pool.
        attempt: Number of the attempt, from 1.
        trajectory_id: Id of its record; None if it never began.
        error: Error that ended it, if it did not complete.
        infrastructure: True if that was an error of the backend, which says nothing about the adapter.
    """

    task: Task
    pool: str
    attempt: int
    trajectory_id: str | None
    error: str | None
    infrastructure: bool = False


@dataclass
class AttemptRunner:
    """Runs an agent with one adapter.

    Attributes:
        subject: The agent.
        adapter: Adapter version that answers; None is the base model.
        options: Options of the attempts.
        model: A chat model in place of the agent's own, such as a routed one.
        loop: The event loop of the evaluation; by default its own.
    """

    subject: AgentProject
    adapter: str | None
    options: RunOptions
    model: Any = None
    loop: EvaluationLoop | None = None
    _graph: Any = None
    _faults: _FaultStreak = field(init=False)

    def __post_init__(self) -> None:
        self._faults = _FaultStreak(max(8, self.options.concurrency))

    def run_jobs(
        self, jobs: Sequence[AttemptJob], advance: Callable[[str], None] = lambda _: None
    ) -> list[EvaluationAttempt]:
        """Make the attempts of a list.

        Args:
            jobs: Task, pool and number of each attempt.
            advance: Called after each attempt.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(load_adapter(self.subject, self.adapter))
            self._wrapped_graph()  # a fault of the agent raises before any attempt runs
            loop = self.loop or stack.enter_context(EvaluationLoop(self.options.concurrency))
            return loop.run(self._run_all(jobs, advance))

    async def _run_all(
        self, jobs: Iterable[AttemptJob], advance: Callable[[str], None]
    ) -> list[EvaluationAttempt]:
        places = asyncio.Semaphore(self.options.concurrency)

        async def run_limited(job: AttemptJob) -> EvaluationAttempt:
            async with places:
                ran = await self._run_with_retries(job)
            advance("" if ran.error is None else ran.error[:40])
            return ran

        return list(await asyncio.gather(*(run_limited(job) for job in jobs)))

    async def _run_with_retries(self, job: AttemptJob) -> EvaluationAttempt:
        """Run one attempt; repeat it after an infrastructure error, unless all attempts meet one."""
        for tried in range(_TRIES):
            if self._faults.error is not None:
                task, pool, attempt = job
                return EvaluationAttempt(
                    task, pool, attempt, None, self._faults.error, infrastructure=True
                )
            ran = await self._run_attempt(*job)
            self._faults.count_fault(ran.error if ran.infrastructure else None)
            if not ran.infrastructure or tried + 1 == _TRIES:
                return ran
            await asyncio.sleep(_PAUSE_S * 2**tried)
        raise AssertionError("the last try returns")

    async def _run_attempt(self, task: Task, pool: str, attempt: int) -> EvaluationAttempt:
        world, error, fault = self.subject.open_environment(), None, None
        watch = AttemptWatch(self.options.max_steps)
        scope = burnish.task(
            id=task.id, attempt=attempt, source=self.options.source, environment=world
        )
        try:
            if world is not None:
                world.open(task.data)
            with self._seed_attempt(task, attempt):
                async with scope:
                    await self._wrapped_graph().ainvoke(
                        task.input, self._run_config(task, pool, watch)
                    )
        except EvaluationError as stopped:
            error = stopped.found
        except Exception as problem:  # noqa: BLE001 - any exception of an agent is a failed attempt
            error = f"{type(problem).__name__}: {problem}"
            fault = infrastructure_error(problem)
        finally:
            if world is not None:
                world.close()
        fault = fault or watch.fault
        recorded = scope.trajectory_ids[0] if scope.trajectory_ids else None
        return EvaluationAttempt(
            task, pool, attempt, recorded, fault or error, infrastructure=bool(fault)
        )

    def _seed_attempt(self, task: Task, attempt: int) -> contextlib.AbstractContextManager[None]:
        if self.options.temperature == 0:
            return contextlib.nullcontext()
        return seed_calls(self.options.seed, task.id, attempt)

    def _wrapped_graph(self) -> Any:
        """Return the wrapped graph; attempts differ by the seeds of their calls."""
        if self._graph is None:
            model = self.model or make_chat_model(
                self.subject.config,
                self.adapter,
                temperature=self.options.temperature,
                next_seed=next_seed,
            )
            self._graph = burnish.wrap(self._build_graph(model), agent=self.subject.name)
        return self._graph

    def _build_graph(self, model: Any) -> Any:
        try:
            return self.subject.build(model)
        except BurnishError:
            raise
        except Exception as problem:
            raise EvaluationError(
                f"{self.subject.config.build} raised {type(problem).__name__}: {problem}",
                "a function that gets a chat model and returns a graph",
                "call it by hand with the model of your choice",
            ) from problem

    def _run_config(self, task: Task, pool: str, watch: AttemptWatch) -> dict[str, Any]:
        return {
            "configurable": {"thread_id": f"{self.options.source}-{uuid.uuid4().hex}"},
            "metadata": {"pool": pool, "kind": task.kind},
            "tags": [f"kind:{task.kind}"],
            "callbacks": [watch],
            "recursion_limit": 12 * self.options.max_steps,
        }


@dataclass
class _FaultStreak:
    """A count of consecutive infrastructure errors.

    Attributes:
        most: Number of consecutive errors after which the evaluation stops trying.
        error: The error once that number is reached.
    """

    most: int
    error: str | None = None
    _length: int = 0

    def count_fault(self, fault: str | None) -> None:
        """Count the error of an attempt; None resets the count."""
        self._length = 0 if fault is None else self._length + 1
        if self._length >= self.most:
            self.error = fault


def since_now() -> int:
    """Return the current time, in nanoseconds."""
    return time.time_ns()
