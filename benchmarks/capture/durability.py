"""Measure events lost to `kill -9`: a process with four writing threads is killed repeatedly at random moments.

Each writer reports through a pipe that an event was acknowledged; afterwards every acknowledged
event must be in the journal, with its content. Segments are small, so that kills also hit their
rotation.

    python benchmarks/capture/durability.py [--quick] [--json FILE] [--kills N]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

from burnish.journal import events as e
from burnish.journal.reader import ReadReport, read_events
from burnish.journal.writer import JournalWriter
from burnish.settings import Settings

THREADS = 4
NUMBER = struct.Struct("<Q")


def write_until_killed(home: Path, acknowledge: int) -> None:
    """Append events of many sizes in the child, and report each acknowledged one."""
    writer = JournalWriter(home, Settings(segment_bytes=200_000, fsync_interval_s=0.02))

    def work(first: int) -> None:
        for number in range(first, first + 1_000_000_000):
            content = e.canonical({"number": number, "text": "x" * (number * 37 % 4000)})
            ref = e.ref_of(content)
            event = e.StateRecorded(at=number, trajectory=f"{number:032x}", state=ref)
            writer.append(event, {ref: content})
            os.write(acknowledge, NUMBER.pack(number))

    for thread in range(THREADS):
        threading.Thread(target=work, args=(thread * 1_000_000_000,)).start()
    threading.Event().wait()


def kill_once(home: Path, moment_s: float) -> tuple[int, int, ReadReport]:
    """Return acknowledged and lost events of one process that was killed after `moment_s` of writing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        write_until_killed(home, writing)
        os._exit(1)
    os.close(writing)
    told = os.read(reading, NUMBER.size)  # the child is writing now
    received: list[bytes] = [told]
    collector = threading.Thread(target=_collect, args=(reading, received))
    collector.start()
    time.sleep(moment_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    collector.join()
    os.close(reading)
    data = b"".join(received)
    whole = len(data) // NUMBER.size * NUMBER.size
    acknowledged = {number for (number,) in NUMBER.iter_unpack(data[:whole])}
    report = ReadReport()
    found = set()
    for event, blobs in read_events(home, report=report):
        if isinstance(event, e.StateRecorded) and blobs.value(event.state)["number"] == event.at:
            found.add(event.at)
    return len(acknowledged), len(acknowledged - found), report


def _collect(pipe: int, received: list[bytes]) -> None:
    while part := os.read(pipe, 1 << 16):
        received.append(part)


def main() -> None:
    """Kill, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 kills instead of 1,000")
    parser.add_argument("--kills", type=int, help="number of kills")
    parser.add_argument("--json", type=Path, help="write figures and conditions here")
    args = parser.parse_args()
    kills = args.kills or (40 if args.quick else 1000)
    moments = random.Random(7)
    figures = {"kills": kills, "acknowledged": 0, "lost": 0, "torn_tails": 0, "corrupt": 0}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(kills):
            home = Path(folder) / str(number)
            acknowledged, lost, report = kill_once(home, moments.expovariate(1 / 0.03))
            figures["acknowledged"] += acknowledged
            figures["lost"] += lost
            figures["torn_tails"] += report.torn_tails
            figures["corrupt"] += report.corrupt
            shutil.rmtree(home)
    conditions = {
        "threads": THREADS,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }
    print(json.dumps(figures, indent=2))
    if args.json:
        args.json.write_text(json.dumps({"figures": figures, "conditions": conditions}, indent=2))
    sys.exit(1 if figures["lost"] else 0)


if __name__ == "__main__":
    main()
