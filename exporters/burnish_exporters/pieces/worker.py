"""One process of a build: `python -m burnish_exporters.pieces.worker`, with a job on its standard input.

Knows: that finished pieces are told line by line, and an error as the arguments of one of our tree.
Does not know: what the other processes do.
"""

from __future__ import annotations

import pickle
import sys

import msgspec

from burnish import platform
from burnish.errors import BurnishError
from burnish_exporters.pieces.crew import Job
from burnish_exporters.pieces.making import PieceMaker


def main() -> int:
    """Make the pieces of a job; returns the exit status."""
    platform.end_with_parent()
    job: Job = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - from the process that started this one
    say, sys.stdout = sys.stdout.buffer, sys.stderr  # what user code prints is no line of ours
    try:
        for piece in PieceMaker(job.plan).run(job.runs()):
            job.store.keep(piece)
            say.write(msgspec.json.encode(piece.name) + b"\n")
            say.flush()
    except BurnishError as problem:
        told = [type(problem).__name__, problem.found, problem.expected, problem.fix]
        say.write(msgspec.json.encode(told) + b"\n")
        say.flush()
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
