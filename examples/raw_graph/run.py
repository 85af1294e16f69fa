"""Ask the hand-written graph one question: python run.py [TASK_ID]."""

from __future__ import annotations

from graph import build  # also puts the support desk on the import path

# isort: split
from asking import ask

if __name__ == "__main__":
    ask(build)
