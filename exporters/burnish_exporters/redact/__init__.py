"""Remove personal data and secrets from rows, and check that none is left.

rows.py knows the text columns of a row, engines.py and people.py add detectors to those of `burnish.redaction`,
second_look.py checks the finished rows.
"""

from __future__ import annotations

from burnish_exporters.redact.engines import make_finders
from burnish_exporters.redact.rows import RowRedactor, clean_manifest, redaction_report
from burnish_exporters.redact.second_look import Decoder, second_look_name

__all__ = [
    "Decoder",
    "RowRedactor",
    "clean_manifest",
    "make_finders",
    "redaction_report",
    "second_look_name",
]
