"""The journal's commands on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from burnish.telemetry.delivery.batch_delivery import OtlpHttp
from burnish.testing.recording import Recording
from burnish.trajectories import assemble
from burnish.workspace import Workspace

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def burnish(*words, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "burnish.cli", *map(str, words)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def record(home):
    recording = Recording(home)
    recording.write_run("a" * 32, user="anna", thread_id="t-1")
    recording.write_run("b" * 32, user="bert")
    recording.writer.close()


def test_forget_says_what_went(tmp_path):
    record(tmp_path)
    report = json.loads(burnish("forget", "--user", "anna", "--home", tmp_path, "--json"))

    assert report["trajectories"] == ["a" * 32]
    assert [t.id for t in Workspace(tmp_path).trajectories()] == ["b" * 32]
    assert "either a thread or a user" in burnish("forget", "--home", tmp_path, code=1)


def test_archive_moves_segments(tmp_path):
    record(tmp_path / "home")
    shown = burnish("archive", f"file://{tmp_path}/archive", "--home", tmp_path / "home")

    assert "1 segments archived" in shown
    assert len(list(Workspace(tmp_path / "home").trajectories())) == 2


def test_ship_sends_again(tmp_path, collector):
    record(tmp_path)
    words = ("traces", "ship", "--since", "1h", "--home", tmp_path)
    counts = json.loads(burnish(*words, "--endpoint", collector.url, "--json"))

    assert [count["taken"] for count in counts.values()] == [8]
    assert {t.id for t in assemble(collector.spans())} == {"a" * 32, "b" * 32}
    assert "no OTLP endpoint is set" in burnish(*words, code=1)
    assert "--since is 'soon'" in burnish(
        "traces", "ship", "--since", "soon", "--endpoint", collector.url, code=1
    )


@pytest.fixture
def receiving(tmp_path):
    """A receiver that redacts, in a process that does not outlive the test, and its URL."""
    command = (sys.executable, "-m", "burnish.cli", "receive", "--http-port", "0")
    process = subprocess.Popen(
        [*command, "--home", str(tmp_path / "home")],
        stdout=subprocess.PIPE, text=True, env=ENVIRONMENT | {"BURNISH_REDACT": "structured"},
    )  # fmt: skip
    with process:
        try:
            yield process, process.stdout.readline().split()[2].rstrip(";")
        finally:
            process.kill()


def test_receive_replaces_what_the_settings_name(tmp_path, receiving):
    process, url = receiving
    recording = Recording(tmp_path / "edge")
    run = recording.run("a" * 32, task="write to anna@firm.com", user="anna@firm.com")
    run.model_says("anna@firm.com it is", token_ids=[1, 2], prompt_token_ids=[3])
    run.end(answer="anna@firm.com")
    recording.writer.close()
    sender = OtlpHttp(url)
    answer = sender.send(list(Workspace(tmp_path / "edge").spans()), "inline")
    sender.close()

    assert answer.result == "taken"
    (run,) = Workspace(tmp_path / "home").trajectories()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("home/journal/*/*.seg"))
    assert b"firm.com" not in stored
    assert run.user == run.answer
    assert run.answer.endswith("@example.invalid")
    assert run.redacted
    assert run.model_calls[0].token_ids is None
    assert process.poll() is None


def test_receive_takes_spans_until_it_is_interrupted(tmp_path, receiving):
    process, url = receiving
    record(tmp_path / "edge")
    sender = OtlpHttp(url)
    answer = sender.send(list(Workspace(tmp_path / "edge").spans()), "inline")
    sender.close()
    process.send_signal(signal.SIGINT)

    assert answer.result == "taken"
    assert process.wait(20) == 0
    assert len(list(Workspace(tmp_path / "home").trajectories())) == 2
