"""`burnish serve` answers odd requests with 400, and none of them stops the others."""

from __future__ import annotations

import json
import logging
import socket
import time

import httpx
import pytest
from oversized_request import answer_to_oversized

from burnish.errors import ServingError
from burnish.http_guard import LARGEST_BODY
from burnish.serving.embedded.engine import Engine
from burnish.serving.embedded.session import ChatAsk, Session
from burnish.serving.http import asgi_guard
from burnish.serving.http.server import make_app, running

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
HI = '"messages": [{"role": "user", "content": "hi"}]'
HEADERS = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def engine(base):
    made = Engine(base)
    yield made
    made.close()


@pytest.fixture(scope="module")
def served(base, engine):
    with running(make_app(base, engine=engine)) as url:
        yield url


def address(url: str) -> tuple[str, int]:
    return "127.0.0.1", int(url.rsplit(":", 1)[1])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, "[" * 100_000),
        (CHAT, '{"a":' * 5_000),
        (CHAT, f'{{{HI}, "max_tokens": 1e400}}'),
        (CHAT, f'{{{HI}, "max_tokens": 1.5}}'),
        (CHAT, f'{{{HI}, "max_tokens": true}}'),
        (CHAT, f'{{{HI}, "max_tokens": -1}}'),
        (CHAT, f'{{{HI}, "max_tokens": "5"}}'),
        (CHAT, f'{{{HI}, "temperature": NaN}}'),
        (CHAT, f'{{{HI}, "temperature": 1{"0" * 400}}}'),
        (CHAT, f'{{{HI}, "seed": "x"}}'),
        (CHAT, f'{{{HI}, "model": "\\ud800"}}'),
        (CHAT, f'{{{HI}, "model": ["x"]}}'),
        (CHAT, f'{{{HI}, "stop": 5}}'),
        (CHAT, f'{{{HI}, "stop": [""]}}'),
        (CHAT, f'{{{HI}, "stop": ["a", "b", "c", "d", "e"]}}'),
        (CHAT, f'{{{HI}, "stop": "{"a" * 300}"}}'),
        (CHAT, f'{{{HI}, "stream": true, "stream_options": 5}}'),
        (CHAT, f'{{{HI}, "tools": [5]}}'),
        (CHAT, '{"messages": [{"role": ["user"], "content": "x"}], "max_tokens": 1, "stop": 1}'),
        (CHAT, '{"messages": [{"content": {"a": 1}}]}'),
        (CHAT, '{"messages": [{"role": "user", "parts": 5}]}'),
        (CHAT, '{"messages": [{"role": "assistant", "tool_calls": 5}]}'),
        (CHAT, '{"messages": [{"role": "assistant", "content": "", "tool_calls": [{"function": '
               f'{{"name": "f", "arguments": "{"[" * 50_000}"}}}}]}}]}}'),
        (TEXT, '{"prompt": [1.5]}'),
        (TEXT, '{"prompt": [true]}'),
        (TEXT, '{"prompt": [-1]}'),
        (TEXT, '{"prompt": "hi", "logprobs": 1e400, "max_tokens": 1}'),
        (TEXT, '{"prompt": "hi", "logprobs": "a", "max_tokens": 1}'),
        ("/v1/load_lora_adapter", f'{{"lora_name": "x", "lora_path": "/{"a" * 100_000}"}}'),
        ("/v1/load_lora_adapter", '{"lora_name": "x", "lora_path": "/a\\u0000b"}'),
        ("/v1/load_lora_adapter", '{"lora_name": ["x"], "lora_path": "/"}'),
        ("/v1/unload_lora_adapter", '{"lora_name": "\\ud800"}'),
        ("/v1/unload_lora_adapter", '{"lora_name": {"a": 1}}'),
    ],
)  # fmt: skip
def test_a_malformed_request_is_answered_400_with_one_line_in_the_log(served, caplog, path, body):
    with caplog.at_level(logging.INFO, "burnish.serve"):
        answer = httpx.post(f"{served}{path}", content=body, headers=HEADERS, timeout=60)

    assert answer.status_code in (400, 404)
    assert len(answer.json()["error"]["message"]) < 1100
    (record,) = (record for record in caplog.records if record.name == "burnish.serve")
    assert record.exc_info is None
    assert len(record.getMessage()) < 1200


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(served):
    assert asgi_guard.LARGEST_PROMPT < LARGEST_BODY
    with socket.create_connection(address(served), 10) as connection:
        head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(head % CHAT.encode() + b"Content-Length: 400000000\r\n\r\n{")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")

    def endless():
        while True:
            yield b" " * 1_000_000

    answer = httpx.post(f"{served}{CHAT}", content=endless(), headers=HEADERS)
    assert answer.status_code == 413


def test_a_sender_gets_its_refusal_although_it_sends_on(served):
    """A connection that is closed while bytes are unread is reset, and the answer is lost with it."""
    answer = answer_to_oversized(address(served)[1], "/v1/completions")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"at most" in answer


def test_slow_headers_and_slow_bodies_are_cut_off(base, engine, monkeypatch):
    monkeypatch.setattr(asgi_guard, "HEADERS_S", 0.2)
    monkeypatch.setattr(asgi_guard, "BODY_S", 0.2)
    with running(make_app(base, engine=engine)) as url:
        with socket.create_connection(address(url), 10) as connection:
            connection.sendall(b"GET /hea")
            assert connection.recv(100) == b""
        with socket.create_connection(address(url), 10) as connection:
            head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
            connection.sendall(head)
            assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_connections_are_bounded(base, engine, monkeypatch):
    monkeypatch.setattr(asgi_guard, "CONNECTIONS", 2)
    with running(make_app(base, engine=engine)) as url:
        held = [socket.create_connection(address(url), 10) for _ in range(5)]
        answers = [connection.recv(100) for connection in held[-2:]]
        for connection in held:
            connection.close()
    assert all(answer.startswith(b"HTTP/1.1 503") for answer in answers)


def test_a_conversation_that_cannot_fit_is_refused_before_it_is_tokenised(base, engine):
    session = Session(base, engine)
    longest = engine.facts.context * session.renderer.longest_token
    text = "x" * (longest + 1)
    calls = []
    session.renderer.encode = calls.append
    try:
        with pytest.raises(ServingError, match="characters"):
            session.make_request(ChatAsk(messages=[{"role": "user", "content": text}]))
        with pytest.raises(ServingError, match="characters"):
            session.encode_text(text)
    finally:
        del session.renderer.encode
    assert calls == []


def test_a_client_that_leaves_ends_its_generation(served, engine):
    body = json.dumps({"prompt": [10, 11, 12], "max_tokens": 100_000, "temperature": 50.0}).encode()
    before = engine.counters["tokens"]
    for _ in range(4):
        with socket.create_connection(address(served), 10) as connection:
            head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    httpx.post(f"{served}{TEXT}", json={"prompt": [10, 11], "max_tokens": 2}, timeout=60)
    while (made := engine.counters["tokens"]) != _after_a_moment(engine):
        pass

    assert made - before < 2 * (engine.facts.context - 3)  # of the 4 that were asked for


def _after_a_moment(engine) -> int:
    time.sleep(0.3)
    return engine.counters["tokens"]


def test_a_page_of_another_origin_is_refused(served):
    answer = httpx.post(f"{served}{CHAT}", json={}, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
