"""A secret is in no byte of the journal, for every recording channel and every field.

Each case puts a key and an address into one field of one channel; the run is marked as redacted.
"""

import asyncio
import contextlib
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import StructuredTool
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from openai import AsyncOpenAI, OpenAI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from scenarios.agents import State

import burnish
from burnish import settings
from burnish.capture.api.scopes import record_state
from burnish.capture.content.redaction_door import door
from burnish.capture.recorder.whole_runs import events_of
from burnish.records import Failure, ModelCall, Outcome, Policy, ToolRun, Trajectory, Verdict
from burnish.telemetry import semconv as s
from burnish.telemetry.intake.request_intake import Intake
from burnish.testing import ScriptedChatModel, production_faults

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"
MAIL = "anna.gruber@firma-huber.at"


class Field:
    """Returns texts; the field with the chosen name holds the secret."""

    def __init__(self, chosen, secret):
        self.chosen, self.secret = chosen, secret

    def __call__(self, name, plain="plain"):
        return f"{plain} {self.secret} end" if name == self.chosen else plain


def by_hand(field):
    task = {name: field(name) for name in ("id", "user", "environment")}
    with (
        burnish.task(**task),
        burnish.trace(
            agent=field("agent"), thread_id=field("thread"), tags=[field("tag")],
            input={field("input key"): [field("input")]},
        ) as scope,
    ):  # fmt: skip
        scope.answer(field("answer"))
        with burnish.trace.model_call(
            [{"role": "user", "content": field("message"), field("message key"): "x"}],
            tools=[{"name": field("offered tool"), "description": field("description")}],
            model=field("model"), provider=field("provider"), stop=[field("parameter")],
        ) as call:  # fmt: skip
            call.reply(
                field("reply"), finish_reason=field("finish"), response_id=field("response id"),
                adapter=field("adapter"), arm=field("arm"), model=field("answering model"),
                usage={field("usage key") + "_tokens": 1}, extras={field("extras key"): field("extras")},
            )  # fmt: skip
        with burnish.trace.tool_call(
            field("tool"), {"a": field("argument")}, call_id=field("call id"),
            raw_arguments=json.dumps({"a": field("raw argument")}),
        ) as call:  # fmt: skip
            call.result(field("result"), artifact=field("artifact"))
        with burnish.trace(agent=field("nested agent")):
            record_state({"row": field("state")})
        for kind in (burnish.trace.tool_call("t"), burnish.trace.model_call("q", model="m")):
            try:
                with kind:
                    raise type(field("error type"), (Exception,), {})(field("error"))  # noqa: TRY301
            except Exception:  # noqa: BLE001 - the error of the case
                pass


BY_HAND = [
    "id", "user", "environment", "agent", "thread", "tag", "input key", "input", "answer",
    "message", "message key", "offered tool", "description", "model", "provider", "parameter",
    "reply", "finish", "response id", "adapter", "arm", "answering model", "usage key",
    "extras key", "extras", "tool", "argument", "call id", "raw argument", "result", "artifact",
    "nested agent", "state", "error", "error type",
]  # fmt: skip


class Shelf(BaseRetriever):
    found: str
    about: str

    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(self.found, metadata={"source": self.about})]


def graph_of_langchain(field):
    store = InMemoryStore()

    def find(mail: str) -> str:
        """Find a customer."""
        return field("result")

    def refuse(mail: str) -> str:
        """Refuse."""
        raise ValueError(field("error"))

    refusing = StructuredTool.from_function(refuse)
    call = {"name": "find", "args": {"mail": field("argument")}, "id": field("call id")}
    first = AIMessage(field("words"), tool_calls=[call], id=field("message id"))
    last = AIMessage(
        field("reply"), response_metadata={"model_name": field("model"), "id": field("reply id")}
    )
    model = ScriptedChatModel(script=[first, last])
    agent = create_agent(model, [StructuredTool.from_function(find)], system_prompt=field("system"))

    def asks(state):
        shelf = Shelf(found=field("document"), about=field("document source"))
        shelf.invoke(field("query"))
        store.put(
            (field("namespace").replace(".", ""),), field("memory key"), {"text": field("memory")}
        )
        store.search((field("namespace").replace(".", ""),), query=field("memory query"))
        agent.invoke({"messages": [("user", field("message"))]}, {"run_name": field("run name")})
        with contextlib.suppress(ValueError):
            refusing.invoke({"mail": "x"})
        return {"notes": [field("note")]}

    node = field("node")
    built = StateGraph(State).add_node(node, asks).add_edge(START, node).compile(store=store)
    config = {
        "configurable": {"thread_id": field("thread")},
        "metadata": {"user_id": field("user"), "note": field("metadata"), field("metadata key"): 1},
        "tags": [field("run tag")],
    }
    burnish.wrap(built, agent="desk", tags=[field("agent tag")]).invoke(
        {"notes": [field("input")]}, config
    )


LANGCHAIN = [
    "result", "error", "argument", "call id", "words", "message id", "reply", "model", "reply id",
    "system", "document", "document source", "query", "namespace", "memory key", "memory",
    "memory query", "message", "run name", "note", "node", "thread", "user", "metadata",
    "metadata key", "run tag", "agent tag", "input",
]  # fmt: skip


class Echo(BaseHTTPRequestHandler):
    """Answers with the texts that the request names, whole or in small pieces."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = json.loads(request["messages"][0]["content"])
        base = {
            "id": said["id"],
            "created": 1,
            "model": said["model"],
            "system_fingerprint": said["print"],
        }
        call = {"index": 0, "id": said["call"], "type": "function",
                "function": {"name": said["tool"], "arguments": json.dumps({"x": said["raw"]})}}  # fmt: skip
        message = {
            "role": "assistant",
            "content": said["text"],
            "reasoning": said["thought"],
            "tool_calls": [call],
        }
        if request.get("stream"):
            text = said["text"]
            pieces = [{"content": text[at : at + 3]} for at in range(0, len(text), 3)]
            pieces += [{"reasoning": said["thought"]}, {"tool_calls": [call]}]
            chunks = [
                {
                    **base,
                    "object": "chat.completion.chunk",
                    "choices": [{"index": 0, "delta": piece, "finish_reason": None}],
                }
                for piece in pieces
            ]
            body = (
                "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            )
            kind = "text/event-stream"
        else:
            logprobs = {"content": [{"token": said["text"], "logprob": -0.1, "top_logprobs": []}]}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": logprobs}
            body = json.dumps({**base, "object": "chat.completion", "choices": [choice]})
            kind = "application/json"
        data = body.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


OPENAI = ["id", "model", "print", "call", "tool", "raw", "text", "thought", "asked", "user"]


def ask_of(field):
    said = {name: field(name) for name in OPENAI[:8]}
    messages = [
        {"role": "system", "content": json.dumps(said)},
        {"role": "user", "content": field("asked")},
    ]
    return {"model": "m", "messages": messages, "user": field("user")}


def openai_client(field, url):
    client = burnish.trace.openai(OpenAI(base_url=url, api_key="none", max_retries=0))
    with burnish.trace(agent="a"):
        client.chat.completions.create(**ask_of(field))


def openai_stream(field, url):
    client = burnish.trace.openai(OpenAI(base_url=url, api_key="none", max_retries=0))
    with burnish.trace(agent="a"):
        list(client.chat.completions.create(stream=True, **ask_of(field)))


def openai_async(field, url):
    async def ask():
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as plain:
            client = burnish.trace.openai(plain)
            with burnish.trace(agent="a"):
                async for _ in await client.chat.completions.create(stream=True, **ask_of(field)):
                    pass

    asyncio.run(ask())


def facts(field):
    with burnish.trace(agent="a") as scope:
        pass
    workspace, run = burnish.Workspace(), scope.trajectory_id
    burnish.outcome(
        trajectory_id=run, source=field("source"), label=field("label"),
        evidence={field("evidence key"): field("evidence")},
    )  # fmt: skip
    verdict = Verdict(
        label="fail", verifier=field("verifier"), version=field("version"), evidence=field("seen")
    )
    workspace.append_verdict(run, verdict)
    workspace.append_outcome(Outcome(source="desk", label=field("given label")), trajectory_id=run)
    workspace.record_state(run, {"row": field("state")})


FACTS = [
    "source", "label", "evidence key", "evidence", "verifier", "version", "seen", "given label",
    "state",
]  # fmt: skip


def imported(field):
    user = {"role": "user", "parts": [{"type": "text", "content": field("message")}]}
    reply = {"role": "assistant", "parts": [{"type": "text", "content": field("reply")}]}
    failure = Failure(type=field("error type"), message=field("error"))
    run = Trajectory(
        id=uuid.uuid4().hex, agent=field("agent"), status="completed", thread_id=field("thread"),
        user=field("user"), task_id=field("task"), tags=[field("tag")], answer=field("answer"),
        metadata={field("metadata key"): field("metadata")}, final_state=field("state"),
        model_calls=[ModelCall(
            span_id="", parent_id=None, messages=[user], tools=[{"type": "function", "name": field("offered")}],
            reply=reply, policy=Policy(model=field("model")), finish_reason=field("finish"), error=failure,
        )],
        tool_runs=[ToolRun(
            span_id="", parent_id=None, name=field("tool"), call_id=field("call id"),
            arguments={"a": field("argument")}, raw_arguments=field("raw"), result=field("result"),
        )],
        outcomes=[Outcome(source=field("source"), label=field("label"), evidence=field("evidence"))],
    )  # fmt: skip
    workspace = burnish.Workspace()
    for event, blobs in events_of(run, 1, door(workspace.home), origin="imported"):
        workspace.writer().append(event, blobs)


IMPORTED = [
    "message", "reply", "error type", "error", "agent", "thread", "user", "task", "tag", "answer",
    "metadata key", "metadata", "state", "offered", "model", "finish", "tool", "call id",
    "argument", "raw", "result", "source", "label", "evidence",
]  # fmt: skip


def received(field):
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    attributes = {
        s.OPERATION: "invoke_agent", s.AGENT: field("agent"), s.CONVERSATION: field("thread"),
        s.USER: field("user"), s.SOURCE: field("source"), s.STATUS: "completed",
        s.INPUT: field("input"), s.ANSWER: field("answer"), "other": field("other"),
        field("attribute name", "name"): "x",
        s.INPUT_MESSAGES: json.dumps([{"role": "user", "parts": [{"type": "text", "content": field("message")}]}]),
    }  # fmt: skip
    span = spans.add()
    span.trace_id, span.span_id, span.name = uuid.uuid4().bytes, b"\x02" * 8, field("span name")
    span.start_time_unix_nano, span.end_time_unix_nano = 10**18, 10**18 + 1
    span.status.code, span.status.message = 2, field("status message")
    for key, value in attributes.items():
        span.attributes.append(KeyValue(key=key, value=AnyValue(string_value=value)))
    span.attributes.append(KeyValue(key="raw", value=AnyValue(bytes_value=field("bytes").encode())))
    event = span.events.add()
    event.name = field("event name", "exception")
    event.attributes.append(
        KeyValue(key="exception.message", value=AnyValue(string_value=field("exception")))
    )
    workspace = burnish.Workspace()
    Intake(workspace.writer(), door(workspace.home).value).take_request(request.SerializeToString())


RECEIVED = [
    "agent", "thread", "user", "source", "input", "answer", "other", "attribute name",
    "message", "span name", "status message", "bytes",
]  # fmt: skip
CHANNELS = {
    by_hand: BY_HAND,
    graph_of_langchain: LANGCHAIN,
    facts: FACTS,
    imported: IMPORTED,
    received: RECEIVED,
}
CLIENTS = {openai_client: OPENAI, openai_stream: OPENAI, openai_async: OPENAI}


@pytest.fixture
def recorded(tmp_path):
    """Plays a channel; returns all bytes of the workspace and its runs."""
    burnish.configure(home=tmp_path, redact="structured", fsync="never")

    def play(channel, field, *more):
        with production_faults():
            channel(field, *more)
        data = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
        return data, list(burnish.Workspace(tmp_path).trajectories())

    yield play
    settings.reset()


def check(data, runs, field):
    assert KEY.encode() not in data
    assert MAIL.encode() not in data
    assert [run.redacted for run in runs] == [True], field.chosen


def fields(channels):
    return [
        pytest.param(channel, name, id=f"{channel.__name__}: {name}")
        for channel, names in channels.items()
        for name in names
    ]


@pytest.mark.parametrize(("channel", "name"), fields(CHANNELS))
def test_a_secret_in_a_field_is_in_no_byte(recorded, channel, name):
    field = Field(name, f"{KEY} {MAIL}")

    check(*recorded(channel, field), field)


@pytest.mark.parametrize(("channel", "name"), fields(CLIENTS))
def test_a_secret_in_a_client_s_call_is_in_no_byte(recorded, url, channel, name):
    field = Field(name, f"{KEY} {MAIL}")

    check(*recorded(channel, field, url), field)


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.__name__)
def test_without_a_secret_nothing_says_that_it_was_redacted(recorded, channel):
    _, runs = recorded(channel, Field(None, KEY))

    assert [run.redacted for run in runs] == [False]


WORDS = st.text(st.characters(codec="utf-8", categories=["Ll", "Lu", "Lo"]), max_size=6)


@examples(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(BY_HAND), before=WORDS, after=WORDS, key=st.uuids())
def test_any_key_among_any_words_is_in_no_byte(recorded, name, before, after, key):
    secret = f"sk-proj-{key.hex}{key.hex[:12].upper()}"

    data, _ = recorded(by_hand, Field(name, f"{before} {secret} {after}"))

    assert secret.encode() not in data
