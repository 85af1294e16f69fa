"""Run the real agent with the policy of a training step, and return what it sampled.

The weights of the step are written as an adapter, loaded by the agent's own backend under a name that is a hash of
them, and unloaded after the attempts. Attempts are captured, verified and stored like all others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.adapters.store import adapter_id
from burnish.journal.index.trajectory_index import Query
from burnish.protocols import Backend
from burnish.records import Task, Trajectory
from burnish_trainer.credit.scored_runs import CreditRun
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.attempts.watch import next_seed
from burnish_trainer.evaluation.chat_models import make_chat_model
from burnish_trainer.evaluation.grading import AttemptGrader
from burnish_trainer.evaluation.rollouts import AttemptRunner, RunOptions
from burnish_trainer.online.attempt_tokens import AttemptTokens, CreditRunReader, merge_attempt
from burnish_trainer.run.publish import save_adapter

_REWARDS = {"success": 1.0, "fail": 0.0}


@dataclass(frozen=True, slots=True)
class RolledAttempt:
    """One attempt of a training step.

    Attributes:
        run: The attempt for credit functions; its reward is None if no verifier decided.
        tokens: Its tokens; None if no call of it has them.
    """

    run: CreditRun
    tokens: AttemptTokens | None


@dataclass
class AgentRollouts:
    """Runs the agent with the current policy.

    Attributes:
        subject: The agent.
        tasks: Its training tasks, by id.
        options: Options of the attempts; their source is `rollout`.
        grader: Grades the attempts with the verifiers that select training runs.
        reader: Reads trajectories as runs.
        folder: Folder of the weights of a step.
        counts: Attempts, unscored attempts, attempts without tokens and calls left out, so far.
    """

    subject: AgentProject
    tasks: dict[str, Task]
    options: RunOptions
    grader: AttemptGrader
    reader: CreditRunReader
    folder: Path
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("attempts", "unscored", "without_tokens", "calls_left_out"), 0
        )
    )

    def roll_out(self, model: Any, task_ids: Sequence[str], step: int) -> list[RolledAttempt]:
        """Make one attempt for each id, in their order.

        Args:
            model: The adapted model in training.
            task_ids: Ids of tasks; an id that occurs several times is attempted as often.
            step: Number of the training step, which enters the seeds.
        """
        seen: dict[str, int] = {}
        jobs: list[tuple[Task, str, int]] = []
        for name in task_ids:
            seen[name] = seen.get(name, 0) + 1
            jobs.append((self.tasks[name], "train", step * len(task_ids) + seen[name]))
        with self._serve_policy(model) as chat:
            runner = AttemptRunner(self.subject, None, self.options, model=chat)
            ran = runner.run_jobs(jobs)
        results = self.grader.grade(ran)
        wanted = {result.trajectory_id for result in results}
        workspace = self.subject.workspace
        entries = [entry for entry in workspace.entries(Query()) if entry.id in wanted]
        recorded = {one.id: one for one in workspace.read(entries)}
        return [
            self._read_attempt(f"{step}.{place}", result, recorded)
            for place, result in enumerate(results)
        ]

    def _read_attempt(
        self, name: str, result: AttemptResult, recorded: dict[str, Trajectory]
    ) -> RolledAttempt:
        trajectory = recorded.get(result.trajectory_id or "")
        self.counts["attempts"] += 1
        tokens = merge_attempt(trajectory.model_calls) if trajectory is not None else None
        reward = None if tokens is None else _REWARDS.get(result.label)
        self.counts["unscored"] += reward is None
        if trajectory is None or tokens is None:
            self.counts["without_tokens"] += 1
            return RolledAttempt(CreditRun(id=name, task=result.task_id, reward=None), None)
        self.counts["calls_left_out"] += tokens.calls_left_out
        return RolledAttempt(self.reader.read_run(name, result.task_id, trajectory, reward), tokens)

    @contextlib.contextmanager
    def _serve_policy(self, model: Any) -> Generator[Any]:
        """Serve the weights of this step inside the block, and give the chat model that uses them."""
        from burnish.serving import open_backend

        config = self.subject.config
        save_adapter(model, self.folder, config.base_model)
        version, _ = adapter_id(self.folder, "policy")
        backend: Backend = open_backend(config.backend, base_model=config.base_model)
        backend.load(version, self.folder)
        try:
            yield make_chat_model(
                config, version, temperature=self.options.temperature, next_seed=next_seed
            )
        finally:
            backend.unload(version)
