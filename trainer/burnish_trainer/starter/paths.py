"""Locate the files of the bundled model and of its example project."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def weights_path() -> Path:
    """Return the folder of the model, its tokenizer and its chat template, as transformers loads it."""
    return _HERE / "weights"


def project_path() -> Path:
    """Return the folder of the example project of the model, with its `burnish.toml`."""
    return (_HERE / "support_desk").resolve()
