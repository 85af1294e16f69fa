"""Ask the support agent one question: python run.py [TASK_ID]."""

from __future__ import annotations

from agent import build
from asking import ask

if __name__ == "__main__":
    ask(build)
