"""The providers' own clients inside a trace, which repeat the requests of LangChain's chat models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from chat_models import KEY

import burnish


@dataclasses.dataclass(frozen=True)
class Asking:
    """Requests for a server.

    Attributes:
        url: The server.
        bodies: Requests, in order.
        streaming: Whether replies come in pieces.
    """

    url: str
    bodies: list[Any]
    streaming: bool


@dataclasses.dataclass(frozen=True)
class Client:
    """A client and the chat model of LangChain that speaks the same form."""

    provider: str
    ask: Callable[[Asking], None]


def _read(reply: Any, streaming: bool) -> None:
    if streaming:
        for _ in reply:
            pass


def _completions(asking: Asking) -> None:
    from openai import OpenAI

    with OpenAI(base_url=f"{asking.url}/v1", api_key=KEY, max_retries=0) as plain:
        client = burnish.trace.openai(plain)
        for body in asking.bodies:
            _read(client.chat.completions.create(**body), asking.streaming)


def _responses(asking: Asking) -> None:
    from openai import OpenAI

    with OpenAI(base_url=f"{asking.url}/v1", api_key=KEY, max_retries=0) as plain:
        client = burnish.trace.openai(plain)
        for body in asking.bodies:
            _read(client.responses.create(**body), asking.streaming)


def _anthropic(asking: Asking) -> None:
    from anthropic import Anthropic

    with Anthropic(base_url=asking.url, api_key=KEY, max_retries=0) as plain:
        client = burnish.trace.anthropic(plain)
        for body in asking.bodies:
            _read(client.messages.create(**body), asking.streaming)


def _google(asking: Asking) -> None:
    from google import genai

    plain = genai.Client(api_key=KEY, http_options={"base_url": asking.url})
    models = burnish.trace.google(plain).models
    for body in asking.bodies:
        given = dict(body)
        config = {**given.pop("generationConfig", {}), **given}
        contents = config.pop("contents")
        ask = models.generate_content_stream if asking.streaming else models.generate_content
        _read(ask(model="gemini-m", contents=contents, config=config), asking.streaming)


CLIENTS: dict[str, Client] = {
    "openai, completions": Client("OpenAI, completions", _completions),
    "openai, Responses": Client("OpenAI, Responses", _responses),
    "anthropic": Client("Anthropic", _anthropic),
    "google-genai": Client("Google GenAI", _google),
}
