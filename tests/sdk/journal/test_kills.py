"""Archive, forget and retention, two at a time and killed at any point, lose nothing and leave nothing.

A state machine draws the recorded events, which two operations run at once, and when SIGKILL ends
each. After every step each acknowledged run that was not to be forgotten is read once and
completely; at the end no byte of a forgotten run is on the disk.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
import traceback
from pathlib import Path

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pyarrow import parquet

from burnish.journal.lifecycle.retention import keep
from burnish.journal.writer import JournalWriter
from burnish.settings import Settings
from burnish.testing.recording import Recording
from burnish.workspace import Workspace

SMALL = Settings(segment_bytes=4000)
DELAYS = st.none() | st.floats(0, 0.12)


def marker(user: int) -> str:
    return f"SECRET-{user:04d}-END"


def in_child(work, kill_after: float | None = None) -> tuple[int, int]:
    """Start `work` in a child; return its pid and the reading end of a pipe with its result as JSON."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    code = 1
    try:
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            json.dump(work(), out)
        code = 0
    except BaseException:  # noqa: BLE001 - a child ends here, whatever happens
        traceback.print_exc()
    os._exit(code)


def result_of(child: int, reading: int):
    with os.fdopen(reading) as file:
        text = file.read()
    _, status = os.waitpid(child, 0)
    return status, text


def everything_on_disk(base: Path) -> dict[str, bytes]:
    """Return the bytes of all files, tables unpacked."""
    found = {}
    for path in base.rglob("*"):
        if path.suffix == ".parquet":
            column = parquet.read_table(pa.BufferReader(path.read_bytes())).column("payload")
            found[str(path)] = b"".join(column.to_pylist())
        elif path.is_file():
            found[str(path)] = path.read_bytes()
    return found


class Rewriting(RuleBasedStateMachine):
    """Operations that may run on a journal at the same time."""

    @initialize()
    def begin(self):
        self.base = Path(tempfile.mkdtemp(prefix="kills-"))
        self.home = self.base / "home"
        self.recorded: dict[str, int] = {}
        self.asked: set[int] = set()
        self.record(3)

    @rule(count=st.integers(1, 3))
    def record(self, count):
        writer = JournalWriter(self.home, SMALL)
        recording = Recording(self.home, writer)
        for _ in range(count):
            user = len(self.recorded)
            run = f"{user + 1:032x}"
            recording.write_run(
                run, user=f"u{user}", thread_id=f"t{user}", task=f"do {marker(user)}"
            )
            self.recorded[run] = user
        writer.close()

    @rule(
        what=st.lists(st.sampled_from(["archive", "forget", "keep"]), min_size=2, max_size=2),
        delays=st.tuples(DELAYS, DELAYS),
        chosen=st.tuples(st.integers(0, 99), st.integers(0, 99)),
    )
    def two_at_once(self, what, delays, chosen):
        children = []
        for name, delay, number in zip(what, delays, chosen, strict=True):
            user = number % len(self.recorded)
            if name == "forget":
                self.asked.add(user)
            children.append((*in_child(self.work(name, user)), delay))
        started = time.monotonic()
        for child, _, delay in sorted(children, key=lambda one: one[2] or 0):
            if delay is not None:
                time.sleep(max(0, started + delay - time.monotonic()))
                os.kill(child, signal.SIGKILL)
        for child, reading, delay in children:
            status, _ = result_of(child, reading)
            assert status in (0, signal.SIGKILL) if delay is not None else status == 0

    def work(self, name, user):
        home, url = self.home, f"file://{self.base}/archive"
        if name == "archive":
            return lambda: Workspace(home).archive(url).archived
        if name == "keep":
            return lambda: keep(home, SMALL).removed
        return lambda: len(Workspace(home).forget(user=f"u{user}").trajectories)

    @invariant()
    def every_other_run_is_there_once_and_whole(self):
        if not hasattr(self, "home"):
            return

        def read():
            workspace = Workspace(self.home)
            runs = [(t.id, t.status, t.losses, marker_in(t)) for t in workspace.trajectories()]
            report = workspace.read_report()
            return [runs, report.unreadable, report.corrupt, report.damaged_files]

        def marker_in(trajectory):
            return marker(self.recorded[trajectory.id]) in str(trajectory.model_calls)

        status, text = result_of(*in_child(read))
        assert status == 0
        runs, *damage = json.loads(text)
        assert damage == [0, 0, 0]
        assert len({run[0] for run in runs}) == len(runs)
        kept = {run for run, user in self.recorded.items() if user not in self.asked}
        assert kept <= {run[0] for run in runs}
        assert all(run[1:] == ["completed", {}, True] for run in runs)

    def teardown(self):
        if not hasattr(self, "home"):
            return
        try:
            for user in sorted(self.asked):
                status, _ = result_of(*in_child(self.work("forget", user)))
                assert status == 0
            self.every_other_run_is_there_once_and_whole()
            found = everything_on_disk(self.base)
            for user in self.asked:
                left = [name for name, data in found.items() if marker(user).encode() in data]
                assert not left, (user, left)
        finally:
            shutil.rmtree(self.base)


Rewriting.TestCase.settings = settings(
    max_examples=5,
    stateful_step_count=6,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestRewriting = Rewriting.TestCase
