"""Make events with given fields, for helpers that write journals directly.

Nothing is converted, redacted or numbered here: such a journal may describe runs that never
happened.
"""

from __future__ import annotations

from typing import Any, Literal

from burnish.journal.events import (
    AnyEvent,
    ModelEnded,
    ModelStarted,
    RunEnded,
    RunStarted,
    ToolEnded,
    ToolStarted,
)

EventName = Literal[
    "run_started", "run_ended", "model_started", "model_ended", "tool_started", "tool_ended"
]
_KINDS: dict[EventName, Any] = {
    "run_started": RunStarted,
    "run_ended": RunEnded,
    "model_started": ModelStarted,
    "model_ended": ModelEnded,
    "tool_started": ToolStarted,
    "tool_ended": ToolEnded,
}


def scripted_event(kind: EventName, /, **fields: Any) -> AnyEvent:
    """Make an event of the named kind from its fields."""
    return _KINDS[kind](**fields)
