"""Convert messages to texts and plain arguments, for forms that have no place for more."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from burnish.records import Json

Chat = dict[str, Json]


class Unfit(ValueError):
    """A row that does not fit a form; the text is the reason that is counted."""


def each_fit(
    rows: Iterable[Chat], make: Callable[[Chat], Chat], refused: Counter[str]
) -> Iterator[Chat]:
    """Yield the result of `make` for each row; an unfit row is left out and its reason counted in `refused`."""
    refused.clear()
    for row in rows:
        try:
            made = make(row)
        except Unfit as reason:
            refused[str(reason)] += 1
        else:
            yield made


def text_of(message: Chat) -> str:
    """Return content as one text; blocks other than text are written as JSON."""
    content = message["content"]
    if isinstance(content, str):
        return content
    if all(block.get("type") == "text" for block in content):
        return "".join(block["text"] for block in content)
    return json.dumps(content, ensure_ascii=False)


def only_text_of(message: Chat, form: str) -> str:
    """Return content as one text.

    Raises:
        Unfit: If a block is not text.
    """
    content = message["content"]
    for block in () if isinstance(content, str) else content:
        if block.get("type") != "text":
            raise Unfit(f"{form} has no place for {block.get('type')}")
    return text_of(message)


def arguments_of(call: Chat) -> Json:
    """Return the arguments of a call as a value; the text itself if it is not JSON."""
    arguments = call["function"]["arguments"]
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments  # a failed call from which the run recovered


def object_of(call: Chat) -> dict[str, Json]:
    """Return the arguments of a call as an object.

    Raises:
        Unfit: If they are not a JSON object, as in a failed call from which a run recovered.
    """
    arguments = arguments_of(call)
    if not isinstance(arguments, dict):
        raise Unfit("a call whose arguments are no JSON object")
    return arguments


def call_text(call: Chat) -> str:
    """Return a call as one line of JSON with `name` and `arguments`."""
    said = {"name": call["function"]["name"], "arguments": arguments_of(call)}
    return json.dumps(said, ensure_ascii=False)


def turn_text(message: Chat) -> str:
    """Return text and calls of a message, one line each."""
    calls = [call_text(call) for call in message.get("tool_calls") or ()]
    return "\n".join([part for part in [text_of(message)] if part] + calls)
