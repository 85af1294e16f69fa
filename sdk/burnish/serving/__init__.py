"""Serve adapters: the embedded engine, vLLM, and any OpenAI-compatible endpoint.

    from burnish.serving import EmbeddedChat, open_backend

    chat = EmbeddedChat(base_model="starter", adapter="support@0a1b2c3d4e5f")
    backend = open_backend("http://127.0.0.1:8000", base_model="starter")

A model library is imported only by the first use of `EmbeddedChat` or of the embedded backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burnish.imports.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from burnish.serving.backends import EmbeddedBackend, OpenAIBackend, open_backend
    from burnish.serving.chat import EmbeddedChat
    from burnish.serving.contract.base_models import base_sha256, resolve_model

_HOMES = {
    "EmbeddedBackend": "burnish.serving.backends",
    "EmbeddedChat": "burnish.serving.chat",
    "OpenAIBackend": "burnish.serving.backends",
    "base_sha256": "burnish.serving.contract.base_models",
    "open_backend": "burnish.serving.backends",
    "resolve_model": "burnish.serving.contract.base_models",
}

__all__ = [
    "EmbeddedBackend",
    "EmbeddedChat",
    "OpenAIBackend",
    "base_sha256",
    "open_backend",
    "resolve_model",
]

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
