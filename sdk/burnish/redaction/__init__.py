"""Personal data and secrets in text: found by pattern, replaced by consistent stand-ins.

Knows: what is looked for (detectors.py), what it is replaced by (pseudonyms.py), where the key is kept (key.py).
Does not know: messages, rows, events; whoever has those walks through their texts.

    redactor = Redactor(workspace_key(home))
    redactor.clean("write to anna@firm.com")     # "write to u1f0c9a7be42d@example.invalid"
    redactor.counts                              # {"email": 1}

Works offline and without any model, so it finds what has a form: addresses, numbers, keys. Names of people have none.
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
