"""Read the samples of an Inspect archive (`.eval`).

A sample is one entry, or the entry `sample.json` in a folder of its own, beside parts of its transcript that are not
read. The archive is a zip file whose entries newer versions compress with Zstandard, which Python's zipfile reads from
3.14 on only. `zstandard` comes with LangChain; without it the error names the command that converts the log.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.compare.outcomes import decode_json
from burnish.errors import EvaluationError

LARGEST = 2_000_000_000  # bytes of one file, or of the samples of an archive
_ZSTANDARD = 93  # method of compression
_SAMPLE = re.compile(r"samples/.+_epoch_\d+(/sample)?\.json", re.DOTALL)
_HEADER = struct.Struct("<26xHH")  # a local header up to the lengths of name and extra field


def read_samples(path: Path) -> Iterator[Any]:
    """Yield the samples of an archive, decoded; None for one that is damaged.

    Args:
        path: Path of the archive.

    Raises:
        EvaluationError: The archive cannot be unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
            entries = {i.filename: i for i in archive.infolist()}  # of a name, the last one counts
            samples = [info for name, info in entries.items() if _SAMPLE.fullmatch(name)]
            if sum(info.file_size for info in samples) > LARGEST:
                raise EvaluationError(f"{path} unpacks to more than {LARGEST} bytes", "a log")
            for info in samples:
                content = _read_entry(archive, raw, info)
                try:
                    yield None if content is None else decode_json(content)
                except ValueError:
                    yield None
    except (zipfile.BadZipFile, NotImplementedError, ImportError, OSError) as problem:
        raise EvaluationError(
            f"{path} cannot be unpacked: {problem}",
            "an Inspect log",
            f"inspect log convert {path} --to json --output-dir json",
        ) from problem


def _read_entry(archive: zipfile.ZipFile, raw: Any, info: zipfile.ZipInfo) -> bytes | None:
    if info.compress_type != _ZSTANDARD:
        try:
            return archive.read(info)
        except (zipfile.BadZipFile, EOFError):
            return None
    import zstandard  # only for archives, and not a dependency of burnish

    raw.seek(info.header_offset)
    name, extra = _HEADER.unpack(raw.read(_HEADER.size))
    raw.seek(name + extra, 1)
    packed = raw.read(info.compress_size)
    try:
        reader = zstandard.ZstdDecompressor().stream_reader(packed)
        content = reader.read(info.file_size + 1)
    except zstandard.ZstdError:
        return None
    return content if len(content) == info.file_size else None
