"""Keep the fields of a reply that `ChatOpenAI` drops until its callback arrives.

`install` wraps the two converters of langchain-openai that see the server's reply.

A reply is found again by the object that the converter made of it, so concurrent calls cannot be
confused. If langchain-openai has changed shape, capture continues without the tap.
"""

from __future__ import annotations

import functools
import sys
from collections import OrderedDict
from typing import Any

from burnish.capture import faults
from burnish.capture.patches.openai_response import WireReply
from burnish.capture.recorder.runs import registry
from burnish.compat.langchain import CREATE_RESULT

_KEPT = 4096
_kept: OrderedDict[int, tuple[Any, dict[str, Any]]] = OrderedDict()
_done = False


def install() -> None:
    """Wrap langchain-openai's converters once the package is loaded."""
    global _done
    if _done:
        return
    module = sys.modules.get(CREATE_RESULT.module)
    if module is None:
        return
    _done = True
    model = getattr(module, "BaseChatOpenAI", None)
    whole = getattr(model, "_create_chat_result", None)
    chunk = getattr(model, "_convert_chunk_to_generation_chunk", None)
    if model is None or whole is None or chunk is None:
        faults.say_once(
            "wire_tap_missing",
            "langchain-openai has changed shape: token ids, reasoning and raw arguments of "
            "ChatOpenAI are not captured (burnish doctor)",
        )
        return
    model._create_chat_result = _tapped_whole(whole)  # noqa: SLF001 - there is no public name
    model._convert_chunk_to_generation_chunk = _tapped_chunk(chunk)  # noqa: SLF001


def _tapped_whole(original: Any) -> Any:
    @functools.wraps(original)
    def create(self: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, response, *args, **kwargs)
        if registry.active:
            _keep_whole(result, response)
        return result

    return create


def _tapped_chunk(original: Any) -> Any:
    @functools.wraps(original)
    def convert(self: Any, chunk: Any, *args: Any, **kwargs: Any) -> Any:
        made = original(self, chunk, *args, **kwargs)
        if registry.active and made is not None:
            _keep_reply(made, chunk)
        return made

    return convert


@faults.guarded
def _keep_whole(result: Any, response: Any) -> None:
    reply = response if isinstance(response, dict) else _dump_response(response)
    _keep_reply(result.generations[0].message, reply)


def _dump_response(response: Any) -> dict[str, Any]:
    """Return a reply of the openai package as a dict, without parsed objects."""
    hidden = {"choices": {"__all__": {"message": {"parsed"}}}}
    return response.model_dump(exclude=hidden, warnings=False)


@faults.guarded
def _keep_reply(made: Any, reply: Any) -> None:
    if not isinstance(reply, dict):
        return
    # The table holds the object, so that its id is not reused.
    _kept[id(made)] = (made, reply)
    while len(_kept) > _KEPT:
        _kept.popitem(last=False)
        faults.count("wire_replies_unclaimed")


def take(made: Any) -> dict[str, Any] | None:
    """Return the server's reply for an object that a converter made, and remove it."""
    found = _kept.pop(id(made), None)
    return None if found is None else found[1]


def reply_of(message: Any, chunks: list[dict[str, Any]] | None) -> WireReply | None:
    """Return the server's reply to an ended call."""
    if not chunks:
        whole = take(message) if _kept else None
        if whole is None:
            return None
        chunks = [whole]
    reply = WireReply()
    for chunk in chunks:
        reply.add(chunk)
    return reply
