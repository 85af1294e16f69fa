"""Send mutated OTLP requests to a receiver on the loopback and read the workspace behind it.

    python benchmarks/reliability/fuzz_receiver.py --requests 3000 --seed 1

Counts answers by status, requests without an answer, and the faults in reading the workspace. It ends
with 1 if a request had no answer or 500, if a good run is missing, or if the workspace cannot be read.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from burnish.telemetry import semconv as s
from burnish.telemetry.intake.receiver import OtlpServer
from burnish.telemetry.spans import schema
from burnish.workspace import Workspace

NAMES = [*schema.ATTRIBUTES, s.KIND, s.JSON_KEYS, s.TEXT_KEYS, s.ADDED, s.INPUT, "openinference.x"]
TEXTS = ["", "x", "[", "[1]", "{}", '[{"role": []}]', '{"a": -1}', "[" * 3000, "fact", "chat",
         "invoke_agent", "execute_tool", "outcome", "verdict", "completed", "null", "NaN", "a" * 300, "é\u2028"]  # fmt: skip
TIMES = [0, 1, 1_700_000_000_000_000_000, 2**63 - 1, 2**63, 2**64 - 1]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=3000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        server = OtlpServer(home, http_port=0)
        server.start()
        answers: Counter[str] = Counter()
        slowest, good = 0.0, []
        for number in range(given.requests):
            if number % 100 == 0:
                good.append(f"{number:032x}".replace("0", "f", 1))
                body, headers = whole(good[-1]), {"content-type": "application/x-protobuf"}
            else:
                body, headers = mutated(draw)
            started = time.perf_counter()
            answers[send(server.http_port, body, headers)] += 1
            slowest = max(slowest, time.perf_counter() - started)
        server.stop()
        found = {run.id: run for run in Workspace(home).trajectories()}
        report = Workspace(home).read_report()
        missing = [run for run in good if run not in found]
        unreadable = sum("unreadable_spans" in run.losses for run in found.values())
        figures = {
            "requests": given.requests, "answers": dict(sorted(answers.items())),
            "slowest_s": round(slowest, 2), "counts": server.intake.counts,
            "trajectories": len(found), "unreadable": unreadable,
            "unknown_events": report.unknown_events, "good_runs_missing": len(missing),
        }  # fmt: skip
        print(json.dumps(figures, indent=2))
        bad = answers["500"] + answers["no answer"] + len(missing) + unreadable
        return 1 if bad or report.unknown_events else 0


def send(port: int | None, body: bytes, headers: dict[str, str]) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port or 0, timeout=30)
    try:
        connection.request("POST", "/v1/traces", body, headers)
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException):
        return "no answer"
    finally:
        connection.close()


def whole(trajectory: str) -> bytes:
    run = {s.OPERATION: "invoke_agent", s.AGENT: "good", s.TRAJECTORY: trajectory}
    return request([({}, run)]).SerializeToString()


def mutated(draw: random.Random) -> tuple[bytes, dict[str, str]]:
    """Return a request with wrong fields, attributes, encoding or bytes."""
    spans = [(fields(draw), attributes(draw)) for _ in range(draw.randint(1, 4))]
    message = request(spans)
    headers = {"content-type": "application/x-protobuf"}
    body = message.SerializeToString()
    if draw.random() < 0.15:
        from google.protobuf.json_format import MessageToDict

        headers["content-type"] = "application/json"
        body = json.dumps(MessageToDict(message)).encode()
    for _ in range(draw.choice([0, 0, 0, 1, 3, 20])):
        if body:
            at = draw.randrange(len(body))
            body = body[:at] + bytes([draw.randrange(256)]) + body[at + draw.randint(0, 2) :]
    if draw.random() < 0.2:
        headers["content-encoding"] = "gzip"
        packed = gzip.compress(body)
        body = draw.choice([packed, packed, packed[:-4], packed + packed, packed + b"x"])
    if draw.random() < 0.03:
        headers |= draw.choice([{"host": "evil.example"}, {"origin": "http://evil.example"},
                                {"content-type": "text/plain"}, {"content-encoding": "br"}])  # fmt: skip
    return body, headers


def fields(draw: random.Random) -> dict[str, Any]:
    chosen: dict[str, Any] = {"span_id": draw.randbytes(8)}
    odd = {
        "trace_id": [b"", b"\x01" * 16, b"\x01" * 15], "span_id": [b"", b"\x02" * 8, bytes(8)],
        "parent_span_id": [b"\x02" * 8, b"\x03"], "start_time_unix_nano": TIMES,
        "end_time_unix_nano": TIMES, "name": TEXTS, "code": [0, 1, 2, 3, 77],
    }  # fmt: skip
    for name in draw.sample(sorted(odd), draw.choice([0, 0, 1, 2])):
        chosen[name] = draw.choice(odd[name])
    return chosen


def attributes(draw: random.Random) -> dict[str, Any]:
    base = draw.choice([
        {s.OPERATION: "invoke_agent", s.AGENT: "a"}, {s.OPERATION: "chat"}, {s.OPERATION: "execute_tool"},
        {s.KIND: "fact", s.FACT: "outcome", s.CONVERSATION: "t", s.EVALUATION_NAME: "crm"},
        {s.KIND: "fact", s.FACT: "verdict", s.TRAJECTORY: "f" * 32, s.EVALUATION_NAME: "v"}, {},
    ])  # fmt: skip
    return base | {name: value(draw) for name in draw.sample(NAMES, draw.randint(0, 4))}


def value(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.randrange(7 if depth < 3 else 5)
    if kind == 5:
        return [value(draw, depth + 1) for _ in range(draw.randint(0, 3))]
    if kind == 6:
        keys = draw.sample(
            ["role", "parts", "type", "content", "id", "response"], draw.randint(0, 3)
        )
        return {key: value(draw, depth + 1) for key in keys}
    return (draw.choice(TEXTS), draw.choice([0, -1, 2**63 - 1]), draw.random() * 1e300,
            draw.random() < 0.5, draw.randbytes(3))[kind]  # fmt: skip


def request(spans: list[tuple[dict[str, Any], dict[str, Any]]]) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    scope = made.resource_spans.add().scope_spans.add()
    for given, told in spans:
        usual = {"trace_id": b"\x01" * 16, "span_id": b"\x02" * 8, "name": "x",
                 "start_time_unix_nano": TIMES[2], "end_time_unix_nano": TIMES[2] + 1}  # fmt: skip
        span = scope.spans.add(**{**usual, **{k: v for k, v in given.items() if k != "code"}})
        span.status.code = given.get("code", 0)
        span.attributes.extend(KeyValue(key=k, value=any_value(v)) for k, v in told.items())
    return made


def any_value(item: Any) -> AnyValue:
    if isinstance(item, bool):
        return AnyValue(bool_value=item)
    if isinstance(item, int):
        return AnyValue(int_value=item)
    if isinstance(item, float):
        return AnyValue(double_value=item)
    if isinstance(item, bytes):
        return AnyValue(bytes_value=item)
    if isinstance(item, list):
        return AnyValue(array_value=ArrayValue(values=map(any_value, item)))
    if isinstance(item, dict):
        pairs = [KeyValue(key=key, value=any_value(inner)) for key, inner in item.items()]
        return AnyValue(kvlist_value=KeyValueList(values=pairs))
    return AnyValue(string_value=item)


if __name__ == "__main__":
    sys.exit(main())
