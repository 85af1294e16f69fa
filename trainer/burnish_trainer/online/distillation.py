"""Train an agent on the verified successes of another one, with its own prompt and tools. `distill` is the entry.

The other agent is a slower configuration of the same one: more attempts, more verification, a larger model. Only its
replies and tool results are taken over; its system prompt and its tools are replaced by those that the trained agent shows
its model at the same task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from burnish.errors import EmptyDataset
from burnish.journal.index.trajectory_index import Query
from burnish.records import Evaluation, Message, ModelCall, Tool, Trajectory
from burnish_trainer import console
from burnish_trainer.evaluation.agent_project import AgentProject, decode_tasks, load_agent
from burnish_trainer.evaluation.grading import mean_cost
from burnish_trainer.evaluation.rollouts import RunOptions
from burnish_trainer.evaluation.runner import RunCollection, collect, evaluate
from burnish_trainer.recipes.train_recipe import TrainRecipe
from burnish_trainer.run.publish import AdapterVersion


@dataclass(frozen=True, kw_only=True)
class DistillReport:
    """The result of a distillation.

    Attributes:
        adapter: The published version of the trained agent.
        teacher_success: Success rate of the teacher on the training tasks.
        teacher_cost: Its mean steps, calls, tokens and seconds of an attempt.
        evaluation: Success and cost of the trained agent before and after, on held-out tasks; None if not asked for.
        kept: Successes of the teacher that were trained on.
        dropped: Successes that were not, by reason.
    """

    adapter: AdapterVersion
    teacher_success: float
    teacher_cost: dict[str, float]
    evaluation: Evaluation | None
    kept: int
    dropped: dict[str, int]


def distill(
    *,
    from_: str | AgentProject,
    to: str | AgentProject,
    tasks: Iterable[Any] | None = None,
    attempts: int = 4,
    recipe: TrainRecipe | dict[str, Any] | None = None,
    measure: bool = True,
) -> DistillReport:
    """Train agent `to` on verified successes of agent `from_`, and compare it before and after on held-out tasks.

    Args:
        from_: Name of the teacher in burnish.toml.
        to: Name of the agent that is trained.
        tasks: Training tasks; by default those of the pool `train` of the trained agent.
        attempts: Attempts of the teacher at each task.
        recipe: Settings of the training.
        measure: Compare the trained agent before and after.

    Raises:
        EmptyDataset: No success of the teacher can be trained on.
    """
    from burnish_exporters import build_dataset
    from burnish_trainer.run.training import train

    teacher, student = load_agent(from_), load_agent(to)
    given = student.tasks("train") if tasks is None else decode_tasks(tasks)
    made = collect(teacher, given, options=_rollout_options(teacher, "teacher", attempts))
    shown = collect(student, given, options=_rollout_options(student, "rollout", 1))
    prompts = {run.task_id: read_prompt(run) for run in _recorded(student, shown, successes=False)}
    dropped: Counter[str] = Counter()
    kept = list(
        _with_prompts(_recorded(teacher, made, successes=True), prompts, student.name, dropped)
    )
    if not kept:
        raise EmptyDataset(
            f"no success of {teacher.name!r} can be trained on ({dict(dropped) or 'it had none'})",
            "verified successes whose tools the trained agent has",
            f"burnish traces list --agent {teacher.name}",
        )
    console.say("  {} successes of {}, {} left out", len(kept), teacher.name, sum(dropped.values()))
    dataset = build_dataset(
        kept,
        agent=student.name,
        verify=teacher.verifiers,
        recipe=msgspec.structs.asdict(student.config.dataset),
        name=f"{student.name}-distilled",
    )
    version = train(
        dataset, base_model=student.config.base_model, recipe=recipe, workspace=student.workspace
    )
    return DistillReport(
        adapter=version,
        teacher_success=made.success_rate,
        teacher_cost=mean_cost(made.results),
        evaluation=evaluate(student, adapters=[None, version.id]) if measure else None,
        kept=len(kept),
        dropped=dict(dropped),
    )


def _rollout_options(subject: AgentProject, source: str, attempts: int) -> RunOptions:
    table = subject.config.evaluate
    return RunOptions(
        source=source,
        attempts=attempts,
        temperature=table.rollout_temperature,
        seed=table.seed,
        concurrency=table.concurrency,
        max_steps=table.max_steps,
    )


def _recorded(
    subject: AgentProject, made: RunCollection, *, successes: bool
) -> Iterator[Trajectory]:
    wanted = {r.trajectory_id for r in made.results if r.label == "success" or not successes}
    workspace = subject.workspace
    entries = [entry for entry in workspace.entries(Query()) if entry.id in wanted]
    yield from workspace.read(entries)


def read_prompt(trajectory: Trajectory) -> tuple[list[Message], list[Tool]]:
    """Return the system messages and the tools of a run's first model call; empty without a call."""
    if not trajectory.model_calls:
        return [], []
    first = trajectory.model_calls[0]
    return [m for m in first.messages if m.get("role") == "system"], first.tools


def _with_prompts(
    runs: Iterable[Trajectory],
    prompts: dict[str | None, tuple[list[Message], list[Tool]]],
    agent: str,
    dropped: Counter[str],
) -> Iterator[Trajectory]:
    """Yield runs as if the trained agent had made them; count those that it could not have made."""
    for run in runs:
        if run.task_id not in prompts:
            dropped["the trained agent did not run at this task"] += 1
            continue
        system, tools = prompts[run.task_id]
        offered = {tool.get("name") for tool in tools}
        foreign = {one.name for one in run.tool_runs} - offered
        if foreign:
            dropped[f"the trained agent has no tool {min(foreign)}"] += 1
            continue
        yield take_over(run, system, tools, agent)


def take_over(run: Trajectory, system: list[Message], tools: list[Tool], agent: str) -> Trajectory:
    """Return a run with other system messages and tools; its captured tokens, which belong to the old ones, are removed.

    Args:
        run: The run.
        system: The system messages.
        tools: The tools that are offered.
        agent: The agent that the run is attributed to.
    """

    def change_call(call: ModelCall) -> ModelCall:
        rest = [message for message in call.messages if message.get("role") != "system"]
        return msgspec.structs.replace(
            call,
            messages=[*system, *rest],
            tools=tools,
            prompt_token_ids=None,
            token_ids=None,
            logprobs=None,
        )

    calls = [change_call(call) for call in run.model_calls]
    return msgspec.structs.replace(run, agent=agent, model_calls=calls)
