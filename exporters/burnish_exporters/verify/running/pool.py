"""Run verifiers in their own processes, with limits on time and memory.

`judge_all()` is the entry; `Verification` keeps the processes for several rounds.

How it works: each worker process (worker.py) imports the verifiers once. Trajectories travel to it
in batches, one frame a batch; verdicts come back one trajectory a frame, in order. A worker that
exceeds the time limit, dies or sends an undecodable frame is killed and replaced, and its
trajectory gets the verdict "unknown". PDEATHSIG ends a worker together with the thread that started
it, so one thread must use a pool from start to end.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self

import msgspec

from burnish import errors
from burnish.errors import VerificationError
from burnish.files.storage import BROKEN_JSON
from burnish.protocols import Preparable, Verifier, traits_of
from burnish.records import Trajectory, Verdict
from burnish_exporters.verify.verdicts import judge, reusable, unknown

_LENGTH = struct.Struct(">Q")
_DECODER = msgspec.msgpack.Decoder(list[Verdict])


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """Limits of verification.

    Attributes:
        workers: Number of processes.
        time_limit_s: Longest time for one trajectory, in seconds; then the worker is killed and the
            verdict is unknown.
        start_limit_s: Longest time for a worker to import the verifiers, in seconds.
        memory_bytes: Most private memory of a worker; None sets no limit.
        batch: Number of trajectories in one frame.
        in_process: Run everything in this process, without limits.
        reuse: Reuse verdicts that the same version of a verifier has already given.
        trust_received: Verifiers whose received and imported verdicts count like our own.
    """

    workers: int = 1
    time_limit_s: float = 30.0
    start_limit_s: float = 120.0
    memory_bytes: int | None = 4 * 1024**3
    batch: int = 32
    in_process: bool = False
    reuse: bool = True
    trust_received: tuple[str, ...] = ()


def judge_all(
    verifiers: Sequence[Verifier],
    trajectories: Iterable[Trajectory],
    settings: PoolSettings | None = None,
) -> Iterator[tuple[Trajectory, list[Verdict]]]:
    """Yield each trajectory with the verdict of each verifier, in order.

    Raises:
        VerificationError: If the verifiers cannot be sent to a worker or prepared there.
        ImportPathError: If an import path of a verifier cannot be imported.
    """
    with Verification(verifiers, settings) as verification:
        yield from verification.judge(trajectories)


class Verification:
    """Verifiers that are prepared once and then judge any number of rounds of trajectories.

    Args:
        verifiers: Verifiers that judge.
        settings: Limits of verification.
    """

    def __init__(self, verifiers: Sequence[Verifier], settings: PoolSettings | None = None) -> None:
        self._verifiers, self._settings = list(verifiers), settings or PoolSettings()
        traits = [traits_of(verifier) for verifier in self._verifiers]
        apart = [v for v, t in zip(self._verifiers, traits, strict=True) if t.isolated]
        self._apart = [] if self._settings.in_process else apart
        self._pool = _Pool(self._apart, self._settings)

    def __enter__(self) -> Self:
        if not self._apart:
            _prepare_verifiers(self._verifiers)
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.close()

    def judge(
        self, trajectories: Iterable[Trajectory]
    ) -> Iterator[tuple[Trajectory, list[Verdict]]]:
        """Yield each trajectory with the verdict of each verifier, in order.

        Raises:
            VerificationError: If the verifiers cannot be sent to a worker or prepared there.
            ImportPathError: If an import path of a verifier cannot be imported.
        """
        if not self._apart:
            for trajectory in trajectories:
                yield (
                    trajectory,
                    [_verify_in_process(v, trajectory, self._settings) for v in self._verifiers],
                )
            return
        for trajectory, answers in self._pool.run(trajectories):
            remote = {v.name: answer for v, answer in zip(self._apart, answers, strict=True)}
            yield (
                trajectory,
                [
                    remote.get(v.name) or _verify_in_process(v, trajectory, self._settings)
                    for v in self._verifiers
                ],
            )


def _verify_in_process(
    verifier: Verifier, trajectory: Trajectory, settings: PoolSettings
) -> Verdict:
    known = reusable(verifier, trajectory, settings.trust_received) if settings.reuse else None
    return known or judge(verifier, trajectory)


def _prepare_verifiers(verifiers: Iterable[Verifier]) -> None:
    for verifier in verifiers:
        if isinstance(verifier, Preparable):
            verifier.prepare()


@dataclass(slots=True)
class _Batch:
    """Trajectories of one frame with their answers so far; None where a worker must still answer."""

    trajectories: list[Trajectory]
    answers: list[list[Verdict] | None]
    worker: _Worker | None = None

    def open(self) -> list[int]:
        return [place for place, answer in enumerate(self.answers) if answer is None]


class _Pool:
    """A few workers that get batches in turn."""

    def __init__(self, verifiers: list[Verifier], settings: PoolSettings) -> None:
        self._verifiers, self._settings = verifiers, settings
        self._idle: list[_Worker] = []
        self._all: list[_Worker] = []

    def close(self) -> None:
        """End the workers."""
        for worker in self._all:
            worker.close()

    def run(self, trajectories: Iterable[Trajectory]) -> Iterator[tuple[Trajectory, list[Verdict]]]:
        source, waiting = iter(trajectories), deque[_Batch]()
        while True:
            while len(waiting) < self._settings.workers + 1:
                chunk = list(islice(source, self._settings.batch))
                if not chunk:
                    break
                waiting.append(_Batch(chunk, [self._known(t) for t in chunk]))
                self._send(waiting)
            if not waiting:
                return
            batch = waiting[0]
            self._collect(batch)
            waiting.popleft()
            self._send(waiting)
            for trajectory, answer in zip(batch.trajectories, batch.answers, strict=True):
                yield trajectory, answer or []

    def _known(self, trajectory: Trajectory) -> list[Verdict] | None:
        """Return the verdicts that the same versions gave earlier, if all of them exist."""
        if not self._settings.reuse:
            return None
        trusted = self._settings.trust_received
        found = [reusable(verifier, trajectory, trusted) for verifier in self._verifiers]
        return [verdict for verdict in found if verdict] if all(found) else None

    def _send(self, waiting: Iterable[_Batch]) -> None:
        """Send batches to idle workers."""
        for batch in waiting:
            if batch.worker is None and batch.open() and self._has_room():
                batch.worker = self._take()
                batch.worker.ask([batch.trajectories[place] for place in batch.open()])

    def _collect(self, batch: _Batch) -> None:
        """Wait until every trajectory of the batch has its answer."""
        while places := batch.open():
            worker = batch.worker or self._take()
            if batch.worker is None:
                worker.ask([batch.trajectories[place] for place in places])
            batch.worker = None
            for place in places:
                answer = worker.answer(self._settings.time_limit_s)
                if isinstance(answer, str):
                    batch.answers[place] = [unknown(v, answer) for v in self._verifiers]
                    self._all.remove(worker)
                    break
                batch.answers[place] = answer
            else:
                self._idle.append(worker)

    def _has_room(self) -> bool:
        return bool(self._idle) or len(self._all) < self._settings.workers

    def _take(self) -> _Worker:
        if self._idle:
            return self._idle.pop()
        worker = _Worker(self._verifiers, self._settings)
        self._all.append(worker)
        return worker


@dataclass(slots=True)
class _Channel:
    """Reads frames from a descriptor, with a deadline."""

    descriptor: int
    buffer: bytearray = field(default_factory=bytearray)

    def frame(self, limit_s: float) -> bytes | None:
        """Return the next frame; None if the other side ended.

        Raises:
            TimeoutError: If no frame came in time.
        """
        deadline = time.monotonic() + limit_s
        while True:
            if len(self.buffer) >= _LENGTH.size:
                size = _LENGTH.size + _LENGTH.unpack(self.buffer[: _LENGTH.size])[0]
                if len(self.buffer) >= size:
                    payload = bytes(self.buffer[_LENGTH.size : size])
                    del self.buffer[:size]
                    return payload
            if not self._wait(deadline - time.monotonic()):
                raise TimeoutError
            chunk = os.read(self.descriptor, 1 << 16)
            if not chunk:
                return None
            self.buffer += chunk

    def _wait(self, seconds: float) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self.descriptor, selectors.EVENT_READ)
            return bool(selector.select(max(0.0, seconds)))


class _Worker:
    """One worker process."""

    def __init__(self, verifiers: Sequence[Verifier], settings: PoolSettings) -> None:
        start = {"verifiers": _pickle_verifiers(verifiers), "memory_bytes": settings.memory_bytes}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "burnish_exporters.verify.running.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_worker_environment(),
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self._answers = _Channel(self._process.stdout.fileno())
        self._write(pickle.dumps(start, protocol=5))
        self._wait_until_ready(settings.start_limit_s)

    def ask(self, trajectories: list[Trajectory]) -> None:
        """Send trajectories; their answers arrive one by one."""
        self._write(pickle.dumps(trajectories, protocol=5))

    def answer(self, limit_s: float) -> list[Verdict] | str:
        """Return the next verdicts, or the reason why there are none; in that case the worker is gone."""
        try:
            frame = self._answers.frame(limit_s)
        except TimeoutError:
            self.close()
            return f"time limit of {limit_s:g} s"
        if frame is None:
            self.close()
            return "verifier process ended"
        try:
            return _DECODER.decode(frame)
        except BROKEN_JSON:
            self.close()
            return "verifier process spoke nonsense"

    def close(self) -> None:
        """End the process and everything that it started."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _write(self, payload: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        with contextlib.suppress(BrokenPipeError):  # a dead worker shows when its answer is read
            self._process.stdin.write(_LENGTH.pack(len(payload)) + payload)
            self._process.stdin.flush()

    def _wait_until_ready(self, limit_s: float) -> None:
        try:
            frame = self._answers.frame(limit_s)
        except TimeoutError:
            frame = msgspec.msgpack.encode(
                ["VerificationError", f"verifiers not imported within {limit_s:g} s", "", ""]
            )
        if frame is None:
            frame = msgspec.msgpack.encode(
                ["VerificationError", "the verifier process ended while it started", "", ""]
            )
        told = msgspec.msgpack.decode(frame)
        if told is not None:
            self.close()
            raise _read_error(told)


def _read_error(told: list[str]) -> errors.BurnishError:
    """Build the error of our tree that a worker reported."""
    kind = getattr(errors, told[0], VerificationError)
    if kind is errors.BurnishError:
        return VerificationError(
            f"the verifiers could not be prepared: {told[1]}",
            "verifiers that can be imported by another process",
            "define the verifier in a module of its own",
        )
    return kind(*told[1:])


def _pickle_verifiers(verifiers: Sequence[Verifier]) -> bytes:
    try:
        return pickle.dumps(list(verifiers), protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError) as problem:
        raise VerificationError(
            f"a verifier cannot be sent to its own process: {problem}",
            "a verifier that can be pickled: a class of a module, with plain fields",
            "PoolSettings(in_process=True) runs it here, without limits",
        ) from problem


def _worker_environment() -> dict[str, Any]:
    """Return the environment of a worker: our import path, no capture, one thread."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {
        **os.environ,
        "PYTHONPATH": path,
        "BURNISH_CAPTURE": "off",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
