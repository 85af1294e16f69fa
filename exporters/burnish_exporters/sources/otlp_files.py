"""Files of OTLP traces as a source: JSON lines as collectors write them, or protobuf.

Knows: the two encodings of an ExportTraceServiceRequest in a file. Does not know: what spans mean.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec

from burnish.errors import ExportError, JournalError
from burnish.records import Span

_IDS = ("traceId", "spanId", "parentSpanId")


class OtlpFiles:
    """Spans of OTLP files; a damaged request is skipped and counted in `skipped`.

    Args:
        urls: Files on any fsspec URL, with wildcards; `.json` and `.jsonl` hold JSON lines, all else one protobuf
            request per file.
    """

    def __init__(self, *urls: str | Path) -> None:
        self.urls = [str(url) for url in urls]
        self.skipped = 0

    def spans(self, since_ns: int | None = None) -> Iterator[Span]:
        """Yield the spans of all files, in the order of the files.

        Raises:
            ExportError: If no file is found.
        """
        from burnish.telemetry.otlp import OtlpReader

        reader = OtlpReader()
        for request in self._requests():
            try:
                found = list(reader.decode(request))
            except (JournalError, ValueError):
                self.skipped += 1
                continue
            for span in found:
                if since_ns is None or span.start_ns >= since_ns:
                    yield span

    def _requests(self) -> Iterator[bytes]:
        files = [file for url in self.urls for file in fsspec.open_files(url, "rb")]
        if not files:
            raise ExportError(f"no file at {', '.join(self.urls)}", "OTLP files", "ls")
        for file in files:
            with file as stream:
                if str(file.path).endswith((".json", ".jsonl")):
                    for line in stream:
                        yield from self._of_json(line)
                else:
                    yield stream.read()

    def _of_json(self, line: bytes) -> Iterator[bytes]:
        from google.protobuf import json_format
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        if not line.strip():
            return
        try:
            value = _with_ids(json.loads(line))
            message = json_format.ParseDict(
                value, ExportTraceServiceRequest(), ignore_unknown_fields=True
            )
        except (ValueError, json_format.ParseError, AttributeError):
            self.skipped += 1
            return
        yield message.SerializeToString()


def _with_ids(value: Any) -> Any:
    """OTLP's JSON with its hexadecimal ids as the base64 that protobuf's JSON wants."""
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in _IDS and isinstance(item, str)
            else _with_ids(item)
            for key, item in value.items()
        }
    return [_with_ids(item) for item in value] if isinstance(value, list) else value
