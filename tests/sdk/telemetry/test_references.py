"""Content by reference: the spans carry names, the URL holds the content, and reading joins both."""

from __future__ import annotations

import json

import msgspec
import pytest
from shipped_copies import comparable

from burnish import settings
from burnish.errors import SettingsError
from burnish.journal.writer import writer_for
from burnish.records import Span, Verdict
from burnish.telemetry.delivery import shipper
from burnish.telemetry.delivery.batch_delivery import OtlpHttp
from burnish.telemetry.delivery.delivery_loop import ShippingPolicy, build_policy
from burnish.telemetry.intake.receiver import OtlpServer
from burnish.telemetry.spans.references import ContentStore, hash_content, resolve_content
from burnish.testing.recording import Recording
from burnish.trajectories import assemble
from burnish.workspace import Workspace


def record(home) -> Workspace:
    recording = Recording(home, writer_for(home))
    for number in range(3):
        recording.write_run(f"{number + 1:032x}", steps=6, task=f"a secret wish {number}")
    run = recording.run("f" * 32, task=f"\ud800 {2**70}")
    run.model_calls_tool("c0", {"large": 2**70, "null": None})
    run.run_tool("c0", {"large": 2**70}, None)
    run.end("failed", error_type="ValueError", error="a secret text \ud800")
    workspace = Workspace(home)
    workspace.append_verdict("f" * 32, Verdict(label="fail", verifier="v", evidence={"secret": 1}))
    return workspace


@pytest.fixture
def referring(tmp_path, configured):
    """Settings of a sender whose content goes to a folder, as a URL."""
    url = f"file://{tmp_path}/content"
    return lambda **given: configured(content="reference", content_url=url, **given)


def files(tmp_path):
    return [path for path in (tmp_path / "content").rglob("*") if path.is_file()]


def test_what_was_shipped_by_reference_assembles_to_what_the_journal_holds(
    tmp_path, collector, referring
):
    referring(otlp_endpoint=collector.url)
    workspace = record(tmp_path)
    assert shipper.flush_receivers(30) == 0

    assert not any(b"secret" in request for request in collector.requests)
    assert any("secret" in path.read_text() for path in files(tmp_path))
    assert comparable(assemble(collector.spans())) == comparable(workspace.trajectories())


def test_a_conversation_that_grows_is_kept_once(tmp_path, collector, referring):
    referring(otlp_endpoint=collector.url)
    recording = Recording(tmp_path, writer_for(tmp_path))
    recording.write_run("a" * 32, steps=40, task="x" * 5000)
    assert shipper.flush_receivers(30) == 0

    assert sum(path.stat().st_size for path in files(tmp_path)) < 60_000
    messages = next(s for s in collector.spans()[::-1] if s.kind == "model").attributes
    assert len(messages["gen_ai.input.messages.ref"]) == 80


def test_a_workspace_behind_a_receiver_finds_the_content(tmp_path, referring):
    server = OtlpServer(tmp_path / "central", http_port=0)
    server.start()
    referring(otlp_endpoint=f"http://127.0.0.1:{server.http_port}")
    workspace = record(tmp_path)
    left = shipper.flush_receivers(30)
    server.stop()
    central = Workspace(tmp_path / "central")

    assert left == 0
    assert comparable(central.trajectories()) == comparable(workspace.trajectories())
    settings.configure(content_url=None)
    assert {run.answer for run in central.trajectories()} == {None}


def test_spans_wait_where_their_content_cannot_be_kept(tmp_path, collector, referring):
    (tmp_path / "content").write_text("a file is in the way")
    referring()
    workspace = record(tmp_path)
    policy = msgspec.structs.replace(
        build_policy(settings.current()), first_backoff_s=0.01, last_backoff_s=0.05
    )
    running = shipper.Shipper(tmp_path, [OtlpHttp(collector.url)], policy)
    running.start()
    waiting = running.flush(0.3)
    reason = running.loops[0].last_reason
    (tmp_path / "content").unlink()

    assert waiting["otlp"] > 30
    assert "content cannot be stored" in reason
    assert running.flush(30) == {"otlp": 0}
    running.close()
    assert comparable(assemble(collector.spans())) == comparable(workspace.trajectories())


def test_a_span_that_is_too_large_leaves_its_content_at_the_url(tmp_path, collector, referring):
    referring()
    collector.largest = 40_000
    Recording(tmp_path, writer_for(tmp_path)).write_run("a" * 32, task="x" * 100_000, steps=1)
    policy = ShippingPolicy(store=build_policy(settings.current()).store, first_backoff_s=0.01)
    running = shipper.Shipper(tmp_path, [OtlpHttp(collector.url)], policy)
    running.start()
    assert running.flush(30) == {"otlp": 0}
    running.close()

    assert comparable(assemble(collector.spans())) == comparable(Workspace(tmp_path).trajectories())


@pytest.mark.parametrize("spoil", ["unlink", "write"])
def test_content_that_is_gone_or_altered_is_a_loss(tmp_path, collector, referring, spoil):
    referring(otlp_endpoint=collector.url)
    Recording(tmp_path, writer_for(tmp_path)).write_run("a" * 32)
    shipper.flush_receivers(30)
    (path,) = [path for path in files(tmp_path) if json.loads(path.read_text()) == "done"]
    path.unlink() if spoil == "unlink" else path.write_text('"other"')

    (run,) = assemble(collector.spans())
    assert run.losses == {"missing_content": 1}
    assert run.model_calls[-1].reply["parts"][0]["content"] == "done"


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "blake2b:../secret", "file:///etc/passwd", 7]
)
def test_a_name_that_is_none_opens_nothing(referring, name):
    referring()
    span = Span(
        trace_id="1" * 32, span_id="2" * 16, parent_id=None, kind="agent", name="n", start_ns=1,
        end_ns=2, status="ok", attributes={"burnish.answer.ref": name},
    )  # fmt: skip

    assert resolve_content(span).attributes["burnish.losses"] == {"missing_content": 1}


def test_a_span_without_references_needs_no_settings(monkeypatch):
    monkeypatch.setattr("burnish.settings.current", lambda: pytest.fail("settings were read"))
    span = Span(
        trace_id="1" * 32, span_id="2" * 16, parent_id=None, kind="agent", name="n", start_ns=1,
        end_ns=2, status="ok", attributes={"burnish.answer": "done"},
    )  # fmt: skip

    assert resolve_content(span) is span


def test_a_torn_upload_is_written_again(tmp_path):
    store = ContentStore(f"file://{tmp_path}/content")
    content = b'"whole"'
    store.put({hash_content(content): content})
    (path,) = files(tmp_path)
    path.write_bytes(b'"wh')

    with pytest.raises(KeyError):
        store.get(hash_content(content))
    ContentStore(f"file://{tmp_path}/content").put({hash_content(content): content})
    assert store.get(hash_content(content)) == "whole"


def test_a_url_that_no_file_system_knows_is_named(tmp_path, configured):
    configured(
        content="reference", content_url="nosuch://place", otlp_endpoint="http://127.0.0.1:1"
    )

    with pytest.raises(SettingsError, match="content_url is 'nosuch://place'"):
        shipper.flush_receivers(1)
    settings.configure(content_url=None)


def test_sending_again_leaves_the_content_where_the_settings_want_it(
    tmp_path, collector, configured
):
    chosen = configured(content="none")
    workspace = record(tmp_path)
    receiver = OtlpHttp(collector.url)
    shipper.send_again(workspace.spans(), receiver, build_policy(chosen))
    receiver.close()

    assert len(collector.spans()) > 30
    assert not any(b"secret" in request for request in collector.requests)
