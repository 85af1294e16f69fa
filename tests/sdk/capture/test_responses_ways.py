"""Each usual method of the Responses API of OpenAI's client is recorded inside a trace, over a real connection."""

import openai
import pytest
from chat_models import PROVIDERS, scripted_server
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from spoken import ScriptedCall, Spoken

import burnish
from burnish.capture import faults
from burnish.errors import MissingExtra
from burnish.journal.events import ModelEnded, ModelStarted

TEXT = '{"n": 3}'
CALL = ScriptedCall("look_up", {"order": 7}, "c1")
SAID = Spoken(text=TEXT, thought="Hm.", calls=(CALL,), read=20, cached=8, written=5)
ASK = {"model": "m", "input": "how many?", "instructions": "Be kind."}


class Answer(BaseModel):
    n: int


def server(script):
    return scripted_server(PROVIDERS["OpenAI, Responses"], script)


@pytest.fixture
def url():
    with server([SAID] * 3) as made:
        yield f"{made}/v1"


@pytest.fixture
def client(url):
    with OpenAI(base_url=url, api_key="none", max_retries=0) as made:
        yield made


def text_in(events):
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


def helper(client):
    with client.responses.stream(**ASK) as stream:
        for _ in stream:
            pass
        return stream.get_final_response().output_text


def streaming_response(client):
    with client.responses.with_streaming_response.create(**ASK) as response:
        return response.parse().output_text


def streaming_events(client):
    with client.responses.with_streaming_response.create(**ASK, stream=True) as response:
        return text_in(response.parse())


WAYS = {
    "create": lambda c: c.responses.create(**ASK).output_text,
    "parse": lambda c: c.responses.parse(**ASK, text_format=Answer).output_text,
    "with_options": lambda c: c.with_options(timeout=9).responses.create(**ASK).output_text,
    "raw": lambda c: c.responses.with_raw_response.create(**ASK).parse().output_text,
    "raw client": lambda c: c.with_raw_response.responses.create(**ASK).parse().output_text,
    "raw stream": lambda c: text_in(
        c.responses.with_raw_response.create(**ASK, stream=True).parse()
    ),
    "streaming response": streaming_response,
    "streaming response of a stream": streaming_events,
    "stream": lambda c: text_in(c.responses.create(**ASK, stream=True)),
    "stream helper": helper,
}


async def acreate(client):
    return (await client.responses.create(**ASK)).output_text


async def astream(client):
    return text_in([event async for event in await client.responses.create(**ASK, stream=True)])


async def ahelper(client):
    async with client.responses.stream(**ASK) as stream:
        async for _ in stream:
            pass
        return (await stream.get_final_response()).output_text


ASYNC_WAYS = (acreate, astream, ahelper)


def check(journal):
    (ended,) = journal.of(ModelEnded)
    thought, text, call = journal.value(ended.reply)["parts"]
    assert thought["value"]["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert text == {"type": "text", "content": TEXT}
    assert call == {
        "type": "tool_call", "name": "look_up", "arguments": {"order": 7}, "id": "c1",
        "raw_arguments": '{"order": 7}',
    }  # fmt: skip
    assert (ended.cut, ended.error_type, ended.finish_reason) == (False, None, "completed")
    tokens = {"input_tokens": 20, "output_tokens": 5, "cached_tokens": 8, "reasoning_tokens": 0}
    assert ended.usage == tokens
    (started,) = journal.of(ModelStarted)
    said = [journal.value(ref)["parts"][0]["content"] for ref in started.messages]
    assert said == ["Be kind.", "how many?"]
    assert faults.counts() == {}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_recorded_once_and_gives_what_it_gave(journal, client, way):
    with burnish.trace(agent="a"):
        assert WAYS[way](burnish.trace.openai(client)) == TEXT
    check(journal)


@pytest.mark.parametrize("way", ASYNC_WAYS)
async def test_each_asynchronous_way_too(journal, url, way):
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        with burnish.trace(agent="a"):
            assert await way(burnish.trace.openai(client)) == TEXT
    check(journal)


def test_a_stream_that_is_left_early_keeps_its_text(journal, client):
    with (
        burnish.trace(agent="a"),
        burnish.trace.openai(client).responses.create(**ASK, stream=True) as stream,
    ):
        for event in stream:
            if event.type == "response.output_text.delta":
                break
    (ended,) = journal.of(ModelEnded)
    assert ended.cut
    assert journal.value(ended.reply)["parts"][-1] == {"type": "text", "content": TEXT[:4]}


def test_an_error_of_the_server_is_the_same_and_recorded(journal):
    with (
        server([]) as url,
        OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
        burnish.trace(agent="a"),
        pytest.raises(openai.BadRequestError),
    ):
        burnish.trace.openai(client).responses.create(**ASK)
    (ended,) = journal.of(ModelEnded)
    assert ended.error_type == "BadRequestError"


def test_a_request_that_goes_on_from_a_response_has_its_whole_prompt(journal, client):
    twin = burnish.trace.openai(client)
    result = {"type": "function_call_output", "call_id": "c1", "output": "7 in Oslo"}
    with burnish.trace(agent="a"):
        first = twin.responses.create(**ASK)
        twin.responses.create(model="m", input=[result], previous_response_id=first.id)
    _, started = journal.of(ModelStarted)
    asked, said, tool = map(journal.value, started.messages)
    assert asked["parts"] == [{"type": "text", "content": "how many?"}]
    assert said["parts"] == journal.value(journal.of(ModelEnded)[0].reply)["parts"]
    assert tool["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "7 in Oslo"}]


def test_a_response_that_this_client_did_not_get_is_named_as_unknown(journal, client):
    with burnish.trace(agent="a"):
        burnish.trace.openai(client).responses.create(**ASK, previous_response_id="elsewhere")
    (started,) = journal.of(ModelStarted)
    held = journal.value(started.messages[1])["parts"]
    assert held == [{"type": "previous_response_on_server", "value": "elsewhere"}]


def test_the_items_of_one_reply_are_one_message_of_the_next_prompt(journal, client):
    twin = burnish.trace.openai(client)
    with burnish.trace(agent="a"):
        first = twin.responses.create(**ASK)
        image = {"type": "input_image", "image_url": "data:image/png;base64,aGk="}
        later = [
            {"role": "user", "content": "how many?"},
            *first.output,
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "7"}]},
            {"role": "user", "content": [{"type": "input_text", "text": "And this?"}, image]},
        ]  # fmt: skip
        twin.responses.create(model="m", input=later)
    _, started = journal.of(ModelStarted)
    _, said, tool, user = map(journal.value, started.messages)
    assert said["parts"][1:] == journal.value(journal.of(ModelEnded)[0].reply)["parts"][1:]
    assert tool["parts"][0]["response"] == [{"type": "text", "text": "7"}]
    assert user["parts"][1] == {
        "type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk=",
    }  # fmt: skip


def test_a_parameter_of_any_name_is_recorded(journal, client):
    with burnish.trace(agent="a"):
        burnish.trace.openai(client).responses.create(**ASK, extra_body={"provider": {"a": 1}})
    (started,) = journal.of(ModelStarted)
    assert journal.value(started.request)["sampling"]["provider"] == {"a": 1}
    assert started.provider == "openai"


@pytest.mark.parametrize(
    ("name", "package"), [("anthropic", "anthropic"), ("google", "google-genai")]
)
def test_without_its_package_a_client_is_refused_with_the_line_that_installs_it(
    name, package, monkeypatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(MissingExtra, match=f"pip install {package}"):
        getattr(burnish.trace, name)(object())
