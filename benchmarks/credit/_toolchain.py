"""A world of tool chains: tasks of L stages, at each of which one of five tools is right.

A wrong tool does one of three things: two tools end in an error and change nothing, one sets the chain back by a stage,
and one is poison: it looks like a success and makes the task fail. The only reward is 1 for a chain that ends within the
horizon without poison. The policy is a table of logits, one row for each task and stage, and its success rate is computed
exactly, so a comparison has no noise of evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from burnish_trainer.credit import CreditRun, CreditStep

RIGHT, ERROR, OTHER_ERROR, SETBACK, POISON = TOOLS = range(5)
_MOVES = np.array([1, 0, 0, -1, 1])


@dataclass(frozen=True)
class ToolChain:
    """A world.

    Attributes:
        stages: Stages of each task.
        horizon: Calls after which a chain has failed.
        tasks: Number of tasks.
    """

    stages: int
    horizon: int
    tasks: int = 4

    def start_policy(self, success: float) -> np.ndarray:
        """Return logits (task, stage, tool): the right tool has the advantage that gives this success rate."""
        low, high = 0.0, 10.0
        for _ in range(60):
            middle = (low + high) / 2
            if self.success(self._policy(middle)).mean() < success:
                low = middle
            else:
                high = middle
        return self._policy(high)

    def _policy(self, advantage: float) -> np.ndarray:
        logits = np.zeros((self.tasks, self.stages, len(TOOLS)))
        logits[:, :, RIGHT] = advantage
        return logits

    def success(self, logits: np.ndarray) -> np.ndarray:
        """Return the exact success rate of each task, by dynamic programming over stages and calls."""
        chance = softmax(logits)
        stay = chance[:, :, ERROR] + chance[:, :, OTHER_ERROR]
        at = np.zeros((self.tasks, self.stages + 1))
        at[:, 0] = 1.0
        for _ in range(self.horizon):
            here = at[:, :-1]
            after = np.zeros_like(at)
            after[:, 1:] += here * chance[:, :, RIGHT]
            after[:, :-1] += here * stay
            back = here * chance[:, :, SETBACK]
            after[:, 0] += back[:, 0]
            after[:, : self.stages - 1] += back[:, 1:]
            after[:, -1] += at[:, -1]
            at = after
        return at[:, -1]

    def roll_out(self, logits: np.ndarray, tasks: np.ndarray, rng: np.random.Generator) -> Chains:
        """Make one attempt at each of the tasks given.

        Args:
            logits: The policy.
            tasks: Task of each attempt.
            rng: Source of randomness.
        """
        chance = softmax(logits)
        bounds = chance.cumsum(-1)
        at = np.zeros(len(tasks), dtype=int)
        poisoned = np.zeros(len(tasks), dtype=bool)
        stages = np.full((len(tasks), self.horizon), -1)
        tools = np.full((len(tasks), self.horizon), -1)
        for call in range(self.horizon):
            running = at < self.stages
            if not running.any():
                break
            row = bounds[tasks[running], at[running]]
            drawn = (rng.random((running.sum(), 1)) > row).sum(-1).clip(0, len(TOOLS) - 1)
            stages[running, call], tools[running, call] = at[running], drawn
            poisoned[running] |= drawn == POISON
            at[running] = (at[running] + _MOVES[drawn]).clip(0)
        finished = at == self.stages
        return Chains(tasks, stages, tools, finished & ~poisoned, finished)


@dataclass(frozen=True)
class Chains:
    """Attempts.

    Attributes:
        tasks: Task of each attempt.
        stages: Stage before each call (attempt, call); -1 after the end.
        tools: Tool of each call.
        solved: True if the chain ended without poison.
        claimed: True if it ended, as the agent itself sees it.
    """

    tasks: np.ndarray
    stages: np.ndarray
    tools: np.ndarray
    solved: np.ndarray
    claimed: np.ndarray

    def calls(self) -> tuple[np.ndarray, np.ndarray]:
        """Return attempt and place of every call, in the order of attempts."""
        return np.nonzero(self.tools >= 0)

    def as_runs(self, logits: np.ndarray, *, history: bool = False) -> list[CreditRun]:
        """Return the attempts as runs with states, entropies and the success of each tool.

        Args:
            logits: The policy that made them, for the entropies.
            history: The state is the list of tools so far, not the stage.
        """
        chance = softmax(logits)
        entropy = -(chance * np.log(chance)).sum(-1)
        runs = []
        for i, task in enumerate(self.tasks.tolist()):
            tools = [tool for tool in self.tools[i].tolist() if tool >= 0]
            runs.append(
                CreditRun(
                    id=str(i),
                    task=task,
                    reward=float(self.solved[i]),
                    steps=[
                        CreditStep(
                            reward=float(tool in (RIGHT, POISON)),
                            state=tuple(tools[:t]) if history else stage,
                            action=tool,
                            entropy=entropy[task, stage],
                        )
                        for t, (tool, stage) in enumerate(
                            zip(tools, self.stages[i].tolist(), strict=False)
                        )
                    ],
                )
            )
        return runs


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
