"""Read files of OTLP traces: JSON lines as collectors write them, or protobuf."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec

from burnish.errors import ExportError, JournalError
from burnish.records import Span


class OtlpFiles:
    """Yields the spans of OTLP files; a damaged request or refused span is skipped and counted in `skipped`.

    Args:
        urls: Files on any fsspec URL, with wildcards; `.json` and `.jsonl` hold JSON lines, all others one protobuf
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
        from burnish.telemetry.otlp.codec import OtlpReader
        from burnish.telemetry.spans.schema import SpanRefused

        reader = OtlpReader()
        for request in self._read_requests():
            try:
                found = list(reader.admit_request(request))
            except JournalError:
                self.skipped += 1
                continue
            for span in found:
                if isinstance(span, SpanRefused):
                    self.skipped += 1
                elif since_ns is None or span.start_ns >= since_ns:
                    yield span

    def _read_requests(self) -> Iterator[bytes]:
        files = [file for url in self.urls for file in fsspec.open_files(url, "rb")]
        if not files:
            raise ExportError(f"no file at {', '.join(self.urls)}", "OTLP files", "ls")
        for file in files:
            with file as stream:
                if str(file.path).endswith((".json", ".jsonl")):
                    for line in stream:
                        yield from self._convert_json(line)
                else:
                    yield stream.read()

    def _convert_json(self, line: bytes) -> Iterator[bytes]:
        from burnish.telemetry.otlp.json_encoding import convert_json_request

        if not line.strip():
            return
        try:
            yield convert_json_request(line)
        except JournalError:
            self.skipped += 1
