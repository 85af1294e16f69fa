"""Ask an agent one question: from the task to the printed conversation.

`ask` runs one task in its own environment; model.py chooses the model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from desk import Environment
from model import chosen_model
from tasks import task_of


def ask(build: Callable[[Any], Any]) -> None:
    """Run the agent that `build` makes from a model on the task named on the command line."""
    task = task_of(sys.argv[1] if len(sys.argv) > 1 else "heldout-0-003")
    world = Environment()
    world.open(task)
    try:
        for message in build(chosen_model()).invoke(task["input"])["messages"]:
            print(message.pretty_repr())
    finally:
        world.close()
