"""Provide parts for tests: a scripted chat model, a journal in memory, a counting clock, contract kits.

The tests of burnish use them; tests of its users can, too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from burnish.testing.clock import CountingClock
from burnish.testing.memory import MemoryJournal, capturing, production_faults

if TYPE_CHECKING:
    from burnish.testing.backend_kit import CHECKS, BackendCase, run_all
    from burnish.testing.chat_model import ScriptedChatModel
    from burnish.testing.format_kit import FORMAT_CHECKS, FormatCase
    from burnish.testing.source_kit import SOURCE_CHECKS, SourceCase
    from burnish.testing.verifier_kit import VERIFIER_CHECKS, VerifierCase
    from burnish.testing.vllm_server import VllmServer

__all__ = [
    "CHECKS",
    "FORMAT_CHECKS",
    "SOURCE_CHECKS",
    "VERIFIER_CHECKS",
    "BackendCase",
    "CountingClock",
    "FormatCase",
    "MemoryJournal",
    "ScriptedChatModel",
    "SourceCase",
    "VerifierCase",
    "VllmServer",
    "capturing",
    "production_faults",
    "run_all",
]

_LATER = {
    "CHECKS": "backend_kit",
    "BackendCase": "backend_kit",
    "FORMAT_CHECKS": "format_kit",
    "FormatCase": "format_kit",
    "VERIFIER_CHECKS": "verifier_kit",
    "VerifierCase": "verifier_kit",
    "run_all": "backend_kit",
    "SOURCE_CHECKS": "source_kit",
    "SourceCase": "source_kit",
    "ScriptedChatModel": "chat_model",  # brings langchain-core
    "VllmServer": "vllm_server",  # brings torch and starlette
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"burnish.testing.{_LATER[name]}"), name)
    raise AttributeError(f"module 'burnish.testing' has no attribute {name!r}")
