"""What a right answer is: what the database says, looked up and not guessed."""

from __future__ import annotations

from typing import Any

from tasks import right_answer


def reached_goal(trajectory: Any, final_state: Any) -> bool | None:
    """Compare the answer with the database; an answer without a query is a guess, and fails.

    Args:
        trajectory: The recorded run.
        final_state: None here: the analyst changes nothing.
    """
    right = right_answer(trajectory.task_id)
    if right is None:
        return None  # a question that is no task: nothing says what is right
    return bool(trajectory.tool_runs) and (trajectory.answer or "").strip() == right
