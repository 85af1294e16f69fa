"""What burnish's own tests use, for the tests of its users.

Knows: stand-ins that are real parts (a scripted chat model, a journal in memory, a counting clock)
and contract kits. Does not know: any test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from burnish.testing.clock import CountingClock
from burnish.testing.memory import MemoryJournal, capturing, production_faults

if TYPE_CHECKING:
    from burnish.testing.chat_model import ScriptedChatModel

__all__ = ["CountingClock", "MemoryJournal", "ScriptedChatModel", "capturing", "production_faults"]


def __getattr__(name: str) -> Any:
    if name == "ScriptedChatModel":  # brings langchain-core
        from burnish.testing.chat_model import ScriptedChatModel

        return ScriptedChatModel
    raise AttributeError(f"module 'burnish.testing' has no attribute {name!r}")
