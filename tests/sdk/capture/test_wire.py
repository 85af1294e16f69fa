"""Fields of a vLLM-like server that ChatOpenAI drops are kept, over a real connection."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from chat_models import Provider, scripted_server
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI
from openai_forms import Completions
from spoken import Spoken

import burnish
from burnish.capture import faults
from burnish.capture.patches import openai_tap
from burnish.capture.patches.openai_response import WireReply
from burnish.journal.events import ModelEnded, ModelStarted, RunEnded, ToolStarted

RAW = '{"at":  1, "text": "é"}'
ADAPTER = "support@0123456789ab"


def token(number, text):
    return {"token": text, "logprob": -number / 10, "bytes": None, "top_logprobs": []}


def whole(mark, calls):
    """A reply as vLLM gives it with return_token_ids."""
    message = {"role": "assistant", "content": f"said {mark}", "reasoning": f"thought {mark}"}
    if calls:
        function = {"name": "look", "arguments": RAW}
        message["tool_calls"] = [{"id": f"call-{mark}", "type": "function", "function": function}]
    return {
        "id": f"chatcmpl-{mark}",
        "object": "chat.completion",
        "created": 1,
        "model": ADAPTER,
        "system_fingerprint": "fp",
        "prompt_token_ids": [1, 2, mark],
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if calls else "stop",
                "stop_reason": 42,
                "token_ids": [7, 8, mark],
                "logprobs": {"content": [token(1, "a"), token(2, "b"), token(3, "c")]},
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 3,
            "total_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }


def chunks(mark, calls):
    """The same reply in pieces."""
    reply = whole(mark, calls)
    message = reply["choices"][0]["message"]
    base = {key: reply[key] for key in ("id", "created", "model", "system_fingerprint")}
    base["object"] = "chat.completion.chunk"

    def chunk(delta, **more):
        return {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None, **more}]}

    yield {**chunk({"role": "assistant", "content": ""}), "prompt_token_ids": [1, 2, mark]}
    yield chunk({"reasoning": "thought "}, token_ids=[7])
    yield chunk({"reasoning": str(mark)}, logprobs={"content": [token(1, "a")]})
    yield chunk({"content": "said "}, token_ids=[8], logprobs={"content": [token(2, "b")]})
    yield chunk({"content": str(mark)}, token_ids=[mark], logprobs={"content": [token(3, "c")]})
    for call in message.get("tool_calls", ()):
        head = {**call, "index": 0, "function": {"name": "look", "arguments": ""}}
        yield chunk({"tool_calls": [head]})
        for piece in (RAW[:5], RAW[5:]):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    yield chunk({}, finish_reason=reply["choices"][0]["finish_reason"], stop_reason=42)
    yield {**base, "choices": [], "usage": reply["usage"]}


class Server(BaseHTTPRequestHandler):
    """Answers each request with the mark that its last user message names."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = [m["content"] for m in request["messages"] if m["role"] == "user"][-1]
        mark = int(asked.split()[-1])
        calls = bool(request.get("tools")) and request["messages"][-1]["role"] == "user"
        if request.get("stream"):
            body = "".join(f"data: {json.dumps(c)}\n\n" for c in chunks(mark, calls))
            self.answer("text/event-stream", f"{body}data: [DONE]\n\n")
        else:
            self.answer("application/json", json.dumps(whole(mark, calls)))

    def answer(self, kind, body):
        data = body.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


class Accepting(ThreadingHTTPServer):
    """Takes many connections at once; the default queue refuses the sixth on a busy machine."""

    request_queue_size = 128


@pytest.fixture(scope="module")
def url():
    server = Accepting(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def chat(url, **fields):
    return ChatOpenAI(
        base_url=url, api_key="none", model=ADAPTER, stream_usage=True, max_retries=0, **fields
    )


@tool
def look(at: int, text: str) -> str:
    """Look."""
    return "seen"


def check(journal, mark, ended=None):
    ended = ended or journal.of(ModelEnded)[0]
    reply = journal.value(ended.reply)
    extras = journal.value(ended.extras)
    assert ended.prompt_token_ids == [1, 2, mark]
    assert ended.token_ids == [7, 8, mark]
    assert ended.logprobs == [-0.1, -0.2, -0.3]
    assert [entry["token"] for entry in extras["logprobs"]["content"]] == ["a", "b", "c"]
    assert reply["parts"][0] == {
        "type": "reasoning",
        "content": f"thought {mark}",
        "block": "wire",
    }
    assert reply["parts"][1]["content"] == f"said {mark}"
    assert (ended.model, ended.adapter) == (ADAPTER, ADAPTER)
    assert ended.response_id == f"chatcmpl-{mark}"
    assert extras["stop_reason"] == 42
    assert extras["system_fingerprint"] == "fp"
    assert ended.usage == {
        "input_tokens": 3,
        "output_tokens": 3,
        "cached_tokens": 2,
        "reasoning_tokens": 1,
    }
    return reply


async def run(graph, asked, way):
    if way == "sync":
        return graph.invoke(asked)
    if way == "async":
        return await graph.ainvoke(asked)
    if way == "events":
        return graph.stream_events(asked, version="v3").output
    events = await graph.astream_events(asked, version="v3")
    return await events.output()


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("way", ["sync", "async", "events", "async events"])
async def test_a_reply_of_chat_openai_is_kept_whole(journal, url, streaming, way):
    graph = burnish.wrap(create_agent(chat(url, streaming=streaming), [look]), agent="wire")
    asked = {"messages": [("user", "look 5")]}

    result = await run(graph, asked, way)

    reply = check(journal, 5)
    assert [part["type"] for part in reply["parts"]] == ["reasoning", "text", "tool_call"]
    assert reply["parts"][2]["raw_arguments"] == RAW
    assert reply["parts"][2]["arguments"] == {"at": 1, "text": "é"}
    assert journal.of(ToolStarted)[0].raw_arguments == RAW
    assert journal.of(RunEnded)[0].losses == {}
    assert "thought" not in repr(result)  # the agent sees what it would see without us
    check(journal, 5, journal.of(ModelEnded)[1])


def test_the_next_request_holds_the_reply_as_the_agent_sent_it(journal, url):
    burnish.wrap(create_agent(chat(url), [look]), agent="wire").invoke(
        {"messages": [("user", "look 5")]}
    )

    sent = journal.value(journal.of(ModelStarted)[1].messages[1])
    assert sent["role"] == "assistant"
    assert [part["type"] for part in sent["parts"]] == ["text", "tool_call"]


async def test_replies_of_calls_at_the_same_time_do_not_mix(journal, url):
    model = chat(url)

    async def ask(mark):
        agent = burnish.wrap(model, agent=f"a{mark}")
        if mark % 2:
            return [chunk async for chunk in agent.astream([HumanMessage(f"q {mark}")])]
        return await agent.ainvoke([HumanMessage(f"q {mark}")])

    await asyncio.gather(*(ask(mark) for mark in range(10, 30)))

    asked = {
        event.span: int(journal.value(event.messages[0])["parts"][0]["content"].split()[1])
        for event in journal.of(ModelStarted)
    }
    assert sorted(asked.values()) == list(range(10, 30))
    for ended in journal.of(ModelEnded):
        check(journal, asked[ended.span], ended)
    assert not openai_tap._kept


def test_capture_goes_on_where_the_chat_model_has_changed_shape(journal, url, monkeypatch, caplog):
    import langchain_openai.chat_models.base as module

    monkeypatch.setattr(openai_tap, "_done", False)
    monkeypatch.delattr(module.BaseChatOpenAI, "_create_chat_result")
    monkeypatch.setattr(module.BaseChatOpenAI, "_convert_other", None, raising=False)

    with caplog.at_level("WARNING", logger="burnish"):
        openai_tap.install()
        openai_tap.install()

    assert faults.counts()["wire_tap_missing"] == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("streaming", [False, True])
def test_the_openai_client_is_recorded_inside_a_trace(journal, url, streaming):
    client = burnish.trace.openai(OpenAI(base_url=url, api_key="none", max_retries=0))
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]

    with burnish.trace(agent="raw"):
        reply = client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "look 5"}],
            tools=tools,
            temperature=0.5,
            stream=streaming,
        )
        if streaming:
            assert "".join(c.choices[0].delta.content or "" for c in reply if c.choices) == "said 5"
        else:
            assert reply.choices[0].message.content == "said 5"

    assert isinstance(client, OpenAI)
    assert check(journal, 5)["parts"][2]["raw_arguments"] == RAW
    (started,) = journal.of(ModelStarted)
    sampling = journal.value(started.request)["sampling"]
    assert sampling["temperature"] == 0.5
    assert journal.value(started.tools)[0]["name"] == "look"
    assert (journal.of(ModelEnded)[0].first_token_at is not None) == streaming
    assert journal.of(RunEnded)[0].answer == "said 5"


@pytest.mark.parametrize("streaming", [False, True])
async def test_the_asynchronous_openai_client_is_recorded(journal, url, streaming):
    plain = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    client = burnish.trace.openai(plain)

    async with burnish.trace(agent="raw"):
        reply = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "q 5"}], stream=streaming
        )
        if streaming:
            [chunk async for chunk in reply]
    await plain.close()

    check(journal, 5)


class UsageInEachChunk(Completions):
    """Counts tokens in every chunk, each time all of them, as vLLM does where it is asked to."""

    def _chunks(self, said):
        for chunk in super()._chunks(said):
            yield {**chunk, "usage": self._usage(said)}


@pytest.mark.parametrize("by_langchain", [True, False])
def test_tokens_that_a_stream_counts_in_each_chunk_are_counted_once(journal, by_langchain):
    provider = Provider(None, UsageInEachChunk())
    said = Spoken(text="said it in words", read=20, cached=8, written=5)
    with scripted_server(provider, [said]) as url:
        made = {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 0}
        if by_langchain:
            model = ChatOpenAI(model="m", streaming=True, stream_usage=True, **made)
            burnish.wrap(model, agent="a").invoke("ask")
        else:
            messages = [{"role": "user", "content": "ask"}]
            with OpenAI(**made) as client, burnish.trace(agent="a"):
                completions = burnish.trace.openai(client).chat.completions
                list(completions.create(model="m", messages=messages, stream=True))
    (ended,) = journal.of(ModelEnded)
    assert ended.usage == {"input_tokens": 20, "output_tokens": 5, "cached_tokens": 8}


def test_a_stream_of_the_client_that_is_left_is_cut(journal, url):
    client = burnish.trace.openai(OpenAI(base_url=url, api_key="none", max_retries=0))

    with burnish.trace(agent="raw"):
        reply = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "q 5"}], stream=True
        )
        next(reply)
        next(reply)
        reply._iterator.close()
        reply.close()

    ended = journal.of(ModelEnded)[0]
    assert ended.cut
    assert ended.error_type is None
    assert journal.value(ended.reply)["parts"][0]["content"] == "thought "
    assert journal.list_open_spans() == set()


def test_an_error_of_the_server_is_an_error_of_the_call(journal):
    client = burnish.trace.openai(
        OpenAI(base_url="http://127.0.0.1:9/v1", api_key="none", max_retries=0)
    )

    with burnish.trace(agent="raw"), pytest.raises(Exception, match="onnection"):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "q 5"}])

    assert journal.of(ModelEnded)[0].error_type == "APIConnectionError"


def test_what_is_no_client_is_refused():
    with pytest.raises(burnish.errors.CaptureError, match="OpenAI"):
        burnish.trace.openai(object())


def _piece(call_id, text, index, name=None):
    call = {"function": {"arguments": text, **({"name": name} if name else {})}}
    call |= {"id": call_id} if call_id else {}
    call |= {} if index is None else {"index": index}
    return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}


@pytest.mark.parametrize("index", [0, None])
def test_calls_streamed_under_one_index_are_told_apart_by_their_ids(index):
    reply = WireReply()
    reply.add(_piece("c1", '{"q": ', index, "search"))
    reply.add(_piece(None, '"a"}', index))
    reply.add(_piece("c2", '{"q": ', index, "search"))
    reply.add(_piece("c2", '"b"}', index))

    assert reply.raw_arguments() == {"c1": '{"q": "a"}', "c2": '{"q": "b"}'}
    assert [part["arguments"] for part in reply.message()["parts"]] == [{"q": "a"}, {"q": "b"}]


def test_pieces_of_parallel_calls_that_come_by_turns_go_to_their_calls():
    reply = WireReply()
    for index, call_id in enumerate(("c1", "c2")):
        reply.add(_piece(call_id, "{", index, "search"))
    for index in (1, 0):
        reply.add(_piece(None, f'"q": {index}}}', index))

    assert reply.raw_arguments() == {"c1": '{"q": 0}', "c2": '{"q": 1}'}
