"""Record OpenAI's client inside a `trace`: chat completions and the Responses API.

`recording_openai` is the entry. `generated_clients` records; `chat_completions` and
`responses_form` read requests and replies.
"""

from __future__ import annotations

import functools
from typing import TypeVar

from burnish.capture.clients.chat_completions import ChatCompletion
from burnish.capture.clients.generated_clients import ClientKind, recording_client
from burnish.capture.clients.responses_form import ResponseExchange, SaidBefore

_C = TypeVar("_C")


def recording_openai(client: _C) -> _C:
    """Copy an OpenAI client; the copy's model calls are recorded inside a `trace`.

    Args:
        client: An `OpenAI` or `AsyncOpenAI` client, or one of a compatible package.
    """
    before = SaidBefore()
    kind = ClientKind(
        name="openai",
        package="openai",
        expected="an OpenAI or AsyncOpenAI client",
        example="burnish.trace.openai(openai.OpenAI())",
        resource="chat.completions",
        routes={
            "/chat/completions": ChatCompletion,
            "/responses": functools.partial(ResponseExchange, before=before),
        },
    )
    return recording_client(client, kind)
