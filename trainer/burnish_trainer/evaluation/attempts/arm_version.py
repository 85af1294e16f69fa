"""Name what one arm of an evaluation runs: an adapter version and a prompt version."""

from __future__ import annotations

from typing import NamedTuple

from burnish.records import Evaluation


class ArmVersion(NamedTuple):
    """The version of an arm.

    Attributes:
        adapter: Adapter version; None is the base model.
        prompt: Prompt version; None is the agent's own prompts.
    """

    adapter: str | None = None
    prompt: str | None = None

    @property
    def label(self) -> str:
        """The version in words: its adapter or the base, and its prompt unless it is the agent's own."""
        model = self.adapter or "base"
        return model if self.prompt is None else f"{model} with prompt {self.prompt}"


def read_versions(found: Evaluation) -> tuple[ArmVersion, ArmVersion]:
    """Return the versions that an evaluation measured, the current one first."""
    return (
        ArmVersion(found.before, found.before_prompt),
        ArmVersion(found.after, found.after_prompt),
    )
