"""Pieces made by several processes, and those that were finished before a kill.

Knows: who makes which piece, and what a process that ended means. Does not know: how a piece is made.
"""

from __future__ import annotations

import os
import pickle
import selectors
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from burnish import errors
from burnish.errors import ExportError
from burnish.records import Trajectory
from burnish.workspace import Workspace
from burnish_exporters.pieces.making import Piece, PieceMaker, Watch
from burnish_exporters.pieces.plan import Plan
from burnish_exporters.pieces.store import PieceStore
from burnish_exporters.sources.cutting import Cut, runs_of


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a process is asked to make: these pieces, out of the workspace at `home`, into `store`."""

    plan: Plan
    home: Path
    store: PieceStore
    cuts: list[Cut]

    def runs(self) -> Iterator[tuple[str, Trajectory]]:
        """The runs of all pieces, each with the name of its piece."""
        return runs_of(Workspace(self.home), self.cuts)


def made(job: Job, workers: int, watch: Watch | None = None) -> Iterator[Piece]:
    """Give every piece of a job: finished ones from the store, the others as they are made.

    Args:
        job: All pieces of a build.
        workers: Processes; one means this one.
        watch: Called now and then with the funnel of a piece in the making.

    Raises:
        ExportError: If a process ends without its pieces.
        BurnishError: Whatever a process met.
    """
    missing = []
    for cut in job.cuts:
        piece = job.store.find(cut.name)
        if piece is None:
            missing.append(cut)
        else:
            yield piece
    left = Job(plan=job.plan, home=job.home, store=job.store, cuts=missing)
    if workers > 1 and len(missing) > 1:
        yield from _shared(left, workers)
    elif missing:
        for piece in PieceMaker(job.plan, watch).run(left.runs()):
            job.store.keep(piece)
            yield piece


def _shared(job: Job, workers: int) -> Iterator[Piece]:
    """Pieces as the processes finish them."""
    count = min(workers, len(job.cuts))
    shares = [job.cuts[place::count] for place in range(count)]
    jobs = [Job(plan=job.plan, home=job.home, store=job.store, cuts=cuts) for cuts in shares]
    processes = [_start(pickled) for pickled in map(_sendable, jobs)]
    try:
        with selectors.DefaultSelector() as selector:
            for process in processes:
                selector.register(process.stdout, selectors.EVENT_READ, process)  # pyright: ignore[reportArgumentType]
            while selector.get_map():
                for key, _ in selector.select():
                    line = key.data.stdout.readline()
                    if line:
                        yield _piece(line, job.store)
                    else:
                        selector.unregister(key.fileobj)
                        _check_end(key.data)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _piece(line: bytes, store: PieceStore) -> Piece:
    """The piece that a line of a process tells of."""
    told: Any = msgspec.json.decode(line)
    if isinstance(told, list):
        kind = getattr(errors, str(told[0]), ExportError)
        if kind is errors.BurnishError:
            kind = ExportError
        raise kind(*told[1:])
    piece = store.find(told)
    if piece is None:
        raise ExportError(f"the piece {told} cannot be read again", "a whole file", "build again")
    return piece


def _check_end(process: subprocess.Popen[bytes]) -> None:
    code = process.wait()
    if code:
        raise ExportError(
            f"a process of the build ended with {code}",
            "all of its pieces",
            "build again: it goes on where it stopped",
        )


def _start(job: bytes) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "burnish_exporters.pieces.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
            "BURNISH_CAPTURE": "off",
            "OMP_NUM_THREADS": "1",
        },
    )
    assert process.stdin is not None  # noqa: S101 - asked for above
    process.stdin.write(job)
    process.stdin.close()
    return process


def _sendable(job: Job) -> bytes:
    try:
        return pickle.dumps(job, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError) as problem:
        raise ExportError(
            f"the build cannot be sent to other processes: {problem}",
            "verifiers and a decoder that pickle",
            "BuildOptions(workers=1)",
        ) from problem
