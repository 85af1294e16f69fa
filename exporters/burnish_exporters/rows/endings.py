"""Why a reply ended, and whether it can be learned from.

Providers say it in many words. A reply is learned only if it ended in a known good way, or if nothing was said about it:
one that was cut, refused or filtered teaches to break off.
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
    """Whether a reply came to its own end, as far as its provider said anything."""
    if not finish_reason:
        return True
    word = "".join(char for char in finish_reason.casefold() if char.isalnum())
    for prefix in ("finishreason", "stopreason"):
        word = word.removeprefix(prefix) or word
    return word in _WHOLE or any(word == known * 2 for known in _WHOLE)
