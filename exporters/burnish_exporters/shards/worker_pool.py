"""Build the shards of a job in several processes, and reuse those that a killed build finished.

`build_shards` is the entry; builder.py builds one shard.
"""

from __future__ import annotations

import os
import pickle
import selectors
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from burnish import errors
from burnish.errors import ExportError
from burnish_exporters.shards.builder import FunnelWatch, ShardBuilder
from burnish_exporters.shards.cache import ShardCache
from burnish_exporters.shards.job import ShardJob
from burnish_exporters.shards.shard import Shard


def build_shards(job: ShardJob, workers: int, watch: FunnelWatch | None = None) -> Iterator[Shard]:
    """Yield every shard of a job: finished ones from the cache, the others as they are built.

    Args:
        job: All shards of a build.
        workers: Number of processes; 1 builds in the current process.
        watch: Called at intervals with the funnel of the shard that is being built.

    Raises:
        ExportError: If a process ends before its shards are built.
        BurnishError: The error that a process met.
    """
    missing = []
    for cut in job.cuts:
        shard = job.store.read_shard(cut.name)
        if shard is None:
            missing.append(cut)
        else:
            yield shard
    left = ShardJob(plan=job.plan, home=job.home, store=job.store, cuts=missing)
    if workers > 1 and len(missing) > 1:
        yield from _build_in_processes(left, workers)
    elif missing:
        for shard in ShardBuilder(job.plan, watch).build_shards(left.read_runs()):
            job.store.write_shard(shard)
            yield shard


def _build_in_processes(job: ShardJob, workers: int) -> Iterator[Shard]:
    """Yield shards as the worker processes finish them."""
    count = min(workers, len(job.cuts))
    shares = [job.cuts[place::count] for place in range(count)]
    jobs = [ShardJob(plan=job.plan, home=job.home, store=job.store, cuts=cuts) for cuts in shares]
    processes = [_start_worker(pickled) for pickled in map(_pickle_job, jobs)]
    try:
        with selectors.DefaultSelector() as selector:
            for process in processes:
                selector.register(process.stdout, selectors.EVENT_READ, process)  # pyright: ignore[reportArgumentType]
            while selector.get_map():
                for key, _ in selector.select():
                    line = key.data.stdout.readline()
                    if line:
                        yield _read_worker_line(line, job.store)
                    else:
                        selector.unregister(key.fileobj)
                        _check_end(key.data)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _read_worker_line(line: bytes, store: ShardCache) -> Shard:
    """Return the shard that a line of a worker names, or raise the error that it reports."""
    reply: Any = msgspec.json.decode(line)
    if isinstance(reply, list):
        kind = getattr(errors, str(reply[0]), ExportError)
        if kind is errors.BurnishError:
            kind = ExportError
        raise kind(*reply[1:])
    shard = store.read_shard(reply)
    if shard is None:
        raise ExportError(f"the shard {reply} cannot be read again", "a whole file", "build again")
    return shard


def _check_end(process: subprocess.Popen[bytes]) -> None:
    code = process.wait()
    if code:
        raise ExportError(
            f"a process of the build ended with {code}",
            "all of its shards",
            "build again: the build continues where it stopped",
        )


def _start_worker(job: bytes) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "burnish_exporters.shards.worker"],
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


def _pickle_job(job: ShardJob) -> bytes:
    try:
        return pickle.dumps(job, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError) as problem:
        raise ExportError(
            f"the build cannot be sent to other processes: {problem}",
            "verifiers and a decoder that can be pickled",
            "BuildOptions(workers=1)",
        ) from problem
