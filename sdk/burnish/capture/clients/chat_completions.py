"""Convert requests and replies of OpenAI's chat completions to the records' form.

`ChatCompletion` is the exchange; `patches/openai_response.py` reads the fields of a reply.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.capture.clients.exchanges import Exchange, as_list
from burnish.capture.manual_calls import HandwrittenModelCall
from burnish.capture.patches.openai_response import WireReply
from burnish.records import Message


class ChatCompletion(Exchange):
    """One request to `/chat/completions` and its reply."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__(body)
        self._reply = WireReply()
        self.facts, self.extras = self._reply.facts, self._reply.extras

    def asked(self) -> HandwrittenModelCall:
        """Return the call that the request makes."""
        given = dict(self.body)
        messages = as_list(given.pop("messages", None))
        return HandwrittenModelCall.of_body(messages, "openai", given)

    def add(self, piece: Mapping[str, Any]) -> str:
        """Add a whole completion or its next chunk; return the text that it adds."""
        return self._reply.add(piece)

    def message(self) -> Message:
        """Return the reply in the records' form."""
        return self._reply.message()
