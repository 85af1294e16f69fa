"""Generate conversations of any content, changed between calls, and compare requests with stored ones.

`hold` runs a conversation, and `rebuilt_from` returns the requests of a workspace's journal.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import START, MessagesState, StateGraph

import burnish
from burnish.capture.content.message_codec import decode_message, encode_for_storage
from burnish.capture.content.request_parameters import decode_tool
from burnish.journal.events import ModelStarted, canonical, from_json
from burnish.journal.reader import read_events

texts = st.text(max_size=20)
numbers = st.integers(-(2**70), 2**70) | st.floats()
plain = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(texts, plain, max_size=3)
long_texts = st.builds(lambda text, times: text * times, texts, st.sampled_from([1, 1, 1, 400]))
blocks = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, long_texts),
    st.builds(
        lambda kind, data: {"type": kind, "base64": data, "mime_type": "a/b"},
        st.sampled_from(["image", "audio", "file"]),
        long_texts,
    ),
    st.builds(lambda data: {"type": "image", "url": data}, texts),
    st.builds(lambda word, text: {word: text}, texts, texts),
)
contents = long_texts | st.lists(blocks, max_size=2)
messages = st.one_of(
    st.builds(SystemMessage, content=texts),
    st.builds(HumanMessage, content=contents, additional_kwargs=objects, name=st.none() | texts),
    st.builds(
        AIMessage,
        content=contents,
        tool_calls=st.lists(
            st.fixed_dictionaries({"name": texts, "args": objects, "id": texts}), max_size=2
        ),
    ),
    st.builds(ToolMessage, content=long_texts, tool_call_id=texts, artifact=plain),
)
tools = st.lists(
    st.builds(
        lambda name, schema: {"type": "function", "function": {"name": name, "parameters": schema}},
        texts,
        objects,
    ),
    max_size=2,
)
parameters = st.dictionaries(
    st.sampled_from(["temperature", "top_p", "min_p", "seed", "extra_body", "logit_bias"]),
    plain.filter(lambda value: value is not None),
    max_size=3,
)
options = st.builds(
    lambda tools, choice, form, parameters: {
        **parameters,
        **({"tools": tools} if tools else {}),
        **({"tool_choice": choice} if choice else {}),
        **({"response_format": form} if form else {}),
    },
    tools,
    st.none() | texts | objects,
    st.none() | objects,
    parameters,
)
changes = st.sampled_from(["content", "args", "kwargs", "id", "append", "drop", "nothing"])
conversations = st.tuples(
    st.lists(messages, min_size=1, max_size=4), options, st.lists(changes, max_size=3), plain
)


def change(history: list[Any], step: str, value: Any) -> None:
    """Change messages as an agent's code may do between two calls."""
    last = history[-1]
    if step == "content":
        last.content = f"{last.content}!"
    elif step == "kwargs":
        last.additional_kwargs.setdefault("deep", {})["value"] = value
    elif step == "id":
        last.id = "new"
    elif step == "append":
        history.append(HumanMessage("more"))
    elif step == "drop" and len(history) > 1:
        del history[0]
    elif step == "args" and getattr(last, "tool_calls", None):
        last.tool_calls[0]["args"]["value"] = value


class Listener(BaseChatModel):
    """Keeps its received requests, as canonical JSON."""

    seen: list = []  # noqa: RUF012 - a pydantic field

    @property
    def _llm_type(self) -> str:
        return "listener"

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Any:
        asked = [encode_for_storage(message) for message in messages]
        sent = {key: value for key, value in kwargs.items() if value is not None}
        self.seen.append(canonical([asked, sent]))
        return ChatResult(generations=[ChatGeneration(message=AIMessage("ok"))])


def hold(conversation: tuple[Any, ...]) -> list[bytes]:
    """Hold a recorded conversation; return the requests that the model received, in order."""
    given, options, steps, value = conversation
    model = Listener(seen=[])

    def talk(state: Any) -> Any:
        history = copy.deepcopy(given)
        model.invoke(history, **options)
        for step in steps:
            change(history, step, value)
            model.invoke(history, **options)
        return {}

    builder = StateGraph(MessagesState)
    builder.add_node("talk", talk)
    builder.add_edge(START, "talk")
    burnish.wrap(builder.compile(), agent="talker").invoke({"messages": []})
    return model.seen


def rebuilt(event: ModelStarted, value: Callable[[Any], Any]) -> bytes:
    """Return the stored request, decoded to what was sent, as canonical JSON."""
    request = value(event.request) or {}
    sent = {**request.get("sampling", {})}
    sent |= {key: request[key] for key in ("tool_choice", "response_format") if key in request}
    offered = value(event.tools)
    if offered:
        sent["tools"] = [decode_tool(tool) for tool in offered]
    stored = [decode_message(value(ref)) for ref in event.messages]
    return canonical([[encode_for_storage(message) for message in stored], sent])


def rebuilt_from(home: Path) -> Iterator[bytes]:
    """Yield all requests that the journal of a workspace holds."""
    for event, blobs in read_events(home):
        if isinstance(event, ModelStarted):
            yield rebuilt(
                event, lambda ref, blobs=blobs: None if ref is None else from_json(blobs[ref])
            )
