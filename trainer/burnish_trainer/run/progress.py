"""Report the progress of a training run: lines of metrics.jsonl and a bar on the terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from burnish_trainer.run.storage import read_metrics

_KEPT = (
    "loss",
    "grad_norm",
    "learning_rate",
    "mean_token_accuracy",
    "mean_token_probability",
    "distinct_tokens",
    "flat_tokens",
    "num_tokens",
)


class MetricsCallback(TrainerCallback):
    """Appends one line a logged step; a resumed run first removes the lines after its checkpoint.

    Args:
        path: metrics.jsonl of the run.
        epoch_steps: Steps of one epoch.
        advance: Moves the bar by one step and shows a text.
    """

    def __init__(self, path: Path, epoch_steps: float, advance: Callable[[str], None]) -> None:
        self._path, self._epoch_steps, self._advance = path, epoch_steps, advance
        self._text = ""
        self._began = (time.monotonic(), 0)
        self.last: dict[str, float] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remove the lines that a killed run wrote after the checkpoint, and start the clock."""
        self._began = (time.monotonic(), state.global_step)
        lines = read_metrics(self._path)
        kept = [line for line in lines if line["step"] <= state.global_step]
        self._path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        for _ in range(state.global_step):
            self._advance("resumed")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move the bar."""
        self._advance(self._text)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the figures of a step."""
        values = {key: float(logs[key]) for key in _KEPT if logs and key in logs}
        if logs and "eval_loss" in logs:
            values = {"heldout_loss": float(logs["eval_loss"])}
        elif "loss" not in values:
            return
        else:
            self.last = values
            values |= self._measure_speed(values, state)
            self._text = describe_progress(values)
        line = {
            "step": state.global_step,
            "epoch": round(state.global_step / self._epoch_steps, 4),
            **values,
            "at": time.time(),
        }
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _measure_speed(self, values: dict[str, float], state: TrainerState) -> dict[str, float]:
        """Return tokens a second and the seconds that are left, by the steps of this process so far."""
        seconds = time.monotonic() - self._began[0]
        steps = state.global_step - self._began[1]
        if steps < 1 or seconds <= 0:
            return {}
        rate = steps / seconds
        speeds = {
            f"{name}_per_s": round(values[name] * rate, 3)
            for name in ("distinct_tokens", "flat_tokens")
            if name in values
        }
        return {**speeds, "eta_s": round((state.max_steps - state.global_step) / rate, 3)}


def describe_progress(values: dict[str, float]) -> str:
    """Return loss, speed and remaining time in one short text."""
    parts = [f"loss {values['loss']:.3f}"]
    if "flat_tokens_per_s" in values:
        flat, distinct = values["flat_tokens_per_s"], values["distinct_tokens_per_s"]
        shared = "" if flat == distinct else f" ({distinct:,.0f} distinct)"
        parts.append(f"{flat:,.0f} tokens/s{shared}")
    if "eta_s" in values:
        minutes, seconds = divmod(int(values["eta_s"]), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return ", ".join(parts)
