"""Locate the bundled model: small, trained from scratch, with bad habits that it can unlearn.

The model handles the three desks of its example project (a shop, a library, a clinic), four tools at each
and six kinds of question. It does not read tool signatures or instructions: other tools, other wordings and other
languages are noise to it. With it the whole loop runs without a key, a GPU or a network.
"""

from __future__ import annotations

from burnish_trainer.starter.paths import project_path, weights_path

__all__ = ["project_path", "weights_path"]
