"""Guarantees of shipping: every span arrives, after any delay, and the agent never waits for it."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import textwrap
import threading
import time
from email.utils import format_datetime

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from shipped_copies import comparable

from burnish.errors import SettingsError
from burnish.journal import cursor
from burnish.journal.lifecycle.retention import keep
from burnish.journal.reader import is_alive, process_folders
from burnish.journal.writer import JournalWriter, writer_for
from burnish.settings import Settings
from burnish.telemetry.delivery import shipper
from burnish.telemetry.delivery.batch_delivery import AnyExporter, OtlpHttp
from burnish.telemetry.delivery.delivery_loop import ShippingPolicy
from burnish.telemetry.delivery.shipper import Shipper
from burnish.testing.recording import Recording
from burnish.trajectories import assemble
from burnish.workspace import Workspace

EAGER = ShippingPolicy(first_backoff_s=0.01, last_backoff_s=0.05)


@pytest.fixture
def shipping(tmp_path, collector):
    started = []

    def start(policy=EAGER, receiver=None) -> Shipper:
        made = Shipper(tmp_path, [receiver or OtlpHttp(collector.url)], policy)
        made.start()
        started.append(made)
        return made

    yield start
    for made in started:
        made.close()


@pytest.fixture
def recording(tmp_path):
    return Recording(tmp_path, writer_for(tmp_path))


def test_what_a_receiver_got_assembles_to_what_the_journal_holds(
    tmp_path, collector, shipping, recording
):
    running = shipping()
    for number in range(5):
        recording.write_run(f"{number + 1:032x}", steps=number + 1, thread_id="t")
    workspace = Workspace(tmp_path)
    workspace.record_state(f"{3:032x}", {"rows": 2**70})

    assert running.flush(20) == {"otlp": 0}
    assert comparable(assemble(collector.spans())) == comparable(workspace.trajectories())


def test_spans_go_out_by_themselves(collector, shipping, recording):
    shipping()
    recording.write_run("a" * 32)

    collector.wait_for(lambda: collector.requests)


def test_a_receiver_that_is_down_gets_everything_later(tmp_path, collector, shipping, recording):
    collector.down = True
    running = shipping()
    for number in range(30):
        recording.write_run(f"{number + 1:032x}")
    left = running.flush(0.3)
    collector.wait_for(lambda: collector.asked >= 3)
    collector.down = False

    assert left["otlp"] >= 30
    assert running.flush(20) == {"otlp": 0}
    assert comparable(assemble(collector.spans())) == comparable(Workspace(tmp_path).trajectories())


def test_a_flush_waits_no_longer_than_it_was_told(collector, shipping, recording):
    collector.down = True
    running = shipping(ShippingPolicy(first_backoff_s=30, last_backoff_s=30))
    recording.write_run("a" * 32)
    before = time.monotonic()

    assert running.flush(0.2)["otlp"] > 0
    assert time.monotonic() - before < 5


def test_a_retry_waits_as_long_as_the_receiver_asks(collector, shipping, recording):
    collector.answers = [(429, {"retry-after": "0.5"})]
    shipping()
    before = time.monotonic()
    recording.write_run("a" * 32)
    collector.wait_for(lambda: collector.requests)

    assert time.monotonic() - before >= 0.5


def test_a_retry_may_be_named_by_its_date(collector):
    receiver = OtlpHttp(collector.url)
    wait = []
    for answer in (
        format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100), usegmt=True),
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "1e99",
        "nan",
        "soon",
    ):
        collector.answers = [(503, {"retry-after": answer})]
        wait.append(receiver.send([], "inline").retry_after_s)
    receiver.close()

    assert 90 < wait[0] <= 100
    assert wait[1:] == [0, 3600, None, None]


def test_a_restart_continues_where_the_cursor_stands(tmp_path, collector, shipping, recording):
    first = shipping()
    run = recording.run("a" * 32)
    run.model_says("one")
    assert first.flush(20) == {"otlp": 0}
    first.close()
    sent = [span.span_id for span in collector.spans()]
    run.model_says("two")
    run.end(answer="two")

    assert shipping().flush(20) == {"otlp": 0}
    again = [span.span_id for span in collector.spans()]
    assert len(sent) == 1
    assert len(again) == len(set(again)) == 3
    assert comparable(assemble(collector.spans())) == comparable(Workspace(tmp_path).trajectories())


def test_a_restart_knows_what_was_open_in_an_earlier_segment(tmp_path, collector, shipping):
    writer = writer_for(tmp_path)
    writer.settings = Settings(segment_bytes=1500)
    recording = Recording(tmp_path, writer)
    first = shipping()
    run = recording.run("a" * 32, trace="9" * 32)
    for number in range(10):
        run.model_says(f"word {number}")
    assert first.flush(20) == {"otlp": 0}
    first.close()
    run.model_says("last")
    run.end()
    shipping().flush(20)

    assert {span.trace_id for span in collector.spans()} == {"9" * 32}
    assert comparable(assemble(collector.spans())) == comparable(Workspace(tmp_path).trajectories())


@pytest.mark.parametrize("death", ["SIGKILL", "SIGTERM"])
def test_what_a_killed_process_left_is_shipped_by_the_next(tmp_path, collector, shipping, death):
    code = f"""
        import os, signal
        from pathlib import Path
        from burnish.testing.recording import Recording
        recording = Recording(Path({str(tmp_path)!r}))
        recording.write_run("a" * 32)
        run = recording.run("b" * 32)
        run.model_starts()
        os.kill(os.getpid(), signal.{death})
    """
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, env=env)
    running = shipping()

    assert running.flush(20) == {"otlp": 0}
    received = {t.id: t for t in assemble(collector.spans())}
    assert comparable(received.values()) == comparable(Workspace(tmp_path).trajectories())
    assert received["b" * 32].status == "abandoned"
    running.close()
    shipping().flush(20)
    ids = [span.span_id for span in collector.spans()]
    assert len(ids) == len(set(ids))


def test_a_living_process_ships_its_own_journal_and_no_other(
    tmp_path, collector, shipping, recording
):
    other = JournalWriter(tmp_path)
    Recording(tmp_path, other).write_run("b" * 32)
    recording.write_run("a" * 32)
    running = shipping()

    assert running.flush(20) == {"otlp": 0}
    assert {t.id for t in assemble(collector.spans())} == {"a" * 32}
    other.close()
    assert running.flush(20) == {"otlp": 0}
    assert {t.id for t in assemble(collector.spans())} == {"a" * 32, "b" * 32}


def test_batches_stay_below_their_size_and_what_is_too_large_is_halved(
    tmp_path, collector, shipping, recording
):
    collector.largest = 40_000
    for number in range(20):
        recording.write_run(f"{number + 1:032x}", task="x" * 5000)
    running = shipping(ShippingPolicy(batch_bytes=100_000, first_backoff_s=0.01))

    assert running.flush(20) == {"otlp": 0}
    assert len(collector.requests) > 5
    assert all(len(request) <= 40_000 for request in collector.requests)
    assert comparable(assemble(collector.spans())) == comparable(Workspace(tmp_path).trajectories())


def test_a_span_that_is_too_large_alone_goes_without_its_content(collector, shipping, recording):
    collector.largest = 40_000
    recording.write_run("a" * 32, task="x" * 100_000, steps=1)
    running = shipping()

    assert running.flush(20) == {"otlp": 0}
    (trajectory,) = assemble(collector.spans())
    assert len(trajectory.model_calls) == 1
    assert (
        "gen_ai.input.messages.ref"
        in next(s for s in collector.spans() if s.kind == "model").attributes
    )


def test_a_span_that_is_refused_for_good_is_counted_and_holds_up_no_other(
    tmp_path, collector, shipping, recording
):
    recording.write_run("a" * 32, steps=2)
    collector.answers = [(400, {})] * 3  # whole batch, its first half, the first span
    running = shipping()

    assert running.flush(20) == {"otlp": 0}
    folder = recording.writer.folder.name
    kept = cursor.read(cursor.path_of(tmp_path, "otlp", folder))
    assert kept.refused >= 1
    assert kept.refused + len(collector.spans()) == 4


class Stubborn(SpanExporter):
    """Fails, raises, then accepts everything."""

    def __init__(self):
        self.calls, self.taken, self.closed = 0, [], threading.Event()

    def export(self, spans):
        self.calls += 1
        if self.calls == 1:
            return SpanExportResult.FAILURE
        if self.calls == 2:
            raise RuntimeError("a broken exporter")
        self.taken += spans
        return SpanExportResult.SUCCESS

    def shutdown(self):
        self.closed.set()


def test_any_span_exporter_is_tried_until_it_takes_the_spans(shipping, recording):
    exporter = Stubborn()
    running = shipping(receiver=AnyExporter(exporter, "stubborn"))
    recording.write_run("a" * 32, steps=1)

    assert running.flush(20) == {"stubborn": 0}
    assert [span.name for span in exporter.taken] == ["chat tiny", "invoke_agent support"]
    running.close()
    assert exporter.closed.is_set()


def test_settings_start_an_exporter_and_flush_says_what_is_left(tmp_path, configured):
    exporter = InMemorySpanExporter()
    configured(exporters=[exporter])
    Recording(tmp_path, writer_for(tmp_path)).write_run("a" * 32, steps=2)

    assert shipper.flush_receivers(20) == 0
    assert len(exporter.get_finished_spans()) == 4


def test_without_a_receiver_nothing_waits(tmp_path, configured):
    configured()
    Recording(tmp_path, writer_for(tmp_path)).write_run("a" * 32)

    assert shipper.flush_receivers(20) == 0
    assert not (tmp_path / "exporters").exists()


def test_an_endpoint_that_is_no_url_is_named():
    with pytest.raises(SettingsError, match="an HTTP URL"):
        OtlpHttp("collector:4318")


def test_what_was_never_shipped_is_claimed_from_the_first_try(
    tmp_path, collector, shipping, recording
):
    collector.down = True
    running = shipping()
    recording.write_run("a" * 32)
    collector.wait_for(lambda: collector.asked)

    recording.writer.rotate()
    recording.write_run("b" * 32)
    report = keep(tmp_path, Settings(keep_days=0, keep_bytes=0))
    assert (report.removed, report.claimed) == (0, 1)
    assert shipper.measure_lag(tmp_path)["otlp"] > 0
    collector.down = False
    assert running.flush(20) == {"otlp": 0}


def test_sampling_ships_a_share_and_every_failure(tmp_path, collector, shipping, recording):
    for number in range(60):
        recording.write_run(f"{number * 7919 + 1:032x}")
    for number in range(5):
        run = recording.run(f"f{number:031x}")
        run.model_says("oh")
        run.end("failed", error_type="ValueError", error="x")
    running = shipping(ShippingPolicy(sample=0.3, first_backoff_s=0.01))

    assert running.flush(20) == {"otlp": 0}
    shipped = {t.id: t for t in assemble(collector.spans())}
    failed = [t for t in shipped.values() if t.status == "failed"]
    assert len(failed) == 5
    assert all(len(t.model_calls) == 1 and t.losses == {} for t in failed)
    assert 5 <= len(shipped) - 5 <= 35
    assert len(list(Workspace(tmp_path).trajectories())) == 65
    folder = recording.writer.folder.name
    kept = cursor.read(cursor.path_of(tmp_path, "otlp", folder))
    assert kept.sampled_out + kept.delivered == 60 * 4 + 5 * 2


def test_a_process_that_ends_normally_ships_first(tmp_path, collector):
    code = f"""
        import burnish.settings
        from pathlib import Path
        from burnish.journal.writer import shared
        from burnish.telemetry.delivery import shipper
        from burnish.testing.recording import Recording
        burnish.settings.configure(home={str(tmp_path)!r}, otlp_endpoint={collector.url!r})
        shipper.ensure_started()
        Recording(Path({str(tmp_path)!r}), shared()).write_run("a" * 32)
    """
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, env=env)

    assert [t.id for t in assemble(collector.spans())] == ["a" * 32]
    assert not any(map(is_alive, process_folders(tmp_path)))


def test_what_was_shipped_can_be_sent_again(tmp_path, collector, shipping, recording):
    recording.write_run("a" * 32)
    middle = time.time_ns()
    recording.write_run("b" * 32)
    receiver = OtlpHttp(collector.url)
    counts = shipper.send_again(Workspace(tmp_path).spans(middle), receiver)
    receiver.close()

    assert counts == {"taken": 4, "refused": 0, "failed": 0}
    assert [t.id for t in assemble(collector.spans())] == ["b" * 32]


class Picky(SpanExporter):
    """Refuses spans with a word without a reason."""

    def __init__(self, word, *, down=False):
        self.word, self.down, self.names = word, down, []

    def export(self, spans):
        if self.down or any(
            self.word in str(value) for s in spans for value in s.attributes.values()
        ):
            return SpanExportResult.FAILURE
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS

    def shutdown(self):
        pass


@pytest.mark.parametrize("named", ["task", "agent"])
def test_a_span_that_an_exporter_never_takes_holds_up_no_other(
    tmp_path, shipping, recording, named
):
    """Its content is sent by reference; if that does not help, it is refused and counted."""
    given = {"task": "odd word"} if named == "task" else {"agent": "odd"}
    recording.write_run("a" * 32, steps=1, **given)
    recording.write_run("b" * 32, steps=1)
    exporter = Picky("odd")
    policy = ShippingPolicy(first_backoff_s=0.01, last_backoff_s=0.02)
    running = shipping(policy, receiver=AnyExporter(exporter, "picky"))

    assert running.flush(20) == {"picky": 0}
    folder = recording.writer.folder.name
    kept = cursor.read(cursor.path_of(tmp_path, "picky", folder))
    assert exporter.names.count("invoke_agent support") >= (2 if named == "task" else 1)
    assert exporter.names.count("chat tiny") >= (2 if named == "task" else 1)
    assert (kept.refused, kept.delivered) == ((0, 4) if named == "task" else (2, 2))


def test_a_span_that_is_never_taken_alone_waits_for_nothing_behind_it(
    tmp_path, shipping, recording
):
    recording.write_run("a" * 32, steps=1, agent="odd")
    recording.write_run("b" * 32, steps=1)
    exporter = Picky("odd")
    policy = ShippingPolicy(batch_spans=1, first_backoff_s=0.01, last_backoff_s=0.02)
    running = shipping(policy, receiver=AnyExporter(exporter, "picky"))

    assert running.flush(20) == {"picky": 0}
    assert "invoke_agent support" in exporter.names


def test_an_exporter_that_takes_nothing_refuses_nothing(tmp_path, shipping, recording):
    recording.write_run("a" * 32, steps=2)
    exporter = Picky("odd", down=True)
    policy = ShippingPolicy(first_backoff_s=0.01, last_backoff_s=0.02)
    running = shipping(policy, receiver=AnyExporter(exporter, "down"))
    assert running.flush(1) == {"down": 4}
    exporter.down = False

    assert running.flush(20) == {"down": 0}
    kept = cursor.read(cursor.path_of(tmp_path, "down", recording.writer.folder.name))
    assert (kept.refused, kept.delivered) == (0, 4)
