"""Locate the bundled model: small, trained from scratch, with bad habits that it can unlearn.

The model handles the three desks of its example project (a shop, a library, a clinic), four tools at each
and six kinds of question. It does not read tool signatures or instructions: other tools, other wordings and other
languages are noise to it. With it the whole loop runs without a key, a GPU or a network.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["project_path", "weights_path"]

_HERE = Path(__file__).resolve().parent


def weights_path() -> Path:
    """Return the folder of the model, its tokenizer and its chat template, as transformers loads it."""
    return _HERE / "weights"


def project_path() -> Path:
    """Return the folder of the example project of the model, with its `burnish.toml`."""
    return (_HERE / "support_desk").resolve()
