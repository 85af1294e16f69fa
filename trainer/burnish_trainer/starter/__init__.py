"""The bundled model: small, made from nothing, with bad habits that it can unlearn.

It knows the three desks of its example project (a shop, a library, a clinic), four tools at each,
six kinds of question, and nothing else. It does not read tool signatures or instructions: other
tools, other wordings and other languages are noise to it. It exists so that the whole loop can be
seen without a key, a GPU or a network.

Knows: where the weights and the example project lie. Does not know: what is in them.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["project_path", "weights_path"]

_HERE = Path(__file__).resolve().parent


def weights_path() -> Path:
    """Folder of the model, its tokenizer and its chat template, as transformers loads it."""
    return _HERE / "weights"


def project_path() -> Path:
    """Folder of the example project that the model works in, with its `burnish.toml`."""
    return (_HERE / "support_desk").resolve()
