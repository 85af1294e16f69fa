"""Extend TRL's GRPOTrainer by three things: rollouts of a real agent, advantages for each token, atomic checkpoints."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from trl.trainer.grpo_trainer import GRPOTrainer

from burnish_trainer.credit.scored_runs import Advantages, CreditFunction, spread_over_tokens
from burnish_trainer.online.agent_rollouts import AgentRollouts, RolledAttempt
from burnish_trainer.rows.token_rows import TokenRow
from burnish_trainer.run.checkpoints import AtomicCheckpoints
from burnish_trainer.run.storage import write_json

_ATTEMPTS = "attempts.json"


class CreditGRPOTrainer(AtomicCheckpoints, GRPOTrainer):
    """Trains on attempts of an agent, with the advantages of a credit function.

    The column `prompt` of its dataset holds ids of tasks: the agent writes its own prompts. Rewards are the verifiers'
    verdicts; an attempt without a verdict has no reward and no advantage. Tokens of tool results are masked.

    Args:
        rollouts: Runs the agent.
        credit: Any function of `burnish_trainer.credit`, or one with the same shape.
        arguments: Arguments of GRPOTrainer.
    """

    def __init__(
        self, *, rollouts: AgentRollouts, credit: CreditFunction, **arguments: Any
    ) -> None:
        self._rollouts, self._credit = rollouts, credit
        self.attempts: list[RolledAttempt] = []
        self.rows: list[TokenRow] = []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "You are using 'rollout_func'", UserWarning)
            super().__init__(reward_funcs=[verdict], rollout_func=self._roll_out_agent, **arguments)

    def _send_telemetry(self) -> None:
        """Disable TRL telemetry."""

    def _roll_out_agent(self, prompts: Sequence[str], trainer: Any) -> dict[str, list[Any]]:
        """Return the attempts in the form of TRL's `rollout_func`."""
        self.attempts = self._rollouts.roll_out(self.model, prompts, trainer.state.global_step)
        self.rows = [one.tokens.as_row(one.run.id) for one in self.attempts if one.tokens]
        tokenizer: Any = self.processing_class
        empty = tokenizer.pad_token_id
        found: dict[str, list[Any]] = {
            key: [] for key in ("prompt_ids", "completion_ids", "logprobs", "env_mask", "reward")
        }
        for attempt in self.attempts:
            tokens = attempt.tokens
            found["prompt_ids"].append(tokens.prompt_ids if tokens else [empty])
            found["completion_ids"].append(tokens.completion_ids if tokens else [empty])
            found["logprobs"].append(tokens.logprobs if tokens else [0.0])
            found["env_mask"].append(tokens.sampled if tokens else [0])
            found["reward"].append(attempt.run.reward)
        return found

    def _generate_and_score_completions(self, inputs: list[Any]) -> dict[str, Any]:
        """Replace the advantage of each attempt (B,) by those of its tokens (B, T)."""
        scored = super()._generate_and_score_completions(inputs)
        ids: torch.Tensor = scored["completion_ids"]
        advantages = self._credit([attempt.run for attempt in self.attempts])
        scored["advantages"] = token_table(self.attempts, advantages, ids.shape[1]).to(ids.device)
        return scored

    def _complete_checkpoint(self, folder: Path) -> None:
        """Write the attempts of the step, which a resumed run learns from again."""
        rows = [[row.row_id, row.input_ids, row.labels] for row in self.rows]
        write_json(folder / _ATTEMPTS, {"counts": self._rollouts.counts, "rows": rows})

    def continue_from(self, checkpoint: Path) -> None:
        """Take over the counts and the last attempts of a checkpoint; `train` loads the rest."""
        known = json.loads((checkpoint / _ATTEMPTS).read_text())
        self._rollouts.counts.update(known["counts"])
        self.rows = [TokenRow(*row) for row in known["rows"]]


def verdict(
    prompts: Sequence[str], completions: Sequence[str], reward: Sequence[float | None], **_: Any
) -> list[float | None]:
    """Return the verdicts of the attempts as TRL's rewards; None is an attempt without one.

    Args:
        prompts: Ids of the tasks.
        completions: Decoded replies, which decide nothing.
        reward: Reward of each attempt.
    """
    return list(reward)


def token_table(
    attempts: Sequence[RolledAttempt], advantages: Advantages, width: int
) -> torch.Tensor:
    """Return the advantage of each token (B, T); zero for tokens that were not sampled.

    Args:
        attempts: The attempts of a batch.
        advantages: Advantages of their runs.
        width: Tokens of a padded completion, T.
    """
    table = torch.zeros((len(attempts), width))
    for row, attempt in enumerate(attempts):
        if attempt.tokens is None:
            continue
        values = spread_over_tokens(attempt.run, advantages)
        steps = np.array(attempt.tokens.steps)
        for step in set(attempt.tokens.steps) - {-1}:
            table[row, np.flatnonzero(steps == step)] = torch.tensor(
                values[step], dtype=table.dtype
            )
    return table
