"""Run the agent on tasks: many attempts at a time, each in its own environment, captured like any other run."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import burnish
from burnish.adapters.prompt_store import PromptVersion
from burnish.errors import BackendUnavailable, BurnishError, EvaluationError
from burnish.records import Task
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.evaluation.attempts.ended import BACKEND, ENVIRONMENT, EndedAttempt
from burnish_trainer.evaluation.attempts.prompt_uses import PromptUses
from burnish_trainer.evaluation.attempts.shared import EvaluationState
from burnish_trainer.evaluation.attempts.watch import (
    AttemptWatch,
    infrastructure_error,
    next_seed,
    read_retry_after,
    refuses_token,
    seed_calls,
)
from burnish_trainer.evaluation.attempts.world import AttemptWorld, EnvironmentFault
from burnish_trainer.evaluation.chat_models import load_adapter, make_chat_model
from burnish_trainer.evaluation.event_loop import EvaluationLoop

AttemptJob = tuple[Task, str, int]
"""A task, its pool, and the number of the attempt."""
TIME_LIMIT_S = 600.0
_TRIES = 3  # of an attempt that meets an error of the infrastructure
_PAUSE_S = 0.5
_MOST_PAUSES = 20  # that a server may ask of one attempt; they do not count as tries


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
        time_limit_s: Seconds after which an attempt has failed.
        token_limit: Tokens of all attempts after which none starts; None means no limit.
        same_start: An attempt is lost if its environment starts in another state than the first one at the task.
    """

    source: str = "evaluation"
    attempts: int = 1
    first: int = 1
    temperature: float = 0.0
    seed: int = 0
    concurrency: int = 64
    max_steps: int = 12
    time_limit_s: float = TIME_LIMIT_S
    token_limit: int | None = None
    same_start: bool = True

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


def describe_job(job: AttemptJob, **more: Any) -> EndedAttempt:
    """Return the record of an attempt that ended.

    Args:
        job: Task, pool and number.
        **more: How it ended.
    """
    task, pool, attempt = job
    return EndedAttempt(task_id=task.id, pool=pool, kind=task.kind, attempt=attempt, **more)


@dataclass
class AttemptRunner:
    """Runs an agent with one adapter.

    Attributes:
        subject: The agent.
        adapter: Adapter version that answers; None is the base model.
        options: Options of the attempts.
        model: A chat model in place of the agent's own, such as a routed one.
        loop: The event loop of the evaluation; by default its own.
        prompt: Prompt version that answers; None is the agent's own prompts. What is in service never does.
    """

    subject: AgentProject
    adapter: str | None
    options: RunOptions
    model: Any = None
    loop: EvaluationLoop | None = None
    prompt: PromptVersion | None = None
    _graph: Any = None
    _state: EvaluationState = field(init=False)
    _faults: _FaultStreak = field(init=False)

    def __post_init__(self) -> None:
        self._faults = _FaultStreak(max(8, self.options.concurrency))
        self._state = self.loop.state if self.loop else EvaluationState(self.options.token_limit)
        self._uses = PromptUses(self.subject.name, self.prompt)

    def run_jobs(
        self,
        jobs: Sequence[AttemptJob],
        on_end: Callable[[EndedAttempt], None] = lambda _: None,
    ) -> list[EndedAttempt]:
        """Make the attempts of a list.

        Args:
            jobs: Task, pool and number of each attempt.
            on_end: Called after each attempt, in the thread of the event loop.

        Raises:
            BackendUnavailable: The backend refuses the token.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(load_adapter(self.subject, self.adapter))
            self._wrapped_graph()  # a fault of the agent raises before any attempt runs
            loop = self.loop or stack.enter_context(EvaluationLoop(self._state))
            return loop.run(self._run_all(jobs, on_end))

    async def _run_all(
        self, jobs: Iterable[AttemptJob], on_end: Callable[[EndedAttempt], None]
    ) -> list[EndedAttempt]:
        places = asyncio.Semaphore(self.options.concurrency)

        async def run_limited(job: AttemptJob) -> EndedAttempt:
            async with places:
                await self._state.wait_for_server()
                ran = await self._run_with_retries(job)
            self._uses.count_attempt(ran)
            on_end(ran)
            return ran

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(run_limited(job)) for job in jobs]
        except (
            BaseExceptionGroup
        ) as several:  # one fault ends the evaluation; the others follow from it
            raise several.exceptions[0] from several
        self._uses.require_use()
        return [task.result() for task in tasks]

    async def _run_with_retries(self, job: AttemptJob) -> EndedAttempt:
        """Run one attempt; repeat it after an infrastructure error, unless all attempts meet one."""
        tries = pauses = 0
        while True:
            if self._faults.error is not None:
                return describe_job(
                    job,
                    error=self._faults.error,
                    infrastructure=True,
                    fault_of=self._faults.fault_of,
                )
            if self._state.used_up:
                return describe_job(job, error=self._describe_limit(), skipped=True)
            ran, pause_s = await self._run_attempt(job)
            self._faults.count_fault(ran.error if ran.infrastructure else None, ran.fault_of)
            if not ran.infrastructure:
                return ran
            if pause_s and pauses < _MOST_PAUSES:
                pauses += 1
                self._state.pause(pause_s)
            else:
                tries += 1
            if tries == _TRIES:
                return ran
            await asyncio.sleep(_PAUSE_S * 2 ** (tries - 1) if pause_s is None else 0)
            await self._state.wait_for_server()

    def _describe_limit(self) -> str:
        return (
            f"the limit of {self._state.token_limit} tokens was reached; "
            "raise token_limit in [agent.NAME.evaluate] of burnish.toml and repeat the command"
        )

    async def _run_attempt(self, job: AttemptJob) -> tuple[EndedAttempt, float | None]:
        """Run one attempt once; return how it ended, and the pause that is due: None is the usual one."""
        task, pool, _ = job
        world = AttemptWorld(self.subject.open_environment)
        watch = AttemptWatch(self.options.max_steps, self._count_tokens)
        recorded: list[str] = []
        error = fault = spoiled = pause_s = None
        try:
            await world.open(task.data)
            self._check_start(world, (pool, task.id))
            error, fault = await self._invoke_agent(job, world, watch, recorded)
        except EnvironmentFault as problem:
            spoiled, pause_s = str(problem), 0.0
        finally:
            closed = await world.close()
        fault, spoiled = fault or watch.fault, spoiled or closed
        ended = describe_job(
            job,
            trajectory_id=recorded[0] if recorded else None,
            error=fault or spoiled or error,
            infrastructure=bool(fault or spoiled),
            fault_of=BACKEND if fault else ENVIRONMENT if spoiled else None,
            refusal=None if fault or spoiled else watch.refusal,
            undecided=getattr(world.environment, "undecided", None),
            start_sha256=world.start_sha256,
        )
        return ended, watch.retry_after_s or pause_s

    async def _invoke_agent(
        self, job: AttemptJob, world: AttemptWorld, watch: AttemptWatch, recorded: list[str]
    ) -> tuple[str | None, str | None]:
        """Invoke the agent; return what ended it early, and the infrastructure error behind that.

        Args:
            job: Task, pool and number.
            world: The open environment.
            watch: The limits of the attempt.
            recorded: Gets the ids of the trajectories.
        """
        task, pool, attempt = job
        scope = burnish.task(
            id=task.id, attempt=attempt, source=self.options.source, environment=world.environment
        )
        limit = asyncio.timeout(self.options.time_limit_s)
        try:
            with self._seed_attempt(task, attempt), self._uses.give():
                async with scope, limit:
                    await self._wrapped_graph().ainvoke(
                        task.input, self._run_config(task, pool, watch)
                    )
        except EvaluationError as stopped:
            return stopped.found, None
        except Exception as problem:
            if isinstance(problem, TimeoutError) and limit.expired():
                return self._describe_time_out(watch)
            error, fault = f"{type(problem).__name__}: {problem}", infrastructure_error(problem)
            if refuses_token(problem) and not self._faults.answered:
                raise self._refused_token(fault or error) from problem
            watch.retry_after_s = watch.retry_after_s or read_retry_after(problem)
            return error, fault
        finally:
            watch.stop()
            recorded += scope.trajectory_ids
        return None, None

    def _count_tokens(self, tokens: int) -> None:
        self._state.tokens += tokens
        self._faults.answered = True

    def _check_start(self, world: AttemptWorld, key: tuple[str, str]) -> None:
        """Refuse an environment that an earlier attempt left its traces in."""
        sha256 = world.start_sha256
        if self.options.same_start and not self._state.compare_start(key, sha256):
            raise EnvironmentFault(
                f"the environment of task {key[1]} starts in another state than at an earlier attempt: it leaks "
                "between attempts, or its first state differs by design (same_start = false)"
            )

    def _describe_time_out(self, watch: AttemptWatch) -> tuple[str | None, str | None]:
        """Return what ended an attempt at its time limit, and the fault if the backend did not answer."""
        limit = self.options.time_limit_s
        if watch.unanswered_s > limit / 2:
            return None, f"TimeoutError: the model did not answer for {watch.unanswered_s:.0f} s"
        return f"the attempt took longer than {limit:g} s", None

    def _refused_token(self, found: str) -> BackendUnavailable:
        return BackendUnavailable(
            f"{self.subject.config.backend} refuses the token: {found}",
            "a token that may use the model",
            "set BURNISH_TOKEN",
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
        fault_of: Its origin, backend or environment.
        answered: True once the backend has answered any attempt.
    """

    most: int
    error: str | None = None
    fault_of: str | None = None
    answered: bool = False
    _length: int = 0

    def count_fault(self, fault: str | None, fault_of: str | None) -> None:
        """Count the error of an attempt; None resets the count."""
        self._length = 0 if fault is None else self._length + 1
        if self._length >= self.most:
            self.error, self.fault_of = fault, fault_of
