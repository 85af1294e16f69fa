"""Each usual method of Anthropic's client is recorded inside a trace, over a real connection."""

from __future__ import annotations

import json

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic_form import Messages
from chat_models import PROVIDERS, scripted_server
from pydantic import BaseModel
from spoken import ScriptedCall, Spoken

import burnish
from burnish.capture import faults
from burnish.capture.clients import anthropic_form
from burnish.capture.recorder import context
from burnish.errors import CaptureError
from burnish.journal.events import ModelEnded, ModelStarted
from burnish.testing import capturing

TEXT = '{"n": 3}'
CALL = ScriptedCall("look_up", {"order": 7}, "c1")
SAID = Spoken(text=TEXT, thought="Hm.", calls=(CALL,), read=20, cached=8, written=5)
ASK = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "how many?"}]}


class Answer(BaseModel):
    n: int


@pytest.fixture
def journal():
    faults.forget()
    with capturing() as memory:
        yield memory
    faults.forget()


@pytest.fixture
def url():
    with scripted_server(PROVIDERS["Anthropic"], [SAID] * 3) as made:
        yield made


@pytest.fixture
def client(url):
    with Anthropic(base_url=url, api_key="none", max_retries=0) as made:
        yield made


def made_async(url):
    return AsyncAnthropic(base_url=url, api_key="none", max_retries=0)


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def text_in(events):
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    return "".join(delta.text for delta in deltas if delta.type == "text_delta")


def helper(client):
    with client.messages.stream(**ASK) as stream:
        assert "".join(stream.text_stream) == TEXT
        return text_of(stream.get_final_message())


def beta_helper(client):
    with client.beta.messages.stream(**ASK) as stream:
        return text_of(stream.get_final_message())


def streaming_response(client):
    with client.messages.with_streaming_response.create(**ASK) as response:
        return text_of(response.parse())


def streaming_lines(client):
    with client.messages.with_streaming_response.create(**ASK, stream=True) as response:
        lines = [line for line in response.iter_lines() if line.startswith("data:")]
    events = [json.loads(line[5:]) for line in lines]
    return "".join(e["delta"].get("text", "") for e in events if "index" in e and "delta" in e)


WAYS = {
    "create": lambda c: text_of(c.messages.create(**ASK)),
    "parse": lambda c: text_of(c.messages.parse(**ASK, output_format=Answer)),
    "with_options": lambda c: text_of(c.with_options(timeout=9).messages.create(**ASK)),
    "copy of a copy": lambda c: text_of(c.copy().copy(timeout=9).messages.create(**ASK)),
    "raw": lambda c: text_of(c.messages.with_raw_response.create(**ASK).parse()),
    "raw client": lambda c: text_of(c.with_raw_response.messages.create(**ASK).parse()),
    "raw stream": lambda c: text_in(
        c.messages.with_raw_response.create(**ASK, stream=True).parse()
    ),
    "streaming response": streaming_response,
    "streaming response of a stream": streaming_lines,
    "stream": lambda c: text_in(c.messages.create(**ASK, stream=True)),
    "stream helper": helper,
    "beta": lambda c: text_of(c.beta.messages.create(**ASK)),
    "beta stream": lambda c: text_in(c.beta.messages.create(**ASK, stream=True)),
    "beta stream helper": beta_helper,
}


async def acreate(client):
    return text_of(await client.messages.create(**ASK))


async def astream(client):
    return text_in([event async for event in await client.messages.create(**ASK, stream=True)])


async def ahelper(client):
    async with client.messages.stream(**ASK) as stream:
        return text_of(await stream.get_final_message())


async def araw(client):
    response = await client.messages.with_raw_response.create(**ASK)
    parsed = response.parse()
    return text_of(await parsed if hasattr(parsed, "__await__") else parsed)


async def astreaming(client):
    async with client.messages.with_streaming_response.create(**ASK) as response:
        return text_of(await response.parse())


async def aoptions(client):
    return text_of(await client.with_options(timeout=9).messages.create(**ASK))


async def abeta(client):
    return text_of(await client.beta.messages.create(**ASK))


ASYNC_WAYS = (acreate, astream, ahelper, araw, astreaming, aoptions, abeta)


def check(journal):
    (ended,) = journal.of(ModelEnded)
    thought, text, call = journal.value(ended.reply)["parts"]
    assert thought == {
        "type": "reasoning", "content": "Hm.", "signature": "signed", "block": "thinking",
    }  # fmt: skip
    assert text == {"type": "text", "content": TEXT}
    assert call == {"type": "tool_call", "name": "look_up", "arguments": {"order": 7}, "id": "c1"}
    assert (ended.cut, ended.error_type) == (False, None)
    assert (ended.finish_reason, ended.response_id, ended.model) == ("tool_use", "msg1", "m")
    tokens = {"input_tokens": 20, "output_tokens": 5, "cached_tokens": 8, "cache_write_tokens": 0}
    assert ended.usage == tokens
    (started,) = journal.of(ModelStarted)
    assert journal.value(started.request)["sampling"]["max_tokens"] == 9
    assert (started.model, started.provider) == ("m", "anthropic")
    assert faults.counts() == {}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_recorded_once_and_gives_what_it_gave(journal, client, way):
    with burnish.trace(agent="a"):
        assert WAYS[way](burnish.trace.anthropic(client)) == TEXT
    check(journal)


@pytest.mark.parametrize("way", ASYNC_WAYS)
async def test_each_asynchronous_way_too(journal, url, way):
    async with made_async(url) as client:
        with burnish.trace(agent="a"):
            assert await way(burnish.trace.anthropic(client)) == TEXT
    check(journal)


def test_the_original_stays_unrecorded_and_recording_twice_records_once(journal, client):
    twin = burnish.trace.anthropic(burnish.trace.anthropic(client))
    assert isinstance(twin, Anthropic)
    with burnish.trace(agent="a"):
        twin.messages.create(**ASK)
        client.messages.create(**ASK)
    check(journal)


def test_a_prompt_has_its_results_in_messages_of_their_own(journal, client):
    results = [
        {"type": "tool_result", "tool_use_id": "c1", "content": "7 in Oslo", "is_error": True},
        {"type": "text", "text": "And now?"},
    ]
    twin = burnish.trace.anthropic(client)
    with burnish.trace(agent="a"):
        first = twin.messages.create(**ASK)
        messages = [
            *ASK["messages"],
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": results},
        ]
        system = [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]
        twin.messages.create(**{**ASK, "messages": messages, "system": system})
    first_ended, _ = journal.of(ModelEnded)
    _, started = journal.of(ModelStarted)
    system, user, assistant, tool, later = map(journal.value, started.messages)
    assert system["parts"][0]["content"] == "Be kind."
    assert user["parts"] == [{"type": "text", "content": "how many?"}]
    assert assistant["parts"] == journal.value(first_ended.reply)["parts"]
    assert tool["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "7 in Oslo"}]
    assert (tool["role"], tool["status"], later["role"]) == ("tool", "error", "user")
    assert later["parts"] == [{"type": "text", "content": "And now?"}]


def ended_of(journal):
    (ended,) = journal.of(ModelEnded)
    assert faults.counts() == {}
    return ended


def test_a_stream_that_is_left_early_keeps_its_text(journal, client):
    with (
        burnish.trace(agent="a"),
        burnish.trace.anthropic(client).messages.create(**ASK, stream=True) as stream,
    ):
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                break
    ended = ended_of(journal)
    assert ended.cut
    texts = [p["content"] for p in journal.value(ended.reply)["parts"] if p["type"] == "text"]
    assert texts == [TEXT[:4]]


def test_the_stream_helper_that_is_left_early_is_cut(journal, client):
    with (
        burnish.trace(agent="a"),
        burnish.trace.anthropic(client).messages.stream(**ASK) as stream,
    ):
        next(iter(stream.text_stream))
    assert ended_of(journal).cut


async def test_an_asynchronous_stream_that_is_left_early_is_cut(journal, url):
    async with made_async(url) as client:
        twin = burnish.trace.anthropic(client)
        with burnish.trace(agent="a"):
            async with await twin.messages.create(**ASK, stream=True) as stream:
                await anext(stream)
    assert ended_of(journal).cut


def test_a_stream_that_is_left_after_its_last_words_is_complete(journal, client):
    with (
        burnish.trace(agent="a"),
        burnish.trace.anthropic(client).messages.create(**ASK, stream=True) as stream,
    ):
        for event in stream:
            if event.type == "message_delta":
                break
    check(journal)


@pytest.mark.parametrize("raw", [False, True])
def test_an_error_of_the_server_is_the_same_and_recorded(journal, raw):
    with scripted_server(PROVIDERS["Anthropic"], []) as url:
        client = burnish.trace.anthropic(Anthropic(base_url=url, api_key="none", max_retries=0))
        create = client.messages.with_raw_response.create if raw else client.messages.create
        with burnish.trace(agent="a"), pytest.raises(anthropic.BadRequestError):
            create(**ASK)
        client.close()
    ended = ended_of(journal)
    assert ended.error_type == "BadRequestError"
    assert "bad request" in ended.error


class Overloaded(Messages):
    """Breaks off in the middle, with an error among the events."""

    def streamed(self, said):
        whole = super().streamed(said).decode()
        head = whole[: whole.index("event: content_block_stop")]
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "too many"}}
        return f"{head}event: error\ndata: {json.dumps(error)}\n\n".encode()


class Garbled(Messages):
    """Streams arguments that are not JSON."""

    def streamed(self, said):
        return super().streamed(said).replace(b'{\\"or', b'{{\\"or')


def served_by(form):
    return scripted_server(type(PROVIDERS["Anthropic"])(None, form), [SAID])


def test_an_error_amid_a_stream_is_the_calls_error_and_its_text_is_kept(journal):
    with served_by(Overloaded()) as url:
        client = burnish.trace.anthropic(Anthropic(base_url=url, api_key="none", max_retries=0))
        with burnish.trace(agent="a"), pytest.raises(anthropic.APIStatusError):
            list(client.messages.create(**ASK, stream=True))
        client.close()
    ended = ended_of(journal)
    assert "too many" in ended.error
    assert journal.value(ended.reply)["parts"][0]["content"] == "Hm."


def test_arguments_that_are_no_json_are_an_invalid_call(journal):
    with served_by(Garbled()) as url:
        client = burnish.trace.anthropic(Anthropic(base_url=url, api_key="none", max_retries=0))
        with burnish.trace(agent="a"):
            list(client.messages.create(**ASK, stream=True))
        client.close()
    call = journal.value(ended_of(journal).reply)["parts"][-1]
    assert (call["type"], call["arguments"]) == ("invalid_tool_call", '{{"order": 7}')


def test_outside_of_a_trace_and_where_it_is_suppressed_nothing_is_recorded(journal, client):
    twin = burnish.trace.anthropic(client)
    assert text_of(twin.messages.create(**ASK)) == TEXT
    with burnish.trace(agent="a"), context.suppress():
        assert helper(twin) == TEXT
    assert journal.of(ModelStarted) == []


def test_a_fault_of_ours_is_counted_and_the_caller_gets_the_reply(journal, client, monkeypatch):
    monkeypatch.setattr(anthropic_form.MessageExchange, "add", lambda *_: 1 / 0)
    monkeypatch.setattr(faults, "_raising", False)
    with burnish.trace(agent="a"):
        assert helper(burnish.trace.anthropic(client)) == TEXT
    assert faults.counts()["add: ZeroDivisionError"] > 0
    assert journal.list_open_spans() == set()


def test_what_is_no_client_is_refused():
    with pytest.raises(CaptureError, match="Anthropic"):
        burnish.trace.anthropic(object())
