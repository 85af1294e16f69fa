"""Write small JSON files that survive a flipped byte.

Each has a check sum inside and a copy beside it. The list of archived segments and tombstones are such files. Files of earlier versions, which
have neither, are read without the check, and so is workspace.json, which is written once and has a copy, but no check sum, so that earlier
versions read it.

A flipped byte in the word "check" must not turn the check off. So an object that has one of the names "check" and "document", but not both, is
damaged.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from burnish.files.storage import BROKEN_JSON, atomic_write, read_regular

COPY = ".copy"
"""Suffix of the copy's name."""

_T = TypeVar("_T")


class Document(msgspec.Struct, Generic[_T], frozen=True):
    """Result of reading a document.

    Attributes:
        value: The content; None if the file does not exist or cannot be read.
        damaged: Whether the file or its copy is damaged.
    """

    value: _T | None
    damaged: bool = False


class _Checked(msgspec.Struct, forbid_unknown_fields=True):
    check: str
    document: msgspec.Raw


def write_document(path: Path, value: object) -> None:
    """Replace a document, then its copy, and sync both to the disk.

    Raises:
        OSError: If the disk does not accept them.
    """
    body = msgspec.json.encode(value)
    content = msgspec.json.encode(_Checked(_check_of(body), msgspec.Raw(body)))
    atomic_write(path, content)
    atomic_write(_copy_of(path), content)


def read_document(path: Path, type_: type[_T]) -> Document[_T]:
    """Read a document; use the copy if the file is damaged or missing."""
    found, whole = _read_file(path, type_)
    if whole and found is not None:
        return Document(found)
    copied, copy_whole = _read_file(_copy_of(path), type_)
    return Document(copied, damaged=not (whole and copy_whole) or copied is not None)


def is_damaged(path: Path, type_: type[object]) -> bool:
    """Return whether a document or its copy is damaged, or only the copy exists."""
    found, whole = _read_file(path, type_)
    copied, copy_whole = _read_file(_copy_of(path), type_)
    return not (whole and copy_whole) or (found is None and copied is not None)


def _copy_of(path: Path) -> Path:
    return path.with_name(path.name + COPY)


def _read_file(path: Path, type_: type[_T]) -> tuple[_T | None, bool]:
    """Read one file; return its content and whether it is whole. A missing file is whole and empty."""
    try:
        content = read_regular(path)
    except FileNotFoundError:
        return None, True
    except OSError:
        return None, False
    with contextlib.suppress(*BROKEN_JSON):
        body = _content_of(content)
        if body is not None:
            return msgspec.json.decode(body, type=type_), True
    return None, False


def _content_of(file: bytes) -> bytes | None:
    """Return what the check sum of a file covers, or all of a file that has none; None if the file is damaged.

    Raises:
        ValueError: If it is not a JSON object, or is not UTF-8.
    """
    found = msgspec.json.decode(file, type=dict[str, msgspec.Raw])
    if found.keys().isdisjoint(_Checked.__struct_fields__):
        return file
    checked = msgspec.json.decode(file, type=_Checked)
    body = bytes(checked.document)
    return body if checked.check == _check_of(body) else None


def _check_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]
