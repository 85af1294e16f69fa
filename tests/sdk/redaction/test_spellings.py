"""Replaced text is in no other spelling on the disk: no token id, no log-probability, no byte."""

import base64
import contextlib

import msgspec
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool

import burnish
from burnish.journal.events import ModelEnded, ModelStarted, from_json
from burnish.testing import ScriptedChatModel

MAIL = "anna.gruber@firma-huber.at"


@pytest.fixture
def every_spelling(everything):
    """Return all stored content, with every list of token ids and all Base64 decoded."""

    def text(journal):
        stored = [from_json(blob) for blob in journal.blobs.values()]
        stored += [msgspec.to_builtins(event, builtin_types=(bytes,)) for event in journal.events]
        return everything(journal) + "".join(map("".join, map(spellings, stored)))

    return text


def spellings(value):
    """Yield each text that a value encodes in another way."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            yield base64.b64decode(value.rpartition(",")[2], validate=True).decode("latin-1")
        return
    items = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list, tuple)):
        return
    if isinstance(value, dict):
        yield value["token"] if isinstance(value.get("token"), str) else ""
    elif value and all(isinstance(item, int) for item in value):
        yield bytes(item % 256 for item in value).decode("utf-8", "replace")
    for item in items:
        yield from spellings(item)


def ids(text):
    return list(text.encode())


def spelled(text, prompt, **more):
    """Return a reply whose server encodes the text and the prompt in every way."""
    entries = [{"token": char, "logprob": -0.5, "bytes": ids(char)} for char in text]
    return AIMessage(
        text,
        response_metadata={
            "burnish": {
                "token_ids": ids(text),
                "prompt_token_ids": ids(prompt),
                "logprobs": [-0.5],
            },
            "logprobs": {"content": entries},
            **more,
        },
    )


@tool(response_format="content_and_artifact")
def fetch(mail: str):
    """Fetch what is known."""
    return f"file of {mail}", {"scan": b"\xff\xd8" + MAIL.encode(), "note": MAIL.encode()}


FILES = [
    {"type": "text", "text": f"my mail is {MAIL}, see the files"},
    {"type": "file", "base64": base64.b64encode(MAIL.encode()).decode(), "mime_type": "text/plain"},
    {"type": "image", "base64": base64.b64encode(b"\xff\xd8" + MAIL.encode()).decode(), "mime_type": "image/jpeg"},
    {"type": "image_url", "image_url": {
        "url": "data:text/plain;base64," + base64.b64encode(MAIL.encode()).decode()}},
]  # fmt: skip


@pytest.mark.parametrize("setting", ["structured", lambda text: text.replace(MAIL, "x@y.invalid")])
def test_no_token_id_and_no_byte_spells_what_was_replaced(
    journal, redacting, setting, every_spelling
):
    redacting(setting)
    first = spelled(f"I fetch it for {MAIL}.", MAIL, prompt_token_ids=ids(MAIL))
    first.tool_calls = [{"name": "fetch", "args": {"mail": MAIL}, "id": "c1", "type": "tool_call"}]
    graph = create_agent(
        ScriptedChatModel(script=[first, spelled("Done.", f"all of {MAIL}")]), [fetch]
    )

    said = burnish.wrap(graph, agent="mail").invoke({"messages": [HumanMessage(FILES)]})
    burnish.wrap(graph_of_one(spelled("Again.", MAIL)), agent="mail").invoke(said)

    assert MAIL in "".join(map(str, said["messages"]))
    assert MAIL not in every_spelling(journal)
    assert len(journal.of(ModelEnded)) == 3


def graph_of_one(reply):
    return create_agent(ScriptedChatModel(script=[reply]), [])


def test_the_search_for_spellings_finds_them_where_nothing_is_replaced(
    journal, redacting, every_spelling
):
    redacting("secrets")
    message = [
        {
            "type": "image",
            "base64": base64.b64encode(b"\xff\xd8" + MAIL.encode()).decode(),
            "mime_type": "image/jpeg",
        }
    ]

    burnish.wrap(graph_of_one(spelled("Fine.", MAIL)), agent="mail").invoke(
        {"messages": [HumanMessage(message)]}
    )

    assert every_spelling(journal).count(MAIL) >= 2


def test_text_in_bytes_is_cleaned_and_what_cannot_be_read_goes_with_it(journal, redacting):
    redacting("structured")

    burnish.wrap(graph_of_one(AIMessage("Fine.")), agent="mail").invoke(
        {"messages": [HumanMessage(FILES)]}
    )

    (ref,) = journal.of(ModelStarted)[0].messages
    _, file, image, link = journal.value(ref)["parts"]
    assert base64.b64decode(file["content"]).endswith(b"@example.invalid")
    assert (image["content"], image["withheld"]) == ("", "redacted")
    assert base64.b64decode(link["content"]).endswith(b"@example.invalid")


def test_bytes_and_token_ids_stay_where_nothing_was_replaced(journal, redacting):
    redacting("structured")
    image = base64.b64encode(b"\xff\xd8 a cat").decode()

    burnish.wrap(graph_of_one(spelled("A cat.", "what is it?")), agent="cat").invoke(
        {
            "messages": [
                HumanMessage([{"type": "image", "base64": image, "mime_type": "image/jpeg"}])
            ]
        }
    )

    (ended,) = journal.of(ModelEnded)
    assert (bytes(ended.token_ids), bytes(ended.prompt_token_ids)) == (b"A cat.", b"what is it?")
    assert journal.value(journal.of(ModelStarted)[0].messages[0])["parts"][0]["content"] == image


def test_calls_recorded_by_hand_lose_their_token_ids_too(journal, redacting, every_spelling):
    redacting("structured")

    @burnish.trace(agent="hand")
    def answer(question):
        with burnish.trace.model_call([{"role": "user", "content": question}]) as call:
            call.reply("Fine.", token_ids=ids("Fine."), prompt_token_ids=ids(question),
                       extras={"server": {"tokens": ids(question)}})  # fmt: skip
        return "Fine."

    answer(f"my mail is {MAIL}")

    assert MAIL not in every_spelling(journal)
