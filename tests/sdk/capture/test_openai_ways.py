"""Each usual method of the OpenAI client is recorded inside a trace, over a real connection."""

import asyncio
import gc
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

import burnish
from burnish.capture import faults
from burnish.journal.events import ModelEnded, ModelStarted

TEXT = '{"n": 3}'
ASK = {"model": "m", "messages": [{"role": "user", "content": "how many?"}]}


class Answer(BaseModel):
    n: int


def whole():
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": TEXT},
        "finish_reason": "stop",
    }
    base = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return json.dumps({**base, "choices": [choice]})


def streamed():
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    for content, reason in (('{"n"', None), (": 3}", None), (None, "stop")):
        delta = {"content": content} if content else {}
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        yield f"data: {json.dumps({**base, 'choices': [choice]})}\n\n"
    yield "data: [DONE]\n\n"


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        data = ("".join(streamed()) if request.get("stream") else whole()).encode()
        self.send_response(404 if request["model"] == "none" else 200)
        kind = "text/event-stream" if request.get("stream") else "application/json"
        self.send_header("content-type", kind)
        if "gzip" in self.headers.get("accept-encoding", ""):
            data = gzip.compress(data)
            self.send_header("content-encoding", "gzip")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(url):
    with OpenAI(base_url=url, api_key="none", max_retries=0) as made:
        yield made


def text_of(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks)


def streaming_response(client):
    with client.chat.completions.with_streaming_response.create(**ASK) as response:
        return response.parse().choices[0].message.content


def streaming_lines(client):
    with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        return text_of(response.parse())


def helper(client):
    with client.chat.completions.stream(**ASK) as stream:
        for _ in stream:
            pass
        return stream.get_final_completion().choices[0].message.content


def content(completion):
    return completion.choices[0].message.content


WAYS = {
    "create": lambda c: content(c.chat.completions.create(**ASK)),
    "parse": lambda c: content(c.chat.completions.parse(**ASK, response_format=Answer)),
    "with_options": lambda c: content(c.with_options(timeout=9).chat.completions.create(**ASK)),
    "copy of a copy": lambda c: content(c.copy().copy(timeout=9).chat.completions.create(**ASK)),
    "raw": lambda c: content(c.chat.completions.with_raw_response.create(**ASK).parse()),
    "raw client": lambda c: content(c.with_raw_response.chat.completions.create(**ASK).parse()),
    "raw parse": lambda c: content(
        c.chat.completions.with_raw_response.parse(**ASK, response_format=Answer).parse()
    ),
    "raw stream": lambda c: text_of(
        c.chat.completions.with_raw_response.create(**ASK, stream=True).parse()
    ),
    "streaming response": streaming_response,
    "streaming response of a stream": streaming_lines,
    "stream": lambda c: text_of(c.chat.completions.create(**ASK, stream=True)),
    "stream helper": helper,
}


async def atext_of(chunks):
    return "".join([c.choices[0].delta.content or "" async for c in chunks])


async def astreaming(client):
    manager = client.chat.completions.with_streaming_response.create(**ASK)
    async with manager as response:
        return content(await response.parse())


async def ahelper(client):
    async with client.chat.completions.stream(**ASK) as stream:
        async for _ in stream:
            pass
        return content(await stream.get_final_completion())


async def araw(client):
    return content((await client.chat.completions.with_raw_response.create(**ASK)).parse())


async def araw_stream(client):
    raw = await client.chat.completions.with_raw_response.create(**ASK, stream=True)
    return await atext_of(raw.parse())


async def aparse(client):
    return content(await client.chat.completions.parse(**ASK, response_format=Answer))


async def aoptions(client):
    return content(await client.with_options(timeout=9).chat.completions.create(**ASK))


async def astream(client):
    return await atext_of(await client.chat.completions.create(**ASK, stream=True))


ASYNC_WAYS = (astreaming, ahelper, araw, araw_stream, aparse, aoptions, astream)


def check(journal, *, cut=False, text=TEXT):
    (ended,) = journal.of(ModelEnded)
    assert journal.value(ended.reply)["parts"] == [{"type": "text", "content": text}]
    assert ended.cut is cut
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


def test_the_format_that_is_parsed_is_recorded_as_it_is_sent(journal, client):
    with burnish.trace(agent="a"):
        burnish.trace.openai(client).chat.completions.parse(**ASK, response_format=Answer)
    (started,) = journal.of(ModelStarted)
    recorded = json.dumps(journal.value(started.request))
    assert "json_schema" in recorded
    assert '"Answer"' in recorded


def test_the_original_stays_unrecorded_and_recording_twice_records_once(journal, client):
    twin = burnish.trace.openai(burnish.trace.openai(client))
    with burnish.trace(agent="a"):
        twin.chat.completions.create(**ASK)
        client.chat.completions.create(**ASK)
    check(journal)


@pytest.mark.parametrize("read", [1, 2])
def test_a_stream_that_is_left_early_keeps_its_text(journal, client, read):
    with (
        burnish.trace(agent="a"),
        burnish.trace.openai(client).chat.completions.create(**ASK, stream=True) as stream,
    ):
        for _ in range(read):
            next(stream)
    check(journal, cut=True, text=TEXT if read == 2 else '{"n"')


async def test_an_asynchronous_stream_that_is_left_early_keeps_its_text(journal, url):
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        twin = burnish.trace.openai(client)
        with burnish.trace(agent="a"):
            async with await twin.chat.completions.create(**ASK, stream=True) as stream:
                await anext(stream)
    check(journal, cut=True, text='{"n"')


def test_a_stream_that_is_left_after_its_last_words_is_complete(journal, client):
    with (
        burnish.trace(agent="a"),
        burnish.trace.openai(client).chat.completions.create(**ASK, stream=True) as stream,
    ):
        for chunk in stream:
            if chunk.choices[0].finish_reason:
                break
    check(journal)


def test_a_stream_that_is_still_open_when_the_trace_ends_keeps_its_text(journal, client):
    with burnish.trace(agent="a"):
        stream = burnish.trace.openai(client).chat.completions.create(**ASK, stream=True)
        next(stream)
    (ended,) = journal.of(ModelEnded)
    stream.close()
    assert ended.cut
    assert journal.value(ended.extras) == {"partial": '{"n"'}
    del stream
    gc.collect()
    assert faults.counts() == {}


def test_the_stream_helper_that_is_left_early_keeps_its_text(journal, client):
    with (
        burnish.trace(agent="a"),
        burnish.trace.openai(client).chat.completions.stream(**ASK) as stream,
    ):
        next(iter(stream))
    (ended,) = journal.of(ModelEnded)
    assert ended.cut


@pytest.mark.parametrize("raw", [False, True])
def test_an_error_of_the_server_is_the_same_and_recorded(journal, client, raw):
    asked = {**ASK, "model": "none"}
    completions = burnish.trace.openai(client).chat.completions
    create = completions.with_raw_response.create if raw else completions.create
    with burnish.trace(agent="a"), pytest.raises(openai.NotFoundError):
        create(**asked)
    (ended,) = journal.of(ModelEnded)
    assert ended.error_type == "NotFoundError"


def test_outside_of_a_trace_nothing_is_recorded(journal, client):
    assert asyncio.run(asyncio.to_thread(helper, burnish.trace.openai(client))) == TEXT
    assert journal.events == []
