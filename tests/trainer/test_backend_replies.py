"""A server that sends something else than a completion, or takes no request, says nothing about an adapter."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import openai
import pytest

from burnish.errors import EvaluationError, ServingError, UnreadableReply
from burnish.serving.embedded.engine import Engine
from burnish.serving.http.server import make_app, running
from burnish.serving.remote.chat_model import make_remote_chat
from burnish_trainer import collect, evaluate
from burnish_trainer.evaluation import RunOptions
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.attempts.refusals import explain_no_grades, set_refusals_apart
from burnish_trainer.evaluation.attempts.watch import infrastructure_error
from burnish_trainer.evaluation.notes import evaluation_notes
from burnish_trainer.gate import decide

PAGE = "<html><body>Sign in to the proxy</body></html>"
TOO_LONG = "This model's maximum context length is 512 tokens"
ODD_BODIES = {
    "page": (200, "text/html", PAGE),
    "page as JSON": (200, "application/json", PAGE),
    "empty object": (200, "application/json", "{}"),
    "error": (200, "application/json", '{"error": {"message": "the worker died"}}'),
    "error text": (200, "application/json", '{"error": "the worker died"}'),
    "error of the server": (
        200,
        "application/json",
        '{"error": {"message": "worker died", "code": 500}}',
    ),
    "cut": (200, "application/json", '{"id": "x", "choices": [{"index": 0, "mess'),
    "no choices": (200, "application/json", '{"id": "x", "choices": []}'),
    "null": (200, "application/json", '{"id": "x", "choices": null}'),
    "no message": (200, "application/json", '{"id": "x", "choices": [{"index": 0}]}'),
    "nothing": (200, "application/json", ""),
    "list": (200, "application/json", "[]"),
    "payment": (402, "application/json", '{"error": {"message": "no credit"}}'),
    "proxy": (407, "text/html", PAGE),
    "method": (405, "text/html", PAGE),
    "gone": (410, "text/html", PAGE),
}


class OddServer:
    """An application that answers chat requests with given bodies, and passes the others on.

    Args:
        app: The application that answers the rest.
        choose: Returns status, type and body for a chat request, or None to pass it on.
    """

    def __init__(self, app: Any, choose: Callable[[dict[str, Any]], Any]) -> None:
        self._app, self._choose = app, choose
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/v1/chat/completions":
            await self._app(scope, receive, send)
            return
        self.asked += 1
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        odd = self._choose(json.loads(body))
        if odd is not None:
            status, kind, text = odd
            headers = [(b"content-type", kind.encode()), (b"retry-after", b"0")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": text.encode()})
            return
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Any:
            return next(given, None) or await receive()

        await self._app(scope, again, send)


@contextlib.contextmanager
def serving(shop, base, choose) -> Iterator[OddServer]:
    """Serve the base model, and name the address in burnish.toml."""
    engine = Engine(base)
    app = OddServer(make_app(base, engine=engine), choose)
    path = shop / "burnish.toml"
    text = path.read_text()
    line = f'base_model = "{base}"\n'
    try:
        with running(app) as address:
            app.address = address
            path.write_text(text.replace(line, f'{line}backend = "{address}"\n', 1))
            yield app
    finally:
        path.write_text(text)
        engine.close()


@pytest.fixture
def odd_app(base):
    """Serve the base model behind an application whose odd answer a test chooses."""
    odd: dict[str, Any] = {"answer": None}
    engine = Engine(base)
    app = OddServer(make_app(base, engine=engine), lambda body: odd["answer"])
    with running(app) as address:
        odd["address"] = address
        yield odd
    engine.close()


def tasks(n=4):
    return [
        {"id": f"heldout-{i}", "number": i, "input": {"messages": [("user", f"order {i}")]}}
        for i in range(20, 20 + n)
    ]


def words_of(name):
    return "worker died" if "error" in name else "Sign in" if "page" in name else ""


@pytest.mark.parametrize("name", sorted(ODD_BODIES))
def test_an_answer_that_is_no_completion_is_an_error_of_the_infrastructure(odd_app, base, name):
    odd_app["answer"] = ODD_BODIES[name]
    chat = make_remote_chat(odd_app["address"], str(base), retries=0)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the kind is what is tested
        chat.invoke("order 1")
    told = infrastructure_error(raised.value)
    assert told is not None, raised.value
    assert words_of(name) in told
    if ODD_BODIES[name][0] == 200:
        assert isinstance(raised.value, UnreadableReply)
    with pytest.raises(Exception) as streamed:  # noqa: PT011
        list(chat.stream("order 1"))
    assert infrastructure_error(streamed.value) is not None, streamed.value


@pytest.mark.parametrize(
    "error",
    [
        {"message": TOO_LONG, "code": 400},
        {"message": TOO_LONG, "type": "invalid_request_error"},
        {"message": TOO_LONG, "type": "BadRequestError", "code": "context_length_exceeded"},
    ],
)
def test_a_refusal_of_the_conversation_with_status_200_is_none(odd_app, base, error):
    odd_app["answer"] = (200, "application/json", json.dumps({"error": error}))
    chat = make_remote_chat(odd_app["address"], str(base), retries=0)
    with pytest.raises(ServingError, match="maximum context length") as raised:
        chat.invoke("order 1")
    assert infrastructure_error(raised.value) is None


def test_a_completion_that_breaks_the_schema_of_the_answer_is_the_models_fault(odd_app, base):
    from pydantic import BaseModel

    class Total(BaseModel):
        total: int

    message = {"role": "assistant", "content": '{"total": "ma'}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    odd_app["answer"] = (200, "application/json", json.dumps({"id": "x", "choices": choices}))
    chat = make_remote_chat(odd_app["address"], str(base), retries=0)
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - pydantic's or the parser's
        chat.with_structured_output(Total, method="json_schema").invoke("order 1")
    assert infrastructure_error(raised.value) is None
    # Arguments of tools that do not parse reach the agent as such.
    call = {"id": "c", "type": "function", "function": {"name": "total", "arguments": '{"total'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    odd_app["answer"] = (200, "application/json", json.dumps({"id": "x", "choices": choices}))
    assert chat.invoke("order 1").invalid_tool_calls[0]["args"] == '{"total'


def test_errors_of_a_tools_own_http_client_are_the_agents():
    request = httpx.Request("GET", "http://no-such-host/")
    refused = httpx.ConnectError("no such host", request=request)
    assert infrastructure_error(refused) is None
    assert infrastructure_error(refused, in_call=True).startswith("ConnectError")


def stream_error(body):
    request = httpx.Request("POST", "http://there/v1/chat/completions")
    return openai.APIError("no", request=request, body=body)


def test_an_error_event_of_a_stream_is_read_by_its_kind():
    assert infrastructure_error(stream_error({"message": "no", "type": "server_error"}))
    assert infrastructure_error(stream_error({"message": "no"}))
    assert infrastructure_error(stream_error({"type": "invalid_request_error"})) is None


@pytest.mark.slow
def test_odd_answers_in_an_evaluation_are_counted_apart_with_the_servers_words(
    shop, base, monkeypatch
):
    left = [3 * 2]

    def choose(body):
        left[0] -= 1
        return ODD_BODIES["page"] if left[0] >= 0 else None

    with serving(shop, base, choose):
        found = evaluate("shop", adapters=[None], tasks=tasks(6), options=RunOptions(concurrency=1))
    lost = found.extras["infrastructure"]["before"]["errors"]
    assert sum(lost.values()) == 2
    assert all("Sign in to the proxy" in error for error in lost)
    assert found.pools["heldout"].before.total == 4
    assert any("Sign in to the proxy" in note for note in evaluation_notes(found))
    decision = decide(found)
    assert decision.decision != "promote"
    assert any("Sign in to the proxy" in reason for reason in decision.reasons)


@pytest.mark.slow
def test_a_backend_that_refuses_every_first_request_is_named(shop, base):
    refusal = json.dumps({"error": {"message": "tools are not supported here", "code": 400}})
    with serving(shop, base, lambda body: (400, "application/json", refusal)) as app:
        with pytest.raises(EvaluationError) as raised:
            evaluate("shop", adapters=[None, None], tasks=tasks(4))
        assert app.asked == 8  # refusals are not cached: the other arm is made
        found = collect("shop", tasks(2))
    told = str(raised.value)
    assert "8 of 8 attempts met an error of the infrastructure" in told
    assert "refuses the first request of nearly every attempt" in told
    assert "tools are not supported here" in told
    assert "expected a backend that takes the requests of the agent" in told
    assert sum(found.faults.values()) == 2


@pytest.mark.slow
def test_a_refusal_of_one_task_stays_a_failure(shop, base):
    refusal = json.dumps({"error": {"message": TOO_LONG, "code": 400}})

    def choose(body):
        long = body["messages"][-1]["content"].endswith("order 21")
        return (400, "application/json", refusal) if long else None

    with serving(shop, base, choose):
        found = evaluate("shop", adapters=[None], tasks=tasks(4))
    labels = {one["task_id"]: one for one in found.extras["attempts"]["before"]}
    assert labels["heldout-21"]["label"] == "fail"
    assert labels["heldout-21"]["infrastructure"] is False
    assert found.pools["heldout"].before.total == 4
    assert any(TOO_LONG[:30] in note for note in evaluation_notes(found))


def results(refused, all_, **more):
    return [
        AttemptResult(
            task_id=f"t{i}",
            pool="heldout",
            kind="k",
            attempt=1,
            label="fail",
            refusal="BadRequestError: no" if i < refused else None,
            **more,
        )
        for i in range(all_)
    ]


@pytest.mark.parametrize(
    ("refused", "prompts", "apart"),
    [
        ((10, 10), (None, None), (10, 10)),
        ((9, 10), (None, None), (9, 10)),
        (
            (10, 0),
            (None, None),
            (10, 0),
        ),  # the same requests: only the backend can distinguish them
        ((0, 10), (None, None), (0, 10)),
        ((5, 5), (None, None), (0, 0)),  # half of the tasks are too long for the model
        ((0, 10), (None, "p@1"), (0, 0)),  # the prompt may be too long
        ((10, 10), (None, "p@1"), (10, 10)),
    ],
)
def test_refusals_are_set_apart_where_no_version_can_cause_them(refused, prompts, apart):
    arms = [results(n, 10) for n in refused]
    versions = [ArmVersion(None, prompts[0]), ArmVersion("a@1", prompts[1])]
    found = set_refusals_apart(versions, arms)
    assert tuple(sum(r.infrastructure for r in arm) for arm in found) == apart
    assert all((r.label == "unknown") == r.infrastructure for arm in found for r in arm)


def test_the_reason_without_any_verdict_is_named_by_its_cause():
    def told(**more):
        fields = {"task_id": "t", "pool": "heldout", "kind": "k", "attempt": 1, "label": "unknown"}
        one = AttemptResult(**(fields | more))
        return str(explain_no_grades("shop", [[one] * 3, [one] * 3]))

    crash = told(reason="crash: KeyError: 'total'", trajectory_id="r1")
    assert "6 of 6 attempts got no verdict of success or fail: crash: KeyError: 'total'" in crash
    assert "burnish traces show r1" in crash
    assert "{" not in crash
    closed = told(
        reason="the environment did not open: OSError", infrastructure=True, fault_of="environment"
    )
    assert "an error of the environment" in closed
    assert "expected an environment that opens" in closed
    assert "backend" not in closed
    late = told(reason="APITimeoutError: late", infrastructure=True, fault_of="backend")
    assert "expected a backend that answers" in late
    limit = told(status="skipped", reason="the limit of 60 tokens was reached")
    assert "raise token_limit in [agent.shop.evaluate]" in limit


def test_lost_rollouts_name_what_they_were_lost_to(capsys):
    from burnish.errors import BackendUnavailable
    from burnish_trainer.evaluation.runner import RunCollection
    from burnish_trainer.rounds.data import _require_runs

    def lost(source):
        fields = {"infrastructure": True, "fault_of": source, "label": "unknown"}
        made = results(0, 4)
        ended = [msgspec.structs.replace(one, reason=f"{source} away", **fields) for one in made]
        return RunCollection([*ended, *results(0, 1)], 1.0)

    with pytest.raises(EvaluationError, match="4 of 5 fresh runs met an error of the environment"):
        _require_runs("shop", lost("environment"))
    with pytest.raises(BackendUnavailable, match="expected a backend that answers"):
        _require_runs("shop", lost("backend"))
    _require_runs("shop", RunCollection(results(0, 5), 1.0))
