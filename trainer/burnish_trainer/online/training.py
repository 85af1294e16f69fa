"""State the order of online training: tasks, rollouts and steps, publication, pass rates before and after.

`train_online` is the entry. A run that was killed continues from its newest whole checkpoint, in the folder of its plan.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from burnish.adapters.store import AdapterStore
from burnish.errors import EvaluationError, RegistryError, TrainingError
from burnish.journal.events import canonical
from burnish.records import Task
from burnish_trainer import console
from burnish_trainer.compat import check_online_libraries
from burnish_trainer.credit.run_level import grpo
from burnish_trainer.credit.scored_runs import CreditFunction
from burnish_trainer.evaluation.agent_project import AgentProject, decode_tasks, load_agent
from burnish_trainer.evaluation.grading import AttemptGrader
from burnish_trainer.evaluation.rollouts import RunOptions
from burnish_trainer.online.agent_rollouts import AgentRollouts
from burnish_trainer.online.attempt_tokens import CreditRunReader, StateKey, StepReward
from burnish_trainer.online.online_options import OnlineOptions
from burnish_trainer.online.pass_rates import PassRates, measure_pass_rates, narrowing
from burnish_trainer.recipes.train_recipe import TrainRecipe, make_recipe
from burnish_trainer.rows.token_rows import TokenRow
from burnish_trainer.run.plan import TrainPlan, package_versions
from burnish_trainer.run.publish import AdapterVersion, make_manifest, save_adapter
from burnish_trainer.run.storage import lock_folder, newest_checkpoint, write_json


@dataclass(frozen=True, kw_only=True)
class OnlineReport:
    """The result of online training.

    Attributes:
        adapter: The published version.
        before: Held-out pass rates of the version before; None if they were not measured.
        after: The same of the new version.
        alarm: Warning that the agent became surer but narrower; None if it did not.
        rewards: Mean reward of each step's attempts; None if no verifier decided any of them.
        counts: Attempts, unscored attempts, attempts without tokens, calls that were left out.
        seconds: Duration.
    """

    adapter: AdapterVersion
    before: PassRates | None
    after: PassRates | None
    alarm: str | None
    rewards: list[float | None]
    counts: dict[str, int]
    seconds: float


def train_online(
    agent: str | AgentProject,
    *,
    tasks: Iterable[Any] | None = None,
    credit: CreditFunction = grpo,
    options: OnlineOptions | None = None,
    recipe: TrainRecipe | dict[str, Any] | None = None,
    step_reward: StepReward | None = None,
    state_key: StateKey | None = None,
) -> OnlineReport:
    """Train an adapter by reinforcement learning on the agent itself, and publish it as a version without a report.

    Each step runs the real agent on some tasks, several attempts at each; the verifiers of burnish.toml give the rewards,
    the credit function the advantages, and TRL's GRPOTrainer the loss. Attempts without a verdict have no advantage. A
    killed run continues from its newest whole checkpoint; attempts after it are made again, so its bytes are its own. A
    finished run with the same settings is not repeated.

    Args:
        agent: Name of the agent in burnish.toml.
        tasks: Training tasks; by default those of the pool `train`.
        credit: Function from runs to advantages, see `burnish_trainer.credit`.
        options: Steps, attempts and sampling.
        recipe: Settings of the adapter and the optimizer; by default those of `Recipe` with a learning rate of 2e-4.
        step_reward: Reward of a single call, such as `tool_success`; credit functions that know turns read it.
        state_key: Key of the environment's state before a call; by default a hash of the last message.

    Raises:
        TrainingError: A setting is out of its range, or no attempt of a step has tokens.
        EvaluationError: There are no tasks.
    """
    check_online_libraries()
    started, chosen = time.monotonic(), options or OnlineOptions()
    chosen.check()
    subject = load_agent(agent)
    settings = make_recipe(recipe or {"learning_rate": 2e-4, "name": subject.name})
    train_tasks = _read_tasks(subject, tasks)
    _ = subject.verifiers  # a missing verifier fails before any attempt
    readers = RewardReaders(step_reward, state_key)
    job = _OnlineJob(subject, settings, chosen, credit, train_tasks, readers)
    with lock_folder(job.folder, "an online training"):
        report = job.read_report() or job.make_report(started)
    if report.alarm:
        console.say("  [bold red]{}[/]", report.alarm)
    return report


@dataclass(frozen=True, slots=True)
class RewardReaders:
    """Functions of the user that read rewards and states of single calls.

    Attributes:
        step_reward: Reward of a call.
        state_key: Key of the state before a call.
    """

    step_reward: StepReward | None = None
    state_key: StateKey | None = None


def _read_tasks(subject: AgentProject, tasks: Iterable[Any] | None) -> dict[str, Task]:
    found = subject.tasks("train") if tasks is None else decode_tasks(tasks)
    if not found:
        raise EvaluationError(
            f"agent {subject.name!r} has no tasks to train on",
            "tasks of the pool train",
            f"look at `tasks` in [agent.{subject.name}] of burnish.toml",
        )
    return {task.id: task for task in found}


def _attempt_options(subject: AgentProject, options: OnlineOptions, source: str) -> RunOptions:
    table = subject.config.evaluate
    return RunOptions(
        source=source,
        attempts=options.k if source == "evaluation" else 1,
        temperature=options.temperature,
        seed=table.seed,
        concurrency=table.concurrency,
        max_steps=table.max_steps,
    )


@dataclass
class _OnlineJob:
    """One online training."""

    subject: AgentProject
    recipe: TrainRecipe
    options: OnlineOptions
    credit: CreditFunction
    tasks: dict[str, Task]
    readers: RewardReaders

    @functools.cached_property
    def base(self) -> Path:
        """Return the folder of the base model."""
        from burnish.serving.contract.base_models import resolve_model

        return resolve_model(self.subject.config.base_model)

    @functools.cached_property
    def plan(self) -> TrainPlan:
        """Return the plan, whose id covers everything that decides the run."""
        return self._make_plan()

    @property
    def folder(self) -> Path:
        """Return the folder of the run, which is named after its plan."""
        return self.subject.workspace.home / "runs" / self.plan.id

    @property
    def store(self) -> AdapterStore:
        """Return the adapters of the workspace."""
        return AdapterStore(self.subject.workspace.home)

    def read_report(self) -> OnlineReport | None:
        """Return the report of this run if it has ended and its version is whole."""
        known = read_json(self.folder / "done.json")
        if known is None:
            return None
        try:
            self.store.verify(known["adapter"])
            manifest = self.store.get(known["adapter"])
        except RegistryError:
            return None
        path, rows = self.store.path(manifest.id), known["rows"]
        version = AdapterVersion(manifest.id, path, manifest, self.folder, rows, known["metrics"])
        console.say("  {} is already trained", version.id)
        return self._describe(version, known)

    def make_report(self, started: float) -> OnlineReport:
        """Measure, train and publish, and measure again; what a killed call finished is not repeated.

        Args:
            started: Moment when the call began.
        """
        before = self._measure("before", self.recipe.init_adapter)
        version, rewards, counts = self.run()
        after = self._measure("after", version.id)
        known = {
            "adapter": version.id,
            "rows": version.rows,
            "metrics": version.metrics,
            "before": before,
            "after": after,
            "rewards": rewards,
            "counts": counts,
            "seconds": round(time.monotonic() - started, 3),
        }
        write_json(self.folder / "done.json", known)
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        return self._describe(version, known)

    def _describe(self, version: AdapterVersion, known: dict[str, Any]) -> OnlineReport:
        before, after = (
            None if known[side] is None else msgspec.convert(known[side], PassRates)
            for side in ("before", "after")
        )
        return OnlineReport(
            adapter=version,
            before=before,
            after=after,
            alarm=narrowing(before, after) if before and after else None,
            rewards=known["rewards"],
            counts=known["counts"],
            seconds=known["seconds"],
        )

    def _measure(self, side: str, adapter: str | None) -> dict[str, Any] | None:
        """Return the held-out pass rates as plain data, with a receipt; None if they are not asked for."""
        if self.options.k == 0:
            return None
        path = self.folder / f"{side}.json"
        known = read_json(path)
        if known is not None and known["adapter"] == adapter:
            return known["rates"]
        options = _attempt_options(self.subject, self.options, "evaluation")
        rates = msgspec.to_builtins(measure_pass_rates(self.subject, adapter, options))
        write_json(path, {"adapter": adapter, "rates": rates})
        return rates

    def run(self) -> tuple[AdapterVersion, list[float | None], dict[str, int]]:
        """Train and publish; return the version, the reward of each step, and the counts."""
        from burnish_trainer.recipes.lora import add_adapter, load_base

        model, tokenizer = load_base(self.base, self.recipe)
        first = self.recipe.init_adapter
        model = add_adapter(model, self.recipe, self.store.path(first) if first else None)
        write_json(self.folder / "plan.json", self.plan.as_dict())
        with AttemptGrader(self.subject, self.subject.verifiers) as grader:
            rollouts = self._make_rollouts(tokenizer, grader)
            rows, rewards = self._train(model, tokenizer, rollouts)
        if all(reward is None for reward in rewards):
            raise TrainingError(
                f"none of {rollouts.counts['attempts']} attempts has a verdict, so nothing was learned",
                "verdicts of success or fail, and token ids of the replies",
                f"burnish traces list --agent {self.subject.name}",
            )
        if not rows:
            raise TrainingError(
                "no attempt of the last step has the token ids of its replies",
                "a backend that returns token ids: the embedded engine, or vLLM",
                "burnish doctor",
            )
        plan = msgspec.structs.replace(self.plan, rows={**self.plan.rows, **rollouts.counts})
        version = self._publish(model, plan, rows, rewards)
        return version, rewards, rollouts.counts

    def _make_plan(self) -> TrainPlan:
        from burnish.serving.contract.base_models import base_sha256

        decides = [
            msgspec.to_builtins(self.options),
            *map(
                describe_function, (self.credit, self.readers.step_reward, self.readers.state_key)
            ),
            sorted(self.tasks),
            self.subject.code_sha256,
        ]
        deciding: dict[str, Any] = {
            "objective": f"online/{getattr(self.credit, '__name__', 'custom')}",
            "base_sha256": base_sha256(self.base),
            "dataset": "online",
            "rows_sha256": hashlib.sha256(canonical(decides)).hexdigest(),
            "recipe": msgspec.to_builtins(self.recipe),
            "parents": [self.recipe.init_adapter] if self.recipe.init_adapter else [],
            "versions": package_versions(),
            "steps": self.options.steps,
        }
        digest = hashlib.sha256(canonical(deciding)).hexdigest()
        base_model, rows = self.subject.config.base_model, {"tasks": len(self.tasks)}
        return TrainPlan(id=f"online-{digest[:12]}", base_model=base_model, rows=rows, **deciding)

    def _make_rollouts(self, tokenizer: Any, grader: AttemptGrader) -> AgentRollouts:
        from burnish.serving.contract.model_contract import read_contract
        from burnish.serving.toolcalls.tool_syntax import SYNTAXES

        syntax = read_contract(self.base).syntax
        return AgentRollouts(
            self.subject,
            self.tasks,
            _attempt_options(self.subject, self.options, "rollout"),
            grader,
            CreditRunReader(
                tokenizer,
                SYNTAXES[syntax] if syntax else None,
                self.readers.step_reward,
                self.readers.state_key,
            ),
            self.folder / "policy",
        )

    def _train(
        self, model: Any, tokenizer: Any, rollouts: AgentRollouts
    ) -> tuple[list[TokenRow], list[float | None]]:
        import datasets
        from transformers import PrinterCallback

        from burnish_trainer.online.arguments import make_grpo_arguments
        from burnish_trainer.online.credit_trainer import CreditGRPOTrainer
        from burnish_trainer.recipes.lora import (
            choose_threads,
            ignore_future_warnings,
            use_threads,
        )

        with ignore_future_warnings(), use_threads(choose_threads(model, self.recipe)):
            trainer = CreditGRPOTrainer(
                rollouts=rollouts,
                credit=self.credit,
                model=model,
                args=make_grpo_arguments(self.recipe, self.options, self.folder),
                train_dataset=datasets.Dataset.from_dict({"prompt": sorted(self.tasks)}),
                processing_class=tokenizer,
            )
            trainer.remove_callback(PrinterCallback)
            newest = newest_checkpoint(self.folder / "checkpoints")
            if newest is not None:
                trainer.continue_from(newest)
            trainer.train(resume_from_checkpoint=str(newest) if newest else None)
        history: list[dict[str, Any]] = trainer.state.log_history
        return trainer.rows, [line["reward"] for line in history if "reward" in line]

    def _publish(
        self,
        model: Any,
        plan: TrainPlan,
        rows: Sequence[TokenRow],
        rewards: Sequence[float | None],
    ) -> AdapterVersion:
        from burnish_trainer.run.measures.fingerprint import make_fingerprint

        target = self.folder / "adapter"
        save_adapter(model, target, plan.base_model)
        write_json(target / "fingerprint.json", make_fingerprint(model, rows))
        known = [reward for reward in rewards if reward is not None]
        metrics = {"first_reward": known[0], "last_reward": known[-1]}
        manifest = make_manifest(plan, self.recipe, target, metrics)
        (target / "card.md").write_text(_render_card(manifest.id, plan, metrics))
        published = self.store.publish(target, manifest)
        path = self.store.path(published.id)
        return AdapterVersion(published.id, path, published, self.folder, plan.rows, metrics)


def describe_function(function: Any) -> str:
    """Return the name of a user's function with a hash of its source, so that a changed one is another run."""
    if function is None:
        return ""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = repr(getattr(function, "__name__", type(function).__name__))
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"{name}@{hashlib.sha256(source.encode()).hexdigest()[:12]}"


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a receipt; None if there is none."""
    return json.loads(path.read_text()) if path.exists() else None


def _render_card(version: str, plan: TrainPlan, metrics: dict[str, float]) -> str:
    rows = plan.rows
    return f"""# Adapter {version}

| | |
|---|---|
| base model | {plan.base_model} (sha256 {plan.base_sha256[:12]}) |
| training | {plan.objective}, {plan.steps} steps, learning rate {plan.recipe.get("learning_rate")} |
| attempts | {rows["attempts"]} at {rows["tasks"]} tasks |
| attempts without a verdict | {rows["unscored"]} |
| attempts without tokens | {rows["without_tokens"]} |
| calls left out of their sequence | {rows["calls_left_out"]} |
| mean reward, first and last step | {metrics["first_reward"]:.3f}, {metrics["last_reward"]:.3f} |

Rewards of training say little about new tasks: compare it with `burnish eval` before it serves.
"""
