"""Messages as texts and plain arguments, for forms that have no place for more.

Knows: how content blocks and calls read as text, and when they do not. Does not know: any consumer's form.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from burnish.records import Json

Chat = dict[str, Json]


class Unfit(ValueError):
    """A row that a form has no place for; the text is the reason that is counted."""


def each_fit(
    rows: Iterable[Chat], make: Callable[[Chat], Chat], refused: Counter[str]
) -> Iterator[Chat]:
    """What `make` gives of each row; one that is unfit is left out, its reason counted in `refused`."""
    refused.clear()
    for row in rows:
        try:
            made = make(row)
        except Unfit as reason:
            refused[str(reason)] += 1
        else:
            yield made


def text_of(message: Chat) -> str:
    """Content as one text; blocks that are no text are written as JSON."""
    content = message["content"]
    if isinstance(content, str):
        return content
    if all(block.get("type") == "text" for block in content):
        return "".join(block["text"] for block in content)
    return json.dumps(content, ensure_ascii=False)


def only_text_of(message: Chat, form: str) -> str:
    """Content as one text.

    Raises:
        Unfit: If a block is no text.
    """
    content = message["content"]
    for block in () if isinstance(content, str) else content:
        if block.get("type") != "text":
            raise Unfit(f"{form} has no place for {block.get('type')}")
    return text_of(message)


def arguments_of(call: Chat) -> Json:
    """Arguments of a call as a value; the text itself where it is no JSON."""
    arguments = call["function"]["arguments"]
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments  # a failed call of a recovery


def object_of(call: Chat) -> dict[str, Json]:
    """Arguments of a call as an object.

    Raises:
        Unfit: If they are no JSON object, as in a failed call that a run recovered from.
    """
    arguments = arguments_of(call)
    if not isinstance(arguments, dict):
        raise Unfit("a call whose arguments are no JSON object")
    return arguments


def call_text(call: Chat) -> str:
    """A call as one line of JSON with `name` and `arguments`."""
    said = {"name": call["function"]["name"], "arguments": arguments_of(call)}
    return json.dumps(said, ensure_ascii=False)


def turn_text(message: Chat) -> str:
    """Text and calls of a message, a line each."""
    calls = [call_text(call) for call in message.get("tool_calls") or ()]
    return "\n".join([part for part in [text_of(message)] if part] + calls)
