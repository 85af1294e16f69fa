"""Define the settings of online training, and what they refuse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from burnish.errors import TrainingError


@dataclass(frozen=True, kw_only=True)
class OnlineOptions:
    """Settings of online training.

    Attributes:
        steps: Optimizer steps.
        tasks_per_step: Tasks of a step.
        group_size: Attempts at each of them.
        micro_batch: Attempts of one forward pass; it divides their number. By default all of a step.
        temperature: Sampling temperature of the attempts, and of the policy that is trained.
        k: Attempts at each held-out task for pass@k before and after; 0 measures nothing.
        grpo: Further arguments of TRL's `GRPOConfig`, such as `loss_type` or `top_entropy_quantile`.
    """

    steps: int = 50
    tasks_per_step: int = 4
    group_size: int = 8
    micro_batch: int | None = None
    temperature: float = 1.0
    k: int = 8
    grpo: dict[str, Any] = field(default_factory=dict)

    @property
    def attempts(self) -> int:
        """Return the number of attempts in a step."""
        return self.tasks_per_step * self.group_size

    def check(self) -> None:
        """Refuse settings that cannot work.

        Raises:
            TrainingError: A number is too small, or the micro-batch does not divide the attempts of a step.
        """
        if self.group_size < 2 or self.tasks_per_step < 1 or self.steps < 1:
            raise TrainingError(
                f"{self.steps} steps of {self.tasks_per_step} tasks in groups of {self.group_size}",
                "at least one step, one task, and two attempts at it: an advantage is a comparison",
            )
        if self.micro_batch is not None and (
            self.micro_batch < 1 or self.attempts % self.micro_batch
        ):
            raise TrainingError(
                f"a micro-batch of {self.micro_batch} for {self.attempts} attempts a step",
                "a divisor of that number",
            )
