"""Check the analyst's answer: it must be the fact in the database, found by a query."""

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
        return None  # the question is not a known task, so no right answer exists
    return bool(trajectory.tool_runs) and (trajectory.answer or "").strip() == right
