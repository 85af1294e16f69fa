"""Find secrets in text tables (CSV, TSV, Markdown), below a column named like a secret.

The first line of a block names the columns; the following lines with as many cells are its rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from burnish.redaction.secret_detection.assignments import has_telling_stem, is_template
from burnish.redaction.secret_detection.telling_names import is_password_name, is_telling, words_of
from burnish.redaction.secret_detection.tokens import Token
from burnish.redaction.views import View

_NAME = re.compile(r"[\w.#-]{1,40}|[A-Z][\w.#-]{0,30}(?: [\w.#-]{1,30})?")
_RULE = re.compile(r"[\s|:+-]+")
_LONGEST_LINE = 2000
_Cell = tuple[int, int]


def find_columns(view: View) -> Iterator[Token]:
    """Find every value below a column named like a secret."""
    text = view.plain
    if "\n" not in text or not has_telling_stem(view.lowered):
        return
    columns: list[int] = []
    mark, size, before = "", 0, 0
    place = 0
    for line in text.split("\n"):
        start, place = place, place + len(line) + 1
        if mark and columns and _RULE.fullmatch(line):
            continue
        cells = _split_cells(line, start, mark) if mark else []
        if columns and len(cells) == size:
            for column in columns:
                yield from _secret_in(text, cells[column])
            continue
        mark, size, columns = "", before, []
        named = _read_heading(text, line, start) if len(line) <= _LONGEST_LINE else None
        before = named[1] if named else 0
        if named and (named[2] and size != named[1]):
            mark, size, columns = named
        elif named:
            before = named[1]


def _read_heading(text: str, line: str, start: int) -> tuple[str, int, list[int]] | None:
    """Read the separator, the number of cells and the secret columns; None without column names."""
    for mark in ("\t", "|", ";", ","):
        if mark in line:
            cells = _split_cells(line, start, mark)
            names = [text[first:end] for first, end in cells]
            if len(names) < 2:
                return None
            if not all(_NAME.fullmatch(name) for name in names):
                return mark, len(names), []
            return mark, len(names), [at for at, name in enumerate(names) if _is_telling(name)]
    return None


def _is_telling(name: str) -> bool:
    return is_telling(name) and (
        is_password_name(name) or "secret" in words_of(name) or "token" in words_of(name)
    )


def _split_cells(line: str, start: int, mark: str) -> list[_Cell]:
    """Return the bounds of the cells of a line, without spaces and quotes around them."""
    cells, at = [], start
    parts = line.split(mark)
    for number, part in enumerate(parts):
        outside = mark == "|" and number in (0, len(parts) - 1) and not part.strip()
        if not outside:
            inner = part.strip().strip("\"'`")
            first = at + (part.index(inner) if inner else 0)
            cells.append((first, first + len(inner)))
        at += len(part) + len(mark)
    return cells


def _secret_in(text: str, cell: _Cell) -> Iterator[Token]:
    value = text[cell[0] : cell[1]]
    if 3 <= len(value) <= 512 and not is_template(value):
        yield Token("password", *cell)
