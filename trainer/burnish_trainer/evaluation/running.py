"""The agent attempts tasks, many at a time, each in a world of its own, captured like any other run.

Knows: how one attempt is set up, limited and torn down. Does not know: what a success is.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import burnish
from burnish.errors import BurnishError, EvaluationError
from burnish.records import Task
from burnish_trainer.evaluation.answering import chat_model, served
from burnish_trainer.evaluation.attempt import (
    AttemptWatch,
    infrastructure_error,
    next_seed,
    seeded,
)
from burnish_trainer.evaluation.event_loop import EvaluationLoop
from burnish_trainer.evaluation.subject import Subject

Job = tuple[Task, str, int]
"""A task, its pool, and the number of the attempt."""
_TRIES = 3  # of an attempt that meets an error of the infrastructure
_PAUSE_S = 0.5


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How attempts are run.

    Attributes:
        source: What the trajectories are recorded as: evaluation or rollout.
        attempts: Attempts at each task.
        temperature: Of sampling; 0 takes the likeliest token.
        seed: Of sampling; attempts differ from one another.
        concurrency: Attempts at the same time.
        max_steps: Model calls after which an attempt has failed.
    """

    source: str = "evaluation"
    attempts: int = 1
    temperature: float = 0.0
    seed: int = 0
    concurrency: int = 64
    max_steps: int = 12


@dataclass(frozen=True, slots=True)
class Ran:
    """One attempt that was made.

    Attributes:
        task: The task.
        pool: Its pool.
        attempt: From 1.
        trajectory_id: Where it is recorded; None if it never began.
        error: What ended it, where it did not complete.
        infrastructure: Whether that was an error of the backend, which says nothing about the adapter.
    """

    task: Task
    pool: str
    attempt: int
    trajectory_id: str | None
    error: str | None
    infrastructure: bool = False


@dataclass
class Runner:
    """Runs an agent with one adapter.

    Attributes:
        subject: The agent.
        adapter: Adapter version that answers; None is the base model.
        options: How attempts are run.
        model: Another chat model than the agent's own, such as a routed one.
        loop: The event loop of the evaluation; by default one of its own.
    """

    subject: Subject
    adapter: str | None
    options: RunOptions
    model: Any = None
    loop: EvaluationLoop | None = None
    _graph: Any = None
    _faults: _FaultRow = field(init=False)

    def __post_init__(self) -> None:
        self._faults = _FaultRow(max(8, self.options.concurrency))

    def run(
        self, tasks: dict[str, Sequence[Task]], advance: Callable[[str], None] = lambda _: None
    ) -> list[Ran]:
        """Attempt all tasks of all pools.

        Args:
            tasks: Tasks by pool.
            advance: Called after each attempt.
        """
        return self.run_jobs(
            [
                (task, pool, attempt)
                for attempt in range(1, self.options.attempts + 1)
                for pool, several in tasks.items()
                for task in several
            ],
            advance,
        )

    def run_jobs(
        self, jobs: Sequence[Job], advance: Callable[[str], None] = lambda _: None
    ) -> list[Ran]:
        """Make the attempts of a list.

        Args:
            jobs: Task, pool and number of each attempt.
            advance: Called after each attempt.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(served(self.subject.config, self.adapter))
            self._wrapped()  # what is wrong with the agent is told before anything runs
            loop = self.loop or stack.enter_context(EvaluationLoop(self.options.concurrency))
            return loop.run(self._all(jobs, advance))

    async def _all(self, jobs: Iterable[Job], advance: Callable[[str], None]) -> list[Ran]:
        places = asyncio.Semaphore(self.options.concurrency)

        async def one(job: Job) -> Ran:
            async with places:
                ran = await self._tried(job)
            advance("" if ran.error is None else ran.error[:40])
            return ran

        return list(await asyncio.gather(*(one(job) for job in jobs)))

    async def _tried(self, job: Job) -> Ran:
        """One attempt; one that met an error of the infrastructure is made again, unless all do."""
        for tried in range(_TRIES):
            if self._faults.told is not None:
                task, pool, attempt = job
                return Ran(task, pool, attempt, None, self._faults.told, infrastructure=True)
            ran = await self._attempt(*job)
            self._faults.add(ran.error if ran.infrastructure else None)
            if not ran.infrastructure or tried + 1 == _TRIES:
                return ran
            await asyncio.sleep(_PAUSE_S * 2**tried)
        raise AssertionError("the last try returns")

    async def _attempt(self, task: Task, pool: str, attempt: int) -> Ran:
        world, error, fault = self.subject.open_environment(), None, None
        watch = AttemptWatch(self.options.max_steps)
        scope = burnish.task(
            id=task.id, attempt=attempt, source=self.options.source, environment=world
        )
        try:
            if world is not None:
                world.open(task.data)
            with self._seeded(task, attempt):
                async with scope:
                    await self._wrapped().ainvoke(task.input, self._config(task, pool, watch))
        except EvaluationError as stopped:
            error = stopped.found
        except Exception as problem:  # noqa: BLE001 - whatever an agent raises is a failed attempt
            error = f"{type(problem).__name__}: {problem}"
            fault = infrastructure_error(problem)
        finally:
            if world is not None:
                world.close()
        fault = fault or watch.fault
        recorded = scope.trajectory_ids[0] if scope.trajectory_ids else None
        return Ran(task, pool, attempt, recorded, fault or error, infrastructure=bool(fault))

    def _seeded(self, task: Task, attempt: int) -> contextlib.AbstractContextManager[None]:
        if self.options.temperature == 0:
            return contextlib.nullcontext()
        return seeded(self.options.seed, task.id, attempt)

    def _wrapped(self) -> Any:
        """The wrapped graph; attempts differ by the seeds of their calls."""
        if self._graph is None:
            model = self.model or chat_model(
                self.subject.config,
                self.adapter,
                temperature=self.options.temperature,
                next_seed=next_seed,
            )
            self._graph = burnish.wrap(self._built(model), agent=self.subject.name)
        return self._graph

    def _built(self, model: Any) -> Any:
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

    def _config(self, task: Task, pool: str, watch: AttemptWatch) -> dict[str, Any]:
        return {
            "configurable": {"thread_id": f"{self.options.source}-{uuid.uuid4().hex}"},
            "metadata": {"pool": pool, "kind": task.kind},
            "tags": [f"kind:{task.kind}"],
            "callbacks": [watch],
            "recursion_limit": 12 * self.options.max_steps,
        }


@dataclass
class _FaultRow:
    """Errors of the infrastructure without a good attempt between them.

    Attributes:
        most: So many in a row tell that no further attempt makes sense.
        told: The error once that is so.
    """

    most: int
    told: str | None = None
    _length: int = 0

    def add(self, fault: str | None) -> None:
        """Note what an attempt met; None is nothing."""
        self._length = 0 if fault is None else self._length + 1
        if self._length >= self.most:
            self.told = fault


def since_now() -> int:
    """A moment before anything that is recorded from now on, in nanoseconds."""
    return time.time_ns()
