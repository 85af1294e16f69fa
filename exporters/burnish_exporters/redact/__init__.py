"""Rows without personal data and secrets, and the proof that none is left.

Knows: what of a row is text, what hangs on it (rows.py), what else can look for names and secrets (engines.py).
Does not know: what personal data looks like (`burnish.redaction`).
"""

from __future__ import annotations

from burnish_exporters.redact.engines import finders_of
from burnish_exporters.redact.rows import Decoder, RowRedactor, clean_manifest, report
from burnish_exporters.redact.second_look import second_look_name

__all__ = ["Decoder", "RowRedactor", "clean_manifest", "finders_of", "report", "second_look_name"]
