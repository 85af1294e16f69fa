"""Provide parts for tests: a scripted chat model, a journal in memory, a counting clock, contract kits.

The tests of burnish use them; tests of its users can, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burnish.imports.lazy_exports import lazy_exports
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

_HOMES = {
    "CHECKS": "burnish.testing.backend_kit",
    "BackendCase": "burnish.testing.backend_kit",
    "FORMAT_CHECKS": "burnish.testing.format_kit",
    "FormatCase": "burnish.testing.format_kit",
    "VERIFIER_CHECKS": "burnish.testing.verifier_kit",
    "VerifierCase": "burnish.testing.verifier_kit",
    "run_all": "burnish.testing.backend_kit",
    "SOURCE_CHECKS": "burnish.testing.source_kit",
    "SourceCase": "burnish.testing.source_kit",
    "ScriptedChatModel": "burnish.testing.chat_model",  # brings langchain-core
    "VllmServer": "burnish.testing.vllm_server",  # brings torch and starlette
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES, always=__all__)
