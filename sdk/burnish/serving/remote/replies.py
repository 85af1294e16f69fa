"""Tell a completion from what else a server may answer with status 200: a page of a proxy, an error, half a body.

LangChain raises whatever its own code meets in such a body (`KeyError`, `TypeError`, `IndexError`), which looks like an
error of the agent. `require_completion` raises `UnreadableReply` in its place, with the words of the server.
"""

from __future__ import annotations

import json
from typing import Any

from burnish.errors import BurnishError, ServingError, UnreadableReply
from burnish.serving.remote.endpoint import blames_request, read_status

_SHOWN = 160  # characters of the server's words
_FIX = "look at the log of the server, or correct backend in burnish.toml"


def require_completion(address: str, reply: Any) -> None:
    """Raise if a decoded answer is not a completion.

    Args:
        address: Of the server.
        reply: The answer: a text, a mapping, or the client's object.

    Raises:
        UnreadableReply: It is none; nothing that the model wrote can be the cause.
        ServingError: It is an error that refuses the request for its content.
    """
    error = _read_field(reply, "error")
    if error:
        raise _error_in_body(address, error)
    choices = _read_field(reply, "choices")
    if not isinstance(choices, list) or not choices:
        raise unreadable_reply(address, reply if isinstance(reply, str) else f"no choices: {reply}")
    messages = [_read_field(choice, "message") for choice in choices]
    if not all(messages):
        raise unreadable_reply(address, f"a choice without message: {choices}")


def _read_field(value: Any, name: str) -> Any:
    """Return a field of a decoded body: of a mapping, or of the client's object."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def explain_decoding_error(address: str, error: Exception) -> BurnishError | None:
    """Return the error of an answer that the client could not decode; None if the answer is a completion.

    A client may raise the same errors for what the model wrote, such as arguments that break their schema: the body
    itself decides.

    Args:
        address: Of the server.
        error: The client's error, with the answer as `response`.
    """
    response = getattr(error, "response", None)
    if response is None:
        return None
    try:
        require_completion(address, json.loads(response.content))
    except BurnishError as found:
        return found
    except ValueError:
        return unreadable_reply(address, response.text)
    return None


def unreadable_reply(address: str, told: str) -> UnreadableReply:
    """Build the error for an answer that is not a completion.

    Args:
        address: Of the server.
        told: What it says.
    """
    words = " ".join(told[: 4 * _SHOWN].split())[:_SHOWN]
    return UnreadableReply(
        f"{address} answers with something else than a completion: {words or 'nothing'}",
        "a body with choices",
        _FIX,
    )


def _error_in_body(address: str, error: Any) -> ServingError:
    """Return the error for a body with status 200 that holds an error."""
    fields: dict[str, Any] = error if isinstance(error, dict) else {"message": error}
    words = str(fields.get("message") or error)[:_SHOWN]
    kinds = [fields.get("type"), fields.get("code")]
    if blames_request(read_status(fields.get("code")), *kinds):
        return ServingError(f"{address} refuses the request: {words}", "a completion", _FIX)
    return unreadable_reply(address, f"an error: {words}")
