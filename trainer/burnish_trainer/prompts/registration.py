"""Register a version that was evaluated, with its report."""

from __future__ import annotations

from typing import Any

import msgspec

from burnish.errors import EvaluationError
from burnish.files.storage import make_private_folder
from burnish.records import Decision, Evaluation
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.release import register_adapter
from burnish_trainer.run.storage import write_json


def register_evaluated(
    subject: AgentProject, evaluation: Evaluation, decision: Decision, *, forced: bool = False
) -> dict[str, Any]:
    """Register the version after of an evaluation; what the gate did not promote may not serve.

    Args:
        subject: The agent.
        evaluation: What was measured.
        decision: Decision of the gate.
        forced: Let it serve even if the gate refused it.

    Raises:
        EvaluationError: It measured the base model with the agent's own prompts.
    """
    adapter, prompt = evaluation.after, evaluation.after_prompt
    if adapter is None and prompt is None:
        raise EvaluationError(
            "the base model with the agent's own prompts cannot be registered",
            "an adapter, a prompt version, or both",
            f"burnish eval {subject.name} --prompt VERSION --register",
        )
    folder = make_private_folder(subject.workspace.home / "evaluations" / "registered")
    path = folder / f"{'+'.join(name for name in (adapter, prompt) if name)}.json"
    write_json(path, msgspec.to_builtins(evaluation))
    return register_adapter(subject, adapter, path, decision, prompt=prompt, forced=forced)
