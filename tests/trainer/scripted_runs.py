"""Runs of the shop's real graph, answered by a script."""

from __future__ import annotations

import burnish
from burnish.testing.chat_model import ScriptedChatModel
from burnish_trainer.evaluation.rollouts import AttemptRunner, RunOptions


def record(subject, numbers, text: str, source: str = "production") -> None:
    """Record runs that answer with a text; a run is a success if the text has an even length."""
    tasks = [task for task in subject.tasks("train", 40) if task.data["number"] in numbers]
    model = ScriptedChatModel(script=[text], repeat=True)
    runner = AttemptRunner(subject, None, RunOptions(source=source), model=model)
    runner.run_jobs(RunOptions().list_jobs({"train": tasks}))
    burnish.flush()
