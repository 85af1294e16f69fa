"""Write steps for reinforcement learning: sampled tokens, log-probabilities and the run's reward.

These are the facts that an offline policy gradient needs of a call; the trainer computes
advantages. Only calls whose token ids were captured can be steps. The state key names a beginning
of a task (task and actions so far), so that steps of several attempts from the same state can be
compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.formats.columns import require
from burnish_exporters.rows.canonical_json import hash_json
from burnish_exporters.rows.keys import actions_of


@dataclass(frozen=True, kw_only=True)
class RlSteps:
    """One row per model call with captured ids."""

    name: str = "rl-steps"
    columns: list[str] = field(
        default_factory=lambda: [
            "prompt_ids", "response_ids", "logprobs", "reward", "group", "run", "step", "state_key", "policy",
        ]
    )  # fmt: skip
    contrast: bool = True

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Yield steps in the order of their runs; the reward is the score, else 1 for success and 0 for failure."""
        for row in rows:
            score = row["verdict"].get("score")
            reward = float(row["verdict"]["label"] == "success") if score is None else float(score)
            for step, call in enumerate(row["calls"]):
                if not call.get("token_ids"):
                    continue
                done = actions_of(row["messages"][: call["message"]])
                yield {
                    "prompt_ids": call["prompt_token_ids"],
                    "response_ids": call["token_ids"],
                    "logprobs": call.get("logprobs"),
                    "reward": reward,
                    "group": row["task_id"] or row["trajectory_id"],
                    "run": row["trajectory_id"],
                    "step": step,
                    "state_key": hash_json([row["task_id"] or row["trajectory_id"], done]),
                    "policy": call.get("adapter") or call.get("model") or "",
                }

    def check(self, row: dict[str, Json]) -> None:
        """Check that ids and log-probabilities belong together.

        Raises:
            ExportError: If their lengths differ.
        """
        require(row, [name for name in self.columns if name != "logprobs"])
        logprobs = row["logprobs"]
        if logprobs is not None and len(logprobs) != len(row["response_ids"]):
            raise ExportError(
                f"{len(logprobs)} log-probabilities for {len(row['response_ids'])} ids",
                "one for each",
            )
