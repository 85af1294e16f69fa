"""Worker process of the pool: read trajectories from standard input, answer with verdicts.

pool.py starts it as `python -m burnish_exporters.verify.running.worker`. Answers travel on a
private descriptor; what verifiers print is discarded.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import sys
from typing import Any, BinaryIO

import msgspec

from burnish.errors import BurnishError
from burnish.files import platform
from burnish.protocols import Preparable
from burnish_exporters.verify.verdicts import judge

_LENGTH = struct.Struct(">Q")


def write_frame(stream: BinaryIO, payload: bytes) -> None:
    """Write one frame: length and payload."""
    stream.write(_LENGTH.pack(len(payload)) + payload)
    stream.flush()


def read_frame(stream: BinaryIO) -> bytes | None:
    """Read one frame; None at the end."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    payload = stream.read(_LENGTH.unpack(head)[0])
    return payload if len(payload) == _LENGTH.unpack(head)[0] else None


def main() -> None:
    """Serve requests until the input ends."""
    with _own_channels() as (requests, answers):
        platform.end_with_parent()
        first = read_frame(requests)
        if first is None:
            return
        start = pickle.loads(first)  # noqa: S301 - written by our own parent process
        platform.limit_memory(start["memory_bytes"])
        verifiers = _prepare_verifiers(start, answers)
        while verifiers and (frame := read_frame(requests)) is not None:
            for trajectory in pickle.loads(frame):  # noqa: S301 - from our own parent
                verdicts = [judge(verifier, trajectory) for verifier in verifiers]
                write_frame(answers, msgspec.msgpack.encode(verdicts))


@contextlib.contextmanager
def _own_channels() -> Any:
    """Move the two channels to private descriptors and connect the standard ones to /dev/null."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - a descriptor, for the life of the process
    try:
        yield requests, answers
    finally:
        with contextlib.suppress(OSError):
            answers.close()
        requests.close()


def _prepare_verifiers(start: dict[str, Any], answers: BinaryIO) -> list[Any]:
    """Prepare the verifiers and report success or the error to the parent."""
    problem: BurnishError | None = None
    verifiers: list[Any] = []
    try:
        verifiers = pickle.loads(start["verifiers"])  # noqa: S301 - from our own parent
        for verifier in verifiers:
            if isinstance(verifier, Preparable):
                verifier.prepare()
    except BurnishError as found:
        problem = found
    except Exception as found:  # noqa: BLE001 - any exception of a user's module is reported to the parent
        problem = BurnishError(f"{type(found).__name__}: {found}")
    told = (
        None
        if problem is None
        else [type(problem).__name__, problem.found, problem.expected, problem.fix]
    )
    write_frame(answers, msgspec.msgpack.encode(told))
    return verifiers if problem is None else []


if __name__ == "__main__":
    main()
