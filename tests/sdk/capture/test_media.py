"""Images, sounds and files are recorded as they were sent, and their bytes are stored once."""

import base64
import itertools
import sys

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from scenarios.agents import graph_of

import burnish
from burnish import settings
from burnish.capture import faults
from burnish.capture.content.message_codec import decode_message
from burnish.capture.patches import sent_messages
from burnish.capture.recorder.context import suppress
from burnish.journal.events import ModelStarted, canonical
from burnish.journal.reader import read_events
from burnish.journal.writer import close_shared
from burnish.testing import ScriptedChatModel

BYTES = base64.b64encode(bytes(range(256)) * 400).decode()
BLOCKS = {
    "image": {"type": "image", "base64": BYTES, "mime_type": "image/png"},
    "old image": {
        "type": "image", "source_type": "base64", "data": BYTES, "mime_type": "image/png",
    },
    "image by address": {"type": "image", "url": "https://example.org/a.png"},
    "image of a provider": {"type": "image_url", "image_url": {"url": f"data:a/b;base64,{BYTES}"}},
    "sound": {"type": "audio", "base64": BYTES, "mime_type": "audio/wav"},
    "film": {"type": "video", "base64": BYTES, "mime_type": "video/mp4"},
    "file": {"type": "file", "base64": BYTES, "mime_type": "application/pdf", "filename": "a"},
    "untyped": {"text": "no type"},
}  # fmt: skip


def ask(model, way, message):
    if way == "stream":
        return list(model.stream([message]))
    if way == "events":
        return str(model.stream_events([message], version="v3").text)
    return model.invoke([message])


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("way", ["invoke", "stream", "events"])
@pytest.mark.parametrize("kind", BLOCKS)
def test_a_block_is_recorded_as_it_was_sent(journal, kind, way):
    message = HumanMessage([{"type": "text", "text": "look"}, BLOCKS[kind]])
    model = burnish.wrap(ScriptedChatModel(script=["seen"]), agent="eye")

    ask(model, way, message)

    (asked,) = journal.of(ModelStarted)
    stored = decode_message(journal.value(asked.messages[0]))
    assert canonical(stored.content) == canonical(message.content)
    assert sent_messages._sent == {}


def test_many_images_in_one_request_are_recorded_as_they_were_sent(journal):
    image = BLOCKS["image"]
    history = [HumanMessage([{**image, "base64": str(n)}]) for n in range(1000)]

    burnish.wrap(ScriptedChatModel(script=["seen"]), agent="eye").invoke(history)

    (asked,) = journal.of(ModelStarted)
    assert [decode_message(journal.value(ref)) for ref in asked.messages] == history


def test_nothing_is_held_of_calls_that_are_not_recorded(journal):
    model = ScriptedChatModel(script=["seen"], repeat=True)

    def judge(state):
        with suppress():
            model.invoke([HumanMessage([BLOCKS["image"]])])
        return {}

    burnish.wrap(graph_of(judge).compile(), agent="eye").invoke({"messages": []})
    model.invoke([HumanMessage([BLOCKS["image"]])])

    assert journal.of(ModelStarted) == []
    assert sent_messages._sent == {}


async def test_coroutines_and_streams_of_them_record_it_too(journal):
    message = HumanMessage([BLOCKS["image"]])
    model = burnish.wrap(ScriptedChatModel(script=["seen"], repeat=True), agent="eye")

    await model.ainvoke([message])
    [chunk async for chunk in model.astream([message])]

    stored = [decode_message(journal.value(e.messages[0])) for e in journal.of(ModelStarted)]
    assert stored == [message, message]


def test_bytes_have_their_word_of_the_conventions(journal):
    model = burnish.wrap(ScriptedChatModel(script=["seen"]), agent="eye")
    model.invoke([HumanMessage([BLOCKS["sound"], BLOCKS["file"]])])

    (asked,) = journal.of(ModelStarted)
    parts = journal.value(asked.messages[0])["parts"]
    assert [(part["type"], part["modality"], part["mime_type"]) for part in parts] == [
        ("blob", "audio", "audio/wav"),
        ("blob", "document", "application/pdf"),
    ]


def test_the_same_bytes_in_several_messages_are_stored_once(tmp_path):
    numbers = itertools.count()
    model = ScriptedChatModel(script=["seen"], repeat=True)

    def look(state):
        for _ in range(5):
            said = {"type": "text", "text": f"look {next(numbers)}"}
            model.invoke([HumanMessage([said, BLOCKS["image"]]), AIMessage("I look")])
        return {}

    settings.configure(home=tmp_path)
    try:
        burnish.wrap(graph_of(look).compile(), agent="eye").invoke({"messages": []})
        burnish.flush()
        asked = [
            [blobs[ref] for ref in event.messages]
            for event, blobs in read_events(tmp_path)
            if isinstance(event, ModelStarted)
        ]
    finally:
        settings.reset()
        close_shared()

    assert len({messages[0] for messages in asked}) == 5
    assert all(BYTES.encode() in messages[0] for messages in asked)
    size = sum(path.stat().st_size for path in tmp_path.glob("journal/*/*.seg"))
    assert size < 2 * len(BYTES)


def test_capture_goes_on_where_langchain_has_changed_shape(journal, monkeypatch, caplog):
    module = sys.modules["langchain_core.language_models.chat_models"]
    monkeypatch.setattr(sent_messages, "_done", False)
    monkeypatch.delattr(module, "_format_for_tracing")

    with caplog.at_level("WARNING", logger="burnish"):
        sent_messages.install()
        sent_messages.install()

    assert faults.counts()["originals_missing"] == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
