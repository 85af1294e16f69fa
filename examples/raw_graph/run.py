"""Asks the hand-made graph one question: python run.py [TASK_ID].

Knows: how a task becomes one run of the graph. Does not know: the model or the right answer.
"""

from __future__ import annotations

import sys

from graph import build  # also puts the support desk on the import path

# isort: split
from desk import Environment
from model import chosen_model
from tasks import task_of


def main() -> None:
    """Opens the task's desk, runs the graph on its question and prints the conversation."""
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
