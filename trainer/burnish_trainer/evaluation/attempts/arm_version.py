"""Name what one arm of an evaluation runs: an adapter version and a prompt version."""

from __future__ import annotations

from typing import NamedTuple


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
        """Return the version in words."""
        model = self.adapter or "the base"
        return model if self.prompt is None else f"{model} with {self.prompt}"
