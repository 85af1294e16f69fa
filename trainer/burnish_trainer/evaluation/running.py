"""The agent attempts tasks, many at a time, each in a world of its own, captured like any other run.

Knows: how one attempt is set up, limited and torn down. Does not know: what a success is.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import burnish
from burnish.errors import BurnishError, EvaluationError
from burnish.records import Task
from burnish_trainer.evaluation.answering import chat_model, served
from burnish_trainer.evaluation.subject import Subject

_T = TypeVar("_T")


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
    """

    task: Task
    pool: str
    attempt: int
    trajectory_id: str | None
    error: str | None


@dataclass
class Runner:
    """Runs an agent with one adapter.

    Attributes:
        subject: The agent.
        adapter: Adapter version that answers; None is the base model.
        options: How attempts are run.
        model: Another chat model than the agent's own, such as a routed one.
    """

    subject: Subject
    adapter: str | None
    options: RunOptions
    model: Any = None
    _graphs: dict[int, Any] = field(default_factory=dict)

    def run(
        self, tasks: dict[str, Sequence[Task]], advance: Callable[[str], None] = lambda _: None
    ) -> list[Ran]:
        """Attempt all tasks of all pools.

        Args:
            tasks: Tasks by pool.
            advance: Called after each attempt.
        """
        jobs = [
            (task, pool, attempt)
            for attempt in range(1, self.options.attempts + 1)
            for pool, several in tasks.items()
            for task in several
        ]
        with served(self.subject.config, self.adapter):
            for attempt in range(1, self.options.attempts + 1):
                self._graph(attempt)  # what is wrong with the agent is told before anything runs
            return run_blocking(self._all(jobs, advance))

    async def _all(
        self, jobs: Iterable[tuple[Task, str, int]], advance: Callable[[str], None]
    ) -> list[Ran]:
        loop, places = asyncio.get_running_loop(), asyncio.Semaphore(self.options.concurrency)
        # Agents with synchronous nodes run them here; they must not wait for one another.
        loop.set_default_executor(ThreadPoolExecutor(self.options.concurrency))

        async def one(job: tuple[Task, str, int]) -> Ran:
            async with places:
                ran = await self._attempt(*job)
            advance("" if ran.error is None else ran.error[:40])
            return ran

        return list(await asyncio.gather(*(one(job) for job in jobs)))

    async def _attempt(self, task: Task, pool: str, attempt: int) -> Ran:
        world, error = self.subject.open_environment(), None
        scope = burnish.task(
            id=task.id, attempt=attempt, source=self.options.source, environment=world
        )
        try:
            if world is not None:
                world.open(task.data)
            async with scope:
                await self._graph(attempt).ainvoke(task.input, self._config(task, pool))
        except EvaluationError as stopped:
            error = stopped.found
        except Exception as problem:  # noqa: BLE001 - whatever an agent raises is a failed attempt
            error = f"{type(problem).__name__}: {problem}"
        finally:
            if world is not None:
                world.close()
        recorded = scope.trajectory_ids[0] if scope.trajectory_ids else None
        return Ran(task, pool, attempt, recorded, error)

    def _graph(self, attempt: int) -> Any:
        """The wrapped graph for an attempt; attempts differ by the seed of their model."""
        if attempt not in self._graphs:
            model = self.model or chat_model(
                self.subject.config,
                self.adapter,
                temperature=self.options.temperature,
                seed=None if self.options.temperature == 0 else self.options.seed * 1000 + attempt,
            )
            self._graphs[attempt] = burnish.wrap(self._built(model), agent=self.subject.name)
        return self._graphs[attempt]

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

    def _config(self, task: Task, pool: str) -> dict[str, Any]:
        return {
            "configurable": {"thread_id": f"{self.options.source}-{uuid.uuid4().hex}"},
            "metadata": {"pool": pool, "kind": task.kind},
            "tags": [f"kind:{task.kind}"],
            "callbacks": [step_limit(self.options.max_steps)],
            "recursion_limit": 12 * self.options.max_steps,
        }


def step_limit(most: int) -> Any:
    """A callback that ends a run which asks the model more often than allowed."""
    from langchain_core.callbacks import BaseCallbackHandler

    class StepLimit(BaseCallbackHandler):
        raise_error = True
        run_inline = True

        def __init__(self) -> None:
            self._left = most

        def on_chat_model_start(self, *_: Any, **__: Any) -> None:
            self._left -= 1
            if self._left < 0:
                raise EvaluationError(
                    f"the agent asked the model more than {most} times",
                    "an answer within max_steps",
                    "raise max_steps in [agent.NAME.evaluate] of burnish.toml",
                )

    return StepLimit()


def run_blocking(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end, also where the caller is inside an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    box: list[Any] = []
    thread = threading.Thread(target=lambda: box.append(_outcome(work)))
    thread.start()
    thread.join()
    kind, value = box[0]
    if kind == "error":
        raise value
    return value


def _outcome(work: Coroutine[Any, Any, Any]) -> tuple[str, Any]:
    try:
        return "value", asyncio.run(work)
    except BaseException as problem:  # noqa: BLE001 - handed to the thread that waits
        return "error", problem


def since_now() -> int:
    """A moment before anything that is recorded from now on, in nanoseconds."""
    return time.time_ns()
