"""Write attempts and results as they end, so that a killed evaluation repeats none of them.

How it works: each line of the log is one JSON object, written with one call: an attempt that ended, or the result of
one. A killed process leaves at most one incomplete line, which the next reading skips.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from burnish.files.storage import BROKEN_JSON, make_private_folder
from burnish_trainer.evaluation.attempts.ended import AttemptKey, AttemptResult, EndedAttempt


class _Line(msgspec.Struct, omit_defaults=True):
    ended: EndedAttempt | None = None
    result: AttemptResult | None = None


class AttemptLog:
    """The attempts of an arm that ended before its results were complete.

    Args:
        path: File of the log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add_ended(self, attempt: EndedAttempt) -> None:
        """Write an attempt that ended."""
        self._append(_Line(ended=attempt))

    def add_results(self, results: Sequence[AttemptResult]) -> None:
        """Write results."""
        for result in results:
            self._append(_Line(result=result))

    def read(self) -> tuple[dict[AttemptKey, EndedAttempt], dict[AttemptKey, AttemptResult]]:
        """Return the attempts that ended, and the results among them, by pool, task and attempt."""
        ended: dict[AttemptKey, EndedAttempt] = {}
        results: dict[AttemptKey, AttemptResult] = {}
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return ended, results
        for text in lines:
            try:
                line = msgspec.json.decode(text, type=_Line)
            except BROKEN_JSON:  # the process was killed in the middle of it
                continue
            if line.ended is not None:
                ended[line.ended.key] = line.ended
            if line.result is not None:
                results[line.result.key] = line.result
        return ended, results

    def remove(self) -> None:
        """Delete the log: the results are complete, or are to be made again."""
        self._path.unlink(missing_ok=True)

    def _append(self, line: _Line) -> None:
        make_private_folder(self._path.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        handle = os.open(self._path, flags, 0o600)
        try:
            os.write(handle, b"\n" + msgspec.json.encode(line))
        finally:
            os.close(handle)
