"""The per-run half of a build, cut into pieces that survive a kill and can be made side by side.

Knows: the order of the work: what a piece needs (plan.py), how one is made (making.py), where finished ones wait
(store.py), and the processes that make them (crew.py, worker.py).
Does not know: the steps over the whole set, and what a version is.
"""

from __future__ import annotations

from burnish_exporters.pieces.crew import Job, made
from burnish_exporters.pieces.making import Piece
from burnish_exporters.pieces.plan import Decoder, Plan
from burnish_exporters.pieces.store import PieceStore

__all__ = ["Decoder", "Job", "Piece", "PieceStore", "Plan", "made"]
