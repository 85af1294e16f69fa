"""The workspace behind a receiver holds everything that the receiver acknowledged."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import textwrap

import httpx
import pytest
from oversized_request import answer_to_oversized
from shipped_copies import comparable

from burnish.errors import ServingError
from burnish.records import Outcome, Verdict
from burnish.telemetry.delivery.batch_delivery import OtlpGrpc, OtlpHttp
from burnish.telemetry.intake.receiver import OtlpServer
from burnish.testing.recording import Recording
from burnish.trajectories import assemble
from burnish.workspace import Workspace


@pytest.fixture
def central(tmp_path):
    return tmp_path / "central"


@pytest.fixture
def server(central):
    made = OtlpServer(central, http_port=0, grpc_port=0)
    made.start()
    yield made
    made.stop()


@pytest.fixture(params=["http", "grpc"])
def sender(request, server):
    if request.param == "http":
        made = OtlpHttp(f"http://127.0.0.1:{server.http_port}")
    else:
        made = OtlpGrpc(f"grpc://127.0.0.1:{server.grpc_port}")
    yield made
    made.close()


def record(home) -> Workspace:
    recording = Recording(home)
    recording.write_run("a" * 32, steps=4, thread_id="t-\ud800", user="u")
    run = recording.run("b" * 32, thread_id="t-2", task=f"\ud800 {2**70}")
    run.model_calls_tool("c0", {"large": 2**70, "null": None})
    run.run_tool("c0", {"large": 2**70}, [None, "\ud800"])
    run.end("failed", error_type="E", error="\ud800", losses={"dropped_frames": 1})
    workspace = Workspace(home)
    workspace.record_state("a" * 32, {"rows": [2**70, None]})
    workspace.append_outcome(Outcome(source="crm", success=True), thread_id="t-\ud800")
    workspace.append_verdict("a" * 32, Verdict(label="success", verifier="v", evidence={"x": None}))
    return workspace


def test_a_workspace_behind_the_receiver_holds_the_same_trajectories(tmp_path, central, sender):
    workspace = record(tmp_path / "edge")
    spans = list(workspace.spans())

    answers = [sender.send(spans[i : i + 3], "inline") for i in range(0, len(spans), 3)]
    again = sender.send(spans, "inline")

    behind = Workspace(central)
    assert {answer.result for answer in [*answers, again]} == {"taken"}
    assert comparable(behind.trajectories()) == comparable(workspace.trajectories())
    assert [t.id for t in behind.trajectories(status="failed")] == ["b" * 32]
    assert behind.trajectory("a").outcomes[0].source == "crm"
    assert behind.losses() == {"dropped_frames": 2}
    assert comparable(assemble(behind.spans())) == comparable(behind.trajectories())


def test_a_conversation_is_stored_once_behind_the_receiver(tmp_path, central, server):
    recording = Recording(tmp_path / "edge")
    recording.write_run("a" * 32, steps=40, task="x" * 20_000)
    sender = OtlpHttp(f"http://127.0.0.1:{server.http_port}")
    sender.send(list(Workspace(tmp_path / "edge").spans()), "inline")
    sender.close()

    assert sum(path.stat().st_size for path in central.glob("journal/*/*.seg")) < 150_000


def test_what_is_no_span_is_refused_and_said_why(server):
    url = f"http://127.0.0.1:{server.http_port}/v1/traces"
    proto = {"content-type": "application/x-protobuf"}
    empty = httpx.post(url, content=b"", headers=proto)
    broken = httpx.post(url, content=b"\xff\xff\xff", headers=proto)
    other = httpx.post(url, content=b"{}", headers={"content-type": "text/plain"})
    lost = httpx.post(url + "x", content=b"", headers=proto)
    unzipped = httpx.post(url, content=b"xx", headers={**proto, "content-encoding": "gzip"})
    bomb = gzip.compress(bytes(65 * 1024 * 1024))
    large = httpx.post(url, content=bomb, headers={**proto, "content-encoding": "gzip"})

    assert [r.status_code for r in (empty, broken, other, lost, unzipped, large)] == [
        200, 400, 415, 404, 400, 413,
    ]  # fmt: skip
    assert "http/protobuf" in other.text


def test_a_sender_gets_its_refusal_although_it_sends_on(server):
    """A connection that is closed while bytes are unread is reset, and the answer is lost with it."""
    answer = answer_to_oversized(server.http_port, "/v1/traces")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"at most" in answer


def test_a_journal_that_takes_nothing_makes_senders_try_again(tmp_path, central, sender):
    central.mkdir()
    (central / "workspace.json").write_text('{"format": 99}')
    spans = list(record(tmp_path / "edge").spans())
    refused = sender.send(spans, "inline")
    (central / "workspace.json").unlink()
    taken = sender.send(spans, "inline")

    assert (refused.result, taken.result) == ("later", "taken")


def test_a_port_that_is_taken_is_named(server, central):
    with pytest.raises(ServingError, match="cannot be listened on"):
        OtlpServer(central, http_port=server.http_port)


EDGE = """
    import itertools, sys
    from pathlib import Path
    import burnish.settings
    from burnish.journal.writer import shared
    from burnish.telemetry.delivery import shipper
    from burnish.testing.recording import Recording

    home, endpoint, name = sys.argv[1:]
    burnish.settings.configure(home=home, otlp_endpoint=endpoint)
    shipper.ensure_started()
    recording = Recording(Path(home), shared())
    for number in itertools.count(1):
        print(recording.write_run(f"{name}{number:031x}"), flush=True)
"""


def test_two_processes_ship_here_and_are_killed_and_nothing_acknowledged_is_lost(
    tmp_path, central, server
):
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    endpoint = f"http://127.0.0.1:{server.http_port}"
    homes = {name: tmp_path / name for name in "ab"}
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(EDGE), str(home), endpoint, name],
            stdout=subprocess.PIPE, text=True, env=env,
        )
        for name, home in homes.items()
    }  # fmt: skip
    acknowledged = set()
    for process in processes.values():
        acknowledged |= {process.stdout.readline().strip() for _ in range(40)}
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().splitlines(keepends=True)
        acknowledged |= {line.strip() for line in rest if line.endswith("\n")}
        process.wait()
        process.stdout.close()
    for home in homes.values():  # restarted: ships what its predecessor left, and ends
        code = "from burnish.telemetry.delivery import shipper\nassert shipper.flush_receivers(30) == 0"
        given = {**env, "BURNISH_HOME": str(home), "BURNISH_OTLP_ENDPOINT": endpoint}
        subprocess.run([sys.executable, "-c", code], check=True, env=given)

    behind = {t.id: t for t in Workspace(central).trajectories()}
    before = [t for home in homes.values() for t in Workspace(home).trajectories()]

    assert acknowledged <= behind.keys()
    assert comparable(behind.values()) == comparable(before)
