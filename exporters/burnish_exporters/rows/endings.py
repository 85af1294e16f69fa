"""Decide from the finish reason if a reply can be learned from.

Providers spell the reason in many ways. A reply is learned only if it ended in a known good way, or
if its provider gave no reason: a reply that was cut, refused or filtered teaches to break off.
"""

from __future__ import annotations

_WHOLE = frozenset(
    {
        "stop", "endturn", "end", "eos", "eostoken", "stopsequence", "stopstring", "stoptoken",
        "toolcalls", "toolcall", "tooluse", "functioncall", "functioncalls", "complete", "completed",
        "done", "finish", "finished", "success", "load", "unload", "unspecified",
        "finishreasonunspecified", "normal", "natural",
    }
)  # fmt: skip


def ended_whole(finish_reason: str | None) -> bool:
    """Report if a reply came to its own end, as far as its provider says."""
    if not finish_reason:
        return True
    word = "".join(char for char in finish_reason.casefold() if char.isalnum())
    for prefix in ("finishreason", "stopreason"):
        word = word.removeprefix(prefix) or word
    return word in _WHOLE or any(word == known * 2 for known in _WHOLE)
