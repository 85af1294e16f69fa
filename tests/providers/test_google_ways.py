"""Each usual method of Google's client is recorded inside a trace, over a real connection."""

from __future__ import annotations

import gc
import json

import pytest
from chat_models import PROVIDERS, scripted_server
from google import genai
from google.genai import errors, types
from google_form import GenerateContent
from spoken import ScriptedCall, Spoken

import burnish
from burnish.capture import faults
from burnish.capture.clients import google_form as form
from burnish.capture.recorder import context
from burnish.errors import CaptureError
from burnish.journal.events import ModelEnded, ModelStarted
from burnish.testing import capturing

CALL = ScriptedCall("look_up", {"order": 7}, "c1")
SAID = Spoken(text="Let me see.", thought="Hm.", calls=(CALL,), read=20, cached=8, written=5)
ASK = {"model": "gemini-m", "contents": "Where?"}


@pytest.fixture
def journal():
    faults.forget()
    with capturing() as memory:
        yield memory
    faults.forget()


@pytest.fixture
def url():
    with scripted_server(PROVIDERS["Google GenAI"], [SAID] * 3) as made:
        yield made


def made(url):
    return genai.Client(api_key="none", http_options={"base_url": url})


def text_of(reply):
    parts = reply.candidates[0].content.parts
    return "".join(part.text for part in parts if part.text and not part.thought)


def text_in(chunks):
    return "".join(text_of(chunk) for chunk in chunks)


WAYS = {
    "generate": lambda c: text_of(c.models.generate_content(**ASK)),
    "stream": lambda c: text_in(c.models.generate_content_stream(**ASK)),
    "chat": lambda c: text_of(c.chats.create(model="gemini-m").send_message("Where?")),
    "chat stream": lambda c: text_in(
        c.chats.create(model="gemini-m").send_message_stream("Where?")
    ),
    "contents": lambda c: text_of(
        c.models.generate_content(
            model="models/gemini-m",
            contents=[types.Content(role="user", parts=[types.Part(text="Where?")])],
            config=types.GenerateContentConfig(temperature=0.5),
        )
    ),
}


async def agenerate(client):
    return text_of(await client.aio.models.generate_content(**ASK))


async def astream(client):
    chunks = await client.aio.models.generate_content_stream(**ASK)
    return text_in([chunk async for chunk in chunks])


async def achat(client):
    return text_of(await client.aio.chats.create(model="gemini-m").send_message("Where?"))


async def achat_stream(client):
    chat = client.aio.chats.create(model="gemini-m")
    return text_in([chunk async for chunk in await chat.send_message_stream("Where?")])


ASYNC_WAYS = (agenerate, astream, achat, achat_stream)


def check(journal):
    (ended,) = journal.of(ModelEnded)
    thought, text, call = journal.value(ended.reply)["parts"]
    assert thought == {"type": "reasoning", "content": "Hm.", "block": "thinking"}
    assert text == {"type": "text", "content": "Let me see."}
    given = {"name": "look_up", "arguments": {"order": 7}, "id": "call_0"}
    assert call == {"type": "tool_call", **given}
    assert (ended.cut, ended.error_type, ended.finish_reason) == (False, None, "STOP")
    assert ended.usage == {"input_tokens": 20, "output_tokens": 5, "cached_tokens": 8}
    (started,) = journal.of(ModelStarted)
    assert (started.model, started.provider) == ("gemini-m", "google_genai")
    assert [journal.value(ref)["parts"] for ref in started.messages] == [
        [{"type": "text", "content": "Where?"}]
    ]
    assert faults.counts() == {}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_recorded_once_and_gives_what_it_gave(journal, url, way):
    with burnish.trace(agent="a"):
        assert WAYS[way](burnish.trace.google(made(url))) == "Let me see."
    check(journal)


@pytest.mark.parametrize("way", ASYNC_WAYS)
async def test_each_asynchronous_way_too(journal, url, way):
    client = burnish.trace.google(made(url))
    with burnish.trace(agent="a"):
        assert await way(client) == "Let me see."
    await client.aio.aclose()
    check(journal)


def test_the_original_stays_unrecorded_and_recording_twice_records_once(journal, url):
    plain = made(url)
    twin = burnish.trace.google(burnish.trace.google(plain))
    assert isinstance(twin, genai.Client)
    with burnish.trace(agent="a"):
        twin.models.generate_content(**ASK)
        plain.models.generate_content(**ASK)
    check(journal)


def test_a_copy_that_is_garbage_leaves_the_connection_open(journal, url):
    plain = made(url)
    with burnish.trace(agent="a"):
        burnish.trace.google(plain).models.generate_content(**ASK)
    gc.collect()
    assert text_of(plain.models.generate_content(**ASK)) == "Let me see."
    check(journal)


def test_functions_that_the_client_calls_by_itself_make_a_conversation(journal):
    def look_up(order: int) -> str:
        """Look up an order."""
        return f"{order} in Oslo"

    script = [SAID, Spoken(text="It is in Oslo.")]
    with scripted_server(PROVIDERS["Google GenAI"], script) as url:
        chat = burnish.trace.google(made(url)).chats.create(
            model="gemini-m", config={"tools": [look_up], "system_instruction": "Be kind."}
        )
        with burnish.trace(agent="a"):
            assert chat.send_message("Where?").text == "It is in Oslo."
    first, second = journal.of(ModelStarted)
    (tool,) = journal.value(first.tools)
    assert (tool["name"], tool["description"]) == ("look_up", "Look up an order.")
    assert tool["parameters"]["properties"] == {"order": {"type": "integer"}}
    asked, _ = journal.of(ModelEnded)
    system, user, said, result = map(journal.value, second.messages)
    assert (system["role"], user["role"]) == ("system", "user")
    assert said["parts"] == journal.value(asked.reply)["parts"]
    assert result["parts"] == [
        {"type": "tool_call_response", "id": "call_0", "response": "7 in Oslo"}
    ]


def test_a_streamed_reply_that_a_chat_sends_back_is_one_message(journal):
    script = [Spoken(text="One.", thought="Hm."), Spoken(text="Two.")]
    with scripted_server(PROVIDERS["Google GenAI"], script) as url:
        chat = burnish.trace.google(made(url)).chats.create(model="gemini-m")
        with burnish.trace(agent="a"):
            list(chat.send_message_stream("a"))
            list(chat.send_message_stream("b"))
    ended, _ = journal.of(ModelEnded)
    _, started = journal.of(ModelStarted)
    roles = [journal.value(ref)["role"] for ref in started.messages]
    assert roles == ["user", "assistant", "user"]
    assert journal.value(started.messages[1])["parts"] == journal.value(ended.reply)["parts"]


def ended_of(journal):
    (ended,) = journal.of(ModelEnded)
    assert faults.counts() == {}
    return ended


def test_a_stream_that_is_left_early_keeps_its_text(journal, url):
    with burnish.trace(agent="a"):
        stream = burnish.trace.google(made(url)).models.generate_content_stream(**ASK)
        next(stream)
        next(stream)
        stream.close()
    ended = ended_of(journal)
    assert ended.cut
    assert journal.value(ended.reply)["parts"][1]["content"] == "Let me see."


async def test_an_asynchronous_stream_that_is_left_early_is_cut(journal, url):
    client = burnish.trace.google(made(url))
    with burnish.trace(agent="a"):
        stream = await client.aio.models.generate_content_stream(**ASK)
        await anext(stream)
        await stream.aclose()
    await client.aio.aclose()
    assert ended_of(journal).cut


@pytest.mark.parametrize("streaming", [False, True])
def test_an_error_of_the_server_is_the_same_and_recorded(journal, streaming):
    with scripted_server(PROVIDERS["Google GenAI"], []) as url:
        way = "stream" if streaming else "generate"
        with burnish.trace(agent="a"), pytest.raises(errors.ClientError, match="bad request"):
            WAYS[way](burnish.trace.google(made(url)))
    ended = ended_of(journal)
    assert ended.error_type == "ClientError"
    assert "bad request" in ended.error


class Blocked(GenerateContent):
    """Refuses a prompt: there is no candidate."""

    def whole(self, said):
        return json.dumps({"promptFeedback": {"blockReason": "SAFETY"}, "responseId": "r"}).encode()


def test_a_prompt_that_was_blocked_has_a_reason_and_no_words(journal):
    blocking = type(PROVIDERS["Google GenAI"])(None, Blocked())
    with scripted_server(blocking, [SAID]) as url, burnish.trace(agent="a"):
        burnish.trace.google(made(url)).models.generate_content(**ASK)
    ended = ended_of(journal)
    assert ended.finish_reason == "blocked: SAFETY"
    assert journal.value(ended.reply)["parts"] == []


def test_parallel_results_belong_to_their_calls_in_order():
    speech = form._Speech()
    calls = [{"functionCall": {"name": "f", "args": {"n": n}}} for n in (1, 2)]
    (said,) = speech.encode({"role": "model", "parts": calls})
    results = [
        {"functionResponse": {"name": "f", "response": {"output": "one"}}},
        {"function_response": {"name": "f", "response": {"error": "two"}}},
    ]
    one, two = speech.encode({"role": "user", "parts": results})
    assert [part["id"] for part in said["parts"]] == ["call_0", "call_1"]
    assert [m["parts"][0]["id"] for m in (one, two)] == ["call_0", "call_1"]
    assert [m["parts"][0]["response"] for m in (one, two)] == ["one", "two"]
    assert two["status"] == "error"


def test_what_the_server_keeps_of_a_prompt_is_named(journal, url):
    with burnish.trace(agent="a"):
        burnish.trace.google(made(url)).models.generate_content(
            **ASK, config={"cached_content": "cachedContents/1"}
        )
    (started,) = journal.of(ModelStarted)
    held = journal.value(started.messages[0])["parts"]
    assert held == [{"type": "cached_content_on_server", "value": "cachedContents/1"}]


def test_outside_of_a_trace_and_where_it_is_suppressed_nothing_is_recorded(journal, url):
    twin = burnish.trace.google(made(url))
    assert WAYS["generate"](twin) == "Let me see."
    with burnish.trace(agent="a"), context.suppress():
        assert WAYS["stream"](twin) == "Let me see."
    assert journal.of(ModelStarted) == []


def test_a_fault_of_ours_is_counted_and_the_caller_gets_the_reply(journal, url, monkeypatch):
    monkeypatch.setattr(form.ContentExchange, "asked", lambda *_: 1 / 0)
    monkeypatch.setattr(faults, "_raising", False)
    with burnish.trace(agent="a"):
        assert WAYS["stream"](burnish.trace.google(made(url))) == "Let me see."
    assert faults.counts()["_open: ZeroDivisionError"] == 1


def test_what_is_no_client_is_refused():
    with pytest.raises(CaptureError, match=r"google\.genai\.Client"):
        burnish.trace.google(object())
