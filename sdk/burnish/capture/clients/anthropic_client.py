"""Record Anthropic's client inside a `trace`: messages, including the beta's.

`recording_anthropic` is the entry. `generated_clients` records, `anthropic_form` reads requests and
replies.
"""

from __future__ import annotations

from typing import TypeVar

from burnish.capture.clients.anthropic_form import MessageExchange
from burnish.capture.clients.generated_clients import ClientKind, recording_client

_C = TypeVar("_C")
_KIND = ClientKind(
    name="anthropic",
    package="anthropic",
    expected="an Anthropic or AsyncAnthropic client",
    example="burnish.trace.anthropic(anthropic.Anthropic())",
    resource="messages",
    routes={"/messages": MessageExchange},
)


def recording_anthropic(client: _C) -> _C:
    """Copy an Anthropic client; the copy's model calls are recorded inside a `trace`.

    Args:
        client: An `Anthropic` or `AsyncAnthropic` client, or one of Bedrock's or Vertex's.
    """
    return recording_client(client, _KIND)
