"""Read text of unknown encoding: UTF-8, or what a mark at its beginning names; other bytes stay recognisable.

PowerShell writes UTF-16 with a mark. A byte that is not UTF-8 becomes half a surrogate pair (PEP 383), so the line that
holds it can be left out: replaced by one and the same character, two names could become one.
"""

from __future__ import annotations

import codecs
import re

_MARKS = (  # the longer ones first: UTF-16's mark begins UTF-32's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MARK = "\ufeff"
_RAW_BYTE = re.compile("[\udc80-\udcff]")


def decode_text(raw: bytes) -> str:
    """Decode a text by the mark at its beginning, else as UTF-8.

    Args:
        raw: Content of a file.
    """
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return raw.decode(encoding, errors="replace")
    return raw.decode("utf-8-sig", errors="surrogateescape")


def has_other_encoding(text: str) -> bool:
    """Return True if a decoded text held bytes that are not UTF-8."""
    return _RAW_BYTE.search(text) is not None


def strip_mark(line: str) -> str:
    """Remove the mark that joining several files leaves at the beginning of a line."""
    return line.removeprefix(_MARK)
