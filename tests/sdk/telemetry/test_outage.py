"""A long outage of the backend and the death of a receiver lose no acknowledged span."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from burnish.journal import cursor as cursors
from burnish.journal import events as e
from burnish.journal.writer import writer_for
from burnish.settings import Settings
from burnish.telemetry.delivery.batch_delivery import OtlpHttp
from burnish.telemetry.delivery.delivery_loop import ShippingPolicy
from burnish.telemetry.delivery.shipper import Shipper
from burnish.testing.recording import Recording
from burnish.workspace import Workspace

RUNS, SPANS = 900, 7_200  # a hundredth of an hour at 200 spans a second
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith("BURNISH_")},
    "PYTHONPATH": os.pathsep.join(sys.path),
}
EDGE = """
    import sys
    from pathlib import Path
    import burnish.settings
    from burnish.journal.writer import shared
    from burnish.telemetry.delivery import shipper
    from burnish.testing.recording import Recording

    home, endpoint, name = sys.argv[1:]
    burnish.settings.configure(home=home, otlp_endpoint=endpoint)
    shipper.ensure_started()
    recording = Recording(Path(home), shared())
    for number in range(200):
        recording.write_run(f"{name}{number:031x}")
        if number == 100:
            shipper.flush_receivers(60)
    print("recorded", flush=True)
    sys.stdin.read()
"""
READER = """
    import json, sys
    from pathlib import Path
    from burnish.journal.events import SpanReceived
    from burnish.journal.reader import read_events
    from burnish.workspace import Workspace

    home = Path(sys.argv[1])
    kept = {event.span for event, _ in read_events(home) if isinstance(event, SpanReceived)}
    shown = {span.span_id for span in Workspace(home).spans()}
    print(json.dumps([sorted(kept), sorted(shown)]))
"""


def python(code, *words):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, words)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip


@pytest.mark.slow
def test_a_long_outage_loses_nothing_and_sends_nothing_twice(tmp_path, collector):
    collector.down = True
    writer = writer_for(tmp_path)
    writer.settings = Settings(segment_bytes=300_000)  # so that segments are sealed meanwhile
    quick = ShippingPolicy(first_backoff_s=0.01, last_backoff_s=0.05)
    shipper = Shipper(tmp_path, [OtlpHttp(collector.url)], quick)
    shipper.start()
    recording = Recording(tmp_path, writer)
    for number in range(RUNS):
        recording.write_run(f"{number + 1:032x}", steps=4)
    collector.wait_for(lambda: collector.asked > 3)
    assert shipper.flush(0.1)["otlp"] == SPANS
    collector.down = False

    assert shipper.flush(60) == {"otlp": 0}
    shipper.close()
    ids = [span.span_id for span in collector.spans()]
    assert len(ids) == len(set(ids)) == SPANS


@pytest.fixture
def started():
    """Processes that do not outlive the test."""
    running = []
    yield running
    for process in running:
        with process:
            process.kill()


def receiver(home, started):
    """Start `burnish receive` in a separate process; return the process and its URL."""
    command = [sys.executable, "-m", "burnish.cli", "receive", "--http-port", "0", "--home"]
    process = subprocess.Popen(
        [*command, str(home)], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    started.append(process)
    return process, process.stdout.readline().split()[2].rstrip(";")


def read_elsewhere(home):
    """Return ids of all spans that a journal holds and that its workspace shows, as another process reads them.

    A run is shown once its own span has arrived, which is the last to end.
    """
    process = python(READER, home)
    found, _ = process.communicate()
    assert process.returncode == 0
    return map(set, json.loads(found))


@pytest.mark.slow
def test_two_senders_and_their_receiver_are_killed_and_all_that_was_acknowledged_is_there(
    tmp_path, started
):
    central, homes = tmp_path / "central", [tmp_path / "a", tmp_path / "b"]
    taking, url = receiver(central, started)
    edges = [python(EDGE, home, url, home.name) for home in homes]
    started += edges
    for edge in edges:
        assert edge.stdout.readline() == "recorded\n"
    for process in (*edges, taking):
        process.kill()
        process.wait()

    acknowledged = set()
    recorded = {}
    for home in homes:
        spans = list(Workspace(home).spans())
        recorded |= {span.span_id: span for span in spans}
        for path in cursors.folder_of(home).glob("*.cursor"):
            acknowledged |= shipped(home, path)
    kept, shown = read_elsewhere(central)
    assert len(acknowledged) >= 2 * 100 * 4
    assert acknowledged <= kept <= recorded.keys()
    assert shown <= kept

    _, url = receiver(central, started)  # both sides come back
    for home in homes:
        code = "from burnish.telemetry.delivery import shipper\nassert shipper.flush_receivers(30) == 0"
        given = {**ENVIRONMENT, "BURNISH_HOME": str(home), "BURNISH_OTLP_ENDPOINT": url}
        subprocess.run([sys.executable, "-c", code], check=True, env=given)
    kept, shown = read_elsewhere(central)
    assert kept == shown == recorded.keys()


def shipped(home, path):
    """Return the spans that end before a cursor's place: the receiver has acknowledged them."""
    cursor = cursors.read(path)
    folder = home / "journal" / path.stem.split(".", 1)[1]
    found = set()
    for event, at in events_of(folder / f"{cursor.segment:06d}.seg"):
        if at <= cursor.offset and isinstance(event, (e.RunEnded, e.ModelEnded, e.ToolEnded)):
            found.add(event.span)
    return found


def events_of(segment):
    from burnish.journal.reader import ReadReport, open_segment

    reader = open_segment(segment, ReadReport())
    return [(event, reader.position) for _, event in reader.poll(final=True)]
