"""Find personal data and secrets in text by pattern, and replace them with consistent pseudonyms.

`detectors.py` lists the detectors, `pseudonyms.py` makes the replacements, `key.py` keeps the key.
Callers walk through the texts of messages, rows and events themselves.

    redactor = Redactor(workspace_key(home))
    redactor.clean("write to anna@firm.com")     # "write to u1f0c9a7be42d@example.invalid"
    redactor.counts                              # {"email": 1}

Redaction works offline and without a model. It finds data with a fixed form: addresses, numbers,
keys. It does not find names of people, which have no fixed form.
"""

from __future__ import annotations

from burnish.redaction.detectors import SECRETS, STRUCTURED, Detection, Detector, find
from burnish.redaction.key import known_keys, workspace_key
from burnish.redaction.pseudonyms import Pseudonyms
from burnish.redaction.redactor import Redactor

__all__ = [
    "SECRETS",
    "STRUCTURED",
    "Detection",
    "Detector",
    "Pseudonyms",
    "Redactor",
    "find",
    "known_keys",
    "workspace_key",
]
