"""Run one process of a build: `python -m burnish_exporters.shards.worker`, with a job on its standard input.

The process writes a line of JSON for each finished shard, or the arguments of one of burnish's errors.
"""

from __future__ import annotations

import pickle
import sys

import msgspec

from burnish.errors import BurnishError
from burnish.files import platform
from burnish_exporters.shards.builder import ShardBuilder
from burnish_exporters.shards.job import ShardJob


def main() -> int:
    """Build the shards of a job and return the exit status."""
    platform.end_with_parent()
    job: ShardJob = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - from the process that started this one
    output = sys.stdout.buffer
    sys.stdout = sys.stderr  # output of user code must not mix with the protocol
    try:
        for shard in ShardBuilder(job.plan).build_shards(job.read_runs()):
            job.store.write_shard(shard)
            output.write(msgspec.json.encode(shard.name) + b"\n")
            output.flush()
    except BurnishError as problem:
        failure = [type(problem).__name__, problem.found, problem.expected, problem.fix]
        output.write(msgspec.json.encode(failure) + b"\n")
        output.flush()
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
