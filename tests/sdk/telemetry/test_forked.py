"""Worker processes that are forked from a process that recorded."""

from __future__ import annotations

import os

import burnish
from burnish.telemetry import semconv as s


def recorded(collector):
    """Return the trajectories that the collector has so far."""
    spans = collector.spans()
    return {span.attributes[s.TRAJECTORY] for span in spans if span.kind == "agent"}


def test_a_forked_worker_ships_what_it_records_while_it_runs(collector, configured):
    configured(otlp_endpoint=collector.url)

    @burnish.trace(agent="worker")
    def work() -> str:
        with burnish.trace.model_call(["?"], model="m") as call:
            call.reply("!")
        return "!"

    work()
    assert burnish.flush(20) == 0
    assert len(recorded(collector)) == 1
    heard, tell = os.pipe()

    child = os.fork()
    if child == 0:
        try:
            work()
            os.read(heard, 1)  # it lives until its run was heard of
        finally:
            os._exit(0)

    try:
        collector.wait_for(lambda: len(recorded(collector)) == 2)
    finally:
        os.write(tell, b"x")
        assert os.waitpid(child, 0) == (child, 0)
        os.close(heard)
        os.close(tell)
