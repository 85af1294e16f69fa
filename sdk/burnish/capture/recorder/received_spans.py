"""Make the event of a span that another process shipped to this workspace.

Its texts were redacted while it was split (telemetry/spans/received_spans.py). Here its fields are
converted to the declared types, so that an acknowledged span is readable.
"""

from __future__ import annotations

from typing import Any, cast

from burnish.capture.recorder.sealing import readable
from burnish.journal.events import SpanReceived


def received_event(**fields: Any) -> SpanReceived:
    """Make the event of a received span from its fields.

    Raises:
        UnreadableEvent: If a field has a type that cannot be converted.
    """
    return cast("SpanReceived", readable(SpanReceived(**fields), {}))
