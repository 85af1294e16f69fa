"""Hold what the stages of one round share: the agent, the receipts, the options, and the outputs so far."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion
from burnish_trainer.rounds.stages import Stages

Json = Any
Approve = Callable[[dict[str, Json]], bool]
"""Decides on a plan: True trains, False stops before anything is trained."""
Notify = Callable[[str, dict[str, Json]], None]
"""Receives the name of a transition and its facts."""


@dataclass(frozen=True, kw_only=True)
class RoundOptions:
    """The options of a call beside burnish.toml; they are part of a round's settings.

    Attributes:
        force: Continue against what readiness, the evidence for an objective, or the gate refuses.
        releases: The canary starts at the end.
        prompt: Prompt version that is evaluated and rolled out with the adapter; None is the one in service.
    """

    force: bool = False
    releases: bool = True
    prompt: str | None = None

    def describe(self) -> dict[str, Json]:
        """Return the options that are set, as plain data; earlier versions knew no prompts."""
        found = dataclasses.asdict(self)
        return {name: value for name, value in found.items() if name != "prompt" or value}


@dataclass(frozen=True, kw_only=True)
class RoundControls:
    """Wishes of a call that do not change the result of a round.

    Attributes:
        again: Run even if nothing is new since the last round.
        dry_run: Stop after the plan.
        approve: Asked with the plan; None approves.
        notify: Called at each transition.
    """

    again: bool = False
    dry_run: bool = False
    approve: Approve | None = None
    notify: Notify = lambda _event, _facts: None


@dataclass(kw_only=True)
class RetrainRound:
    """One round of one agent.

    Attributes:
        subject: The agent.
        stages: Receipts of the round.
        options: Options of the call.
        controls: Further wishes of the call.
        last: Folder of the last round with the same settings that has ended.
        outputs: Outputs of the finished stages, by name.
    """

    subject: AgentProject
    stages: Stages
    options: RoundOptions = field(default_factory=RoundOptions)
    controls: RoundControls = field(default_factory=RoundControls)
    last: Path | None = None
    outputs: dict[str, Json] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """Return the folder of the workspace."""
        return self.subject.workspace.home

    @property
    def current(self) -> str | None:
        """Return the version that was in service when the round began; None is the base model."""
        return self.outputs["readiness"]["current"]

    @property
    def before(self) -> ArmVersion:
        """Return adapter and prompt that were in service when the round began."""
        return ArmVersion(self.current, self.outputs["readiness"].get("prompt"))

    @property
    def after(self) -> ArmVersion:
        """Return the adapter that the round trained, with the prompt that it is rolled out with."""
        return ArmVersion(self.adapter, self.options.prompt or self.before.prompt)

    @property
    def adapter(self) -> str:
        """Return the version that the round trained."""
        return str(self.outputs["train"]["id"])

    @property
    def evaluation_path(self) -> Path:
        """Return the file of the evaluation."""
        return self.stages.folder / "evaluation.json"
