"""Asks the support agent one question: python run.py [TASK_ID].

Knows: how a task becomes one run of the agent. Does not know: the model (model.py chooses it) or
the right answer.
"""

from __future__ import annotations

import sys

from agent import build
from desk import Environment
from model import chosen_model
from tasks import task_of


def main() -> None:
    """Opens the task's desk, runs the agent on its question and prints the conversation."""
    task = task_of(sys.argv[1] if len(sys.argv) > 1 else "heldout-0-003")
    world = Environment()
    world.open(task)
    try:
        for message in build(chosen_model()).invoke(task["input"])["messages"]:
            print(message.pretty_repr())
    finally:
        world.close()


if __name__ == "__main__":
    main()
