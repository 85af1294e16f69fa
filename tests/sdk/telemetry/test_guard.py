"""Access to `burnish receive` and limits of an HTTP request, over real sockets on the loopback."""

from __future__ import annotations

import gzip
import http.client
import json
import logging
import socket
import threading

import httpx
import pytest

from burnish.cli.doctor import check_all
from burnish.errors import SettingsError
from burnish.http_guard import Guard, RequestRefused, check_address, is_loopback, read_token
from burnish.telemetry.delivery.batch_delivery import OtlpGrpc, OtlpHttp
from burnish.telemetry.intake import http_intake
from burnish.telemetry.intake.receiver import OtlpServer
from burnish.telemetry.otlp.codec import encode_request
from burnish.testing.recording import Recording
from burnish.workspace import Workspace

PROTO = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def make(tmp_path):
    made = []

    def start(token=None, **given):
        server = OtlpServer(tmp_path / "central", http_port=0, token=token, **given)
        server.start()
        made.append(server)
        return server

    yield start
    for server in made:
        server.stop()


@pytest.fixture
def spans(tmp_path):
    Recording(tmp_path / "edge").write_run("a" * 32)
    return list(Workspace(tmp_path / "edge").spans())


def url(server, path="/v1/traces") -> str:
    return f"http://127.0.0.1:{server.http_port}{path}"


def raw(server, *pieces: bytes) -> bytes:
    """Return the server's answer to these bytes."""
    with socket.create_connection(("127.0.0.1", server.http_port), 10) as connection:
        for piece in pieces:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"


def test_beyond_loopback_a_token_is_needed_and_no_command_line_shows_it(tmp_path):
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org", "127.0.0.1.example.org"):
        with pytest.raises(SettingsError, match="token"):
            OtlpServer(tmp_path, host, http_port=0)
        check_address(host, "secret")
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))


def test_a_token_is_read_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BURNISH_TOKEN", " abc\n")
    (tmp_path / "token").write_text("def\n")
    assert (read_token(), read_token(tmp_path / "token")) == ("abc", "def")
    (tmp_path / "token").write_text("\n")
    for path in (tmp_path / "token", tmp_path / "none"):
        with pytest.raises(SettingsError, match="holds no token"):
            read_token(path)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 400),
        ({"host": "127.0.0.1.evil.example:4318"}, 400),
        ({"host": "evil.example@127.0.0.1"}, 400),
        ({"host": ""}, 400),
        ({"host": "localhost", "origin": "http://evil.example"}, 403),
        ({"host": "localhost", "origin": "null"}, 403),
        ({"host": "localhost:4318", "origin": "http://localhost:3000"}, None),
        ({"host": "[::1]:4318"}, None),
        ({"host": "LOCALHOST"}, None),
    ],
)
def test_without_a_token_only_this_machine_is_heard(headers, status):
    if status is None:
        Guard().check_headers(headers)
        return
    with pytest.raises(RequestRefused) as refused:
        Guard().check_headers(headers)
    assert refused.value.status == status


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_senders_show_the_token_to_a_server_of_burnish_that_asks(make, spans, monkeypatch, kind):
    server = make("secret", grpc_port=0)

    def send():
        sender = (
            OtlpHttp(url(server))
            if kind == "http"
            else OtlpGrpc(f"grpc://127.0.0.1:{server.grpc_port}")
        )
        answer = sender.send(spans, "inline")
        again = sender.send(spans, "inline")
        sender.close()
        return answer.result, again.result

    monkeypatch.delenv("BURNISH_TOKEN", raising=False)
    assert send() == ("later", "later")
    monkeypatch.setenv("BURNISH_TOKEN", "wrong")
    assert send() == ("later", "later")
    monkeypatch.setenv("BURNISH_TOKEN", "secret")
    assert send() == ("taken", "taken")
    assert server.intake.spans == 2 * len(spans)


def test_no_other_collector_is_shown_the_token(collector, spans, monkeypatch):
    monkeypatch.setenv("BURNISH_TOKEN", "secret")
    collector.answers = [(401, {"www-authenticate": "Bearer"}), (200, {})]
    sender = OtlpHttp(collector.url)

    assert [sender.send(spans, "inline").result for _ in range(2)] == ["later", "taken"]
    assert collector.asked == 2
    sender.close()


def test_json_chunks_and_other_signals_are_taken(make, spans):
    server = make()
    span = {
        "traceId": "1" * 32, "spanId": "2" * 16, "name": "invoke_agent a", "kind": 1,
        "startTimeUnixNano": "1", "endTimeUnixNano": "2",
        "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "invoke_agent"}}],
    }  # fmt: skip
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span, {**span, "spanId": "0" * 16}]}]}]}
    taken = httpx.post(url(server), json=body)
    chunked = httpx.post(url(server), content=iter([encode_request(spans)[:100], encode_request(spans)[100:]]), headers=PROTO)  # fmt: skip
    logs = httpx.post(url(server, "/v1/logs"), json={"resourceLogs": [{"scopeLogs": [{"logRecords": [{}, {}]}]}]})  # fmt: skip
    metrics = httpx.post(url(server, "/v1/metrics"), content=b"\n\x04\x12\x02\x12\x00", headers=PROTO)  # fmt: skip

    assert [r.status_code for r in (taken, chunked, logs, metrics)] == [200] * 4
    assert taken.json()["partialSuccess"]["rejectedSpans"] == 1
    assert server.intake.counts == {
        "spans": 1 + len(spans), "refused_spans": 1, "logs": 2, "metrics": 1,
    }  # fmt: skip


def test_what_a_receiver_refused_stands_in_the_journal_and_in_doctor(make, spans, tmp_path):
    server = make()
    for _ in range(5):
        httpx.post(url(server), content=b"\xff\xff", headers=PROTO)
    httpx.post(url(server), content=encode_request(spans), headers=PROTO)
    server.stop()

    home = server.intake.writer.home
    findings = {finding.name: finding for finding in check_all(home, imports=False)}
    assert Workspace(home).losses() == {"refused_requests": 5}
    assert "refused_requests 5" in findings["losses"].detail
    assert len(list(Workspace(home).trajectories())) == len({span.trace_id for span in spans})


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (HEAD + "Content-Length: ²\r\n\r\n".encode("latin-1"), b"400"),
        (HEAD + b"Content-Length: -1\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: +1\r\n\r\na", b"400"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\naa", b"400"),
        (HEAD + b"Content-Length: " + b"1" * 5000 + b"\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: 99999999999\r\n\r\n", b"413"),
        (HEAD + b"Content-Length: 10\r\n\r\nabc", b"400"),
        (HEAD + b"\r\n", b"411"),
        (HEAD + b"Host: evil.example\r\nContent-Length: 0\r\n\r\n", b"400"),
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", b"400"),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"400"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", b"400"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", b"413"),
        (HEAD + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\na", b"415"),
    ],
)
def test_an_odd_request_is_answered(make, request_bytes, status):
    assert raw(make(), request_bytes).split(b" ")[1] == status


def test_gzip_is_read_to_its_end_and_no_further(make, spans):
    server, body = make(), encode_request(spans)
    packed = gzip.compress(body[:50]) + gzip.compress(body[50:])
    bodies = (packed, packed + b"garbage", packed[:-3], gzip.compress(bytes(20 * 2**20)), b"")
    answers = [
        httpx.post(url(server), content=content, headers={**PROTO, "content-encoding": "gzip"})
        for content in bodies
    ]

    assert [answer.status_code for answer in answers] == [200, 400, 400, 413, 400]
    assert server.intake.spans == len(spans)


def test_a_gzip_of_very_many_members_is_refused_soon(make):
    content = gzip.compress(b"") * 500_000
    answer = httpx.post(url(make()), content=content, headers={**PROTO, "content-encoding": "gzip"}, timeout=20)  # fmt: skip
    assert answer.status_code == 400


def test_json_that_unfolds_to_too_much_is_refused(make):
    content = b'{"a": [' + b"[]," * 1_000_001 + b"0]}"
    for path in ("/v1/traces", "/v1/logs"):
        answer = httpx.post(url(make(), path), content=content, headers=JSON, timeout=20)
        assert answer.status_code == 400
        assert "more than" in answer.text


def test_a_body_that_does_not_come_frees_its_thread(make, monkeypatch):
    monkeypatch.setattr(http_intake, "BODY_S", 0.2)
    monkeypatch.setattr(http_intake, "HEADERS_S", 0.2)
    server = make()
    with socket.create_connection(("127.0.0.1", server.http_port), 10) as half:
        half.sendall(HEAD + b"Content-Length: 600\r\n\r\nabc")
        assert half.recv(100).startswith(b"HTTP/1.1 408")
    with socket.create_connection(("127.0.0.1", server.http_port), 10) as idle:
        idle.sendall(b"POST /v1/tr")
        assert idle.recv(100) == b""


def test_connections_are_bounded_and_the_next_is_told_to_try_later(make):
    server = make()
    before = threading.active_count()
    held = [
        socket.create_connection(("127.0.0.1", server.http_port), 10)
        for _ in range(http_intake.CONNECTIONS + 10)
    ]
    assert held[-1].recv(100).startswith(b"HTTP/1.1 503")
    assert threading.active_count() - before <= http_intake.CONNECTIONS
    for connection in held:
        connection.close()


def test_a_refused_request_is_one_line_in_the_log(make, caplog, capfd):
    server = make()
    with caplog.at_level(logging.INFO, "burnish"):
        answer = httpx.post(url(server), content=b"\xff" * 100_000, headers=PROTO)
    assert answer.status_code == 400
    (record,) = [r for r in caplog.records if r.name.startswith("burnish")]
    assert len(record.getMessage()) < 1000
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "body", ["[" * 100_000, "5", '{"resourceSpans": 5}', '{"resourceSpans": [5]}', "\ud800"]
)
def test_json_that_is_no_request_is_answered_400(make, body):
    content = body.encode("utf-8", "surrogatepass")
    for path in ("/v1/traces", "/v1/logs"):
        odd_but_empty = path == "/v1/logs" and body.startswith('{"resourceSpans"')
        answer = httpx.post(url(make(), path), content=content, headers=JSON)
        assert answer.status_code == (200 if odd_but_empty else 400)


def test_keep_alive_goes_on_after_a_request_that_was_refused_by_its_spans(make, spans):
    connection = http.client.HTTPConnection("127.0.0.1", make().http_port, timeout=10)
    statuses = []
    for body in (b"\xff\xff", encode_request(spans), json.dumps({}).encode()):
        connection.request("POST", "/v1/traces", body, PROTO)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    assert statuses == [400, 200, 400]
