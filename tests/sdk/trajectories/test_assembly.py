"""Spans of any sender are assembled into trajectories."""

from __future__ import annotations

import random

import pytest

from burnish.records import Span
from burnish.telemetry import semconv as s
from burnish.trajectories import assemble
from burnish.workspace import Workspace

TEXT = {"type": "text", "content": "hello"}


def text(role, content):
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def span(kind, span_id, start, end, trajectory="t", parent="run", **attributes) -> Span:
    named = {getattr(s, key): value for key, value in attributes.items()}
    return Span(
        trace_id="0" * 31 + "1",
        span_id=span_id,
        parent_id=parent,
        kind=kind,
        name=kind,
        start_ns=start,
        end_ns=end,
        status=(attributes.get("ERROR_TYPE") and "error") or "ok",
        attributes={s.TRAJECTORY: trajectory, **named},
    )


def root(start=1, end=100, span_id="run", **attributes) -> Span:
    given = {"AGENT": "support", "STATUS": "completed", "CONVERSATION": "thread", **attributes}
    trajectory = given.pop("trajectory", "t")
    return span("agent", span_id, start, end, trajectory, None, **given)


def call(span_id, start, messages, reply=None, **attributes) -> Span:
    replies = {} if reply is None else {"OUTPUT_MESSAGES": [reply]}
    return span(
        "model", span_id, start, start + 1, INPUT_MESSAGES=messages, **replies, **attributes
    )


def only(spans):
    (trajectory,) = assemble(spans)
    return trajectory


def asks(call_id):
    return {"role": "assistant", "parts": [{"type": "tool_call", "id": call_id, "name": "x"}]}


def test_spans_in_any_order_and_more_than_once_give_the_same_trajectory():
    spans = [
        root(),
        call("m1", 2, [text("user", "hi")], asks("c1")),
        span("tool", "x1", 4, 5, TOOL_NAME="x", TOOL_CALL_ID="c1", TOOL_RESULT="r"),
        call("m2", 6, [text("user", "hi")], text("assistant", "done")),
    ]
    expected = only(spans)
    for seed in range(10):
        shuffled = spans * 2
        random.Random(seed).shuffle(shuffled)
        assert only(shuffled) == expected

    assert [c.span_id for c in expected.model_calls] == ["m1", "m2"]
    assert expected.answer == "done"
    assert expected.losses == {}
    assert (expected.started_ns, expected.ended_ns) == (1, 100)


def test_a_resumed_run_joins_its_trajectory_and_its_end_decides():
    trajectory = only(
        [
            root(1, 10, STATUS="interrupted"),
            call("m1", 2, [text("user", "hi")]),
            root(20, 30, "again", RESUMED=True),
            call("m2", 21, [text("user", "hi")], text("assistant", "yes")),
        ]
    )

    assert trajectory.status == "completed"
    assert (trajectory.started_ns, trajectory.ended_ns) == (1, 30)
    assert len(trajectory.model_calls) == 2


def test_an_agent_inside_an_agent_does_not_decide():
    inner = span("agent", "inner", 3, 9, parent="m0", AGENT="helper", STATUS="failed", TAGS=["b"])
    trajectory = only([root(TAGS=["a"]), inner, call("m1", 4, [text("user", "hi")])])

    assert (trajectory.agent, trajectory.status, trajectory.tags) == ("support", "completed", ["a"])


@pytest.mark.parametrize(
    ("spans", "losses"),
    [
        ([root(), call("m", 2, [])], {}),
        ([root(), span("model", "m", 2, None)], {"unfinished_spans": 1}),
        ([root(end=None, STATUS="running"), span("model", "m", 2, None)], {}),
        ([root(end=None, STATUS="abandoned"), call("m", 2, [])], {"unfinished_spans": 1}),
        ([call("m", 2, [])], {"missing_root": 1}),
        ([root(LOSSES={"dropped_frames": 3}), call("m", 2, [], LOSSES={"missing_blobs": 1})],
         {"dropped_frames": 3, "missing_blobs": 1}),
        ([root(), span("fact", "d", 3, 3, FACT="losses", LOSSES={"queue": 2})], {"queue": 2}),
        ([root(), call("m", 2, [], asks("c1")), span("tool", "x", 3, 4, TOOL_CALL_ID="c2")],
         {"unmatched_tool_ids": 1}),
        ([root(), call("m", 2, [], asks("c1")), span("tool", "x", 3, 4, TOOL_CALL_ID="c1")], {}),
        ([root(), call("m", 5, [asks("c1")]), span("tool", "x", 3, 4, TOOL_CALL_ID="c1")], {}),
        ([root(), span("tool", "x", 3, 4, TOOL_CALL_ID="c1")], {}),
    ],
)  # fmt: skip
def test_what_was_lost_is_counted_by_kind(spans, losses):
    assert only(spans).losses == losses


def test_a_task_is_named_by_its_conversation_and_not_by_its_policy():
    def task(*messages, **attributes):
        return only([root(), call("m", 2, list(messages), **attributes)]).task_id

    plain = task(text("user", "find  order 7"))

    assert plain is not None
    assert task(text("system", "be brief"), text("user", "find order 7")) == plain
    assert task(text("user", " find order\n7 "), TOOL_DEFINITIONS=[{"name": "a"}]) == plain
    assert task({**text("user", "find order 7"), "id": "message-1"}) == plain
    assert task(text("user", "find order 7"), text("assistant", "which?")) == plain
    assert task(text("user", "find order 8")) != plain
    assert task(text("user", "find order 7"), text("assistant", "a"), text("user", "go")) != plain
    assert task(text("system", "nobody speaks")) is None
    assert only([root(TASK="given"), call("m", 2, [text("user", "x")])]).task_id == "given"


def test_a_policy_is_named_once_for_all_its_calls():
    system, user = text("system", "be brief"), text("user", "hi")
    tools = [{"type": "function", "name": "x"}]
    trajectory = only(
        [
            root(),
            call("m1", 2, [system, user], REQUEST_MODEL="tiny", TOOL_DEFINITIONS=tools),
            call("m2", 3, [system, user], REQUEST_MODEL="tiny", TOOL_DEFINITIONS=list(tools)),
            call("m3", 4, [user], REQUEST_MODEL="tiny", ADAPTER="a@1", ARM="canary"),
        ]
    )
    first, second = trajectory.policies

    assert (first.model, first.adapter, first.arm) == ("tiny", None, None)
    assert first.prompt_hash
    assert first.tools_hash
    assert (second.adapter, second.arm, second.prompt_hash) == ("a@1", "canary", None)


def test_the_newest_outcome_of_a_source_and_verdict_of_a_verifier_count():
    def fact(span_id, at, fact, name, **given):
        return span("fact", span_id, at, at, FACT=fact, EVALUATION_NAME=name, **given)

    trajectory = only(
        [
            root(),
            fact("1", 200, "outcome", "crm", SUCCESS=True),
            fact("2", 300, "outcome", "crm", SUCCESS=False, EVIDENCE={"why": None}),
            fact("3", 250, "outcome", "survey", SCORE=0.5),
            fact("4", 200, "verdict", "goal", LABEL="fail"),
            fact("5", 300, "verdict", "goal", LABEL="success", VERIFIER_VERSION="2"),
            fact("6", 210, "verdict", "judge", LABEL="surely good"),
            span("fact", "7", 300, 300, FACT="state", FINAL_STATE={"rows": 1}),
            span("fact", "8", 400, 400, FACT="state", FINAL_STATE={"rows": 2}),
        ]
    )

    assert [(o.source, o.success, o.score) for o in trajectory.outcomes] == [
        ("survey", None, 0.5),
        ("crm", False, None),
    ]
    assert trajectory.outcomes[1].evidence == {"why": None}
    assert [(v.verifier, v.label, v.version) for v in trajectory.verdicts] == [
        ("judge", "unknown", "1"),
        ("goal", "success", "2"),
    ]
    assert trajectory.final_state == {"rows": 2}


def of_thread(at, **given):
    made = span("fact", f"o{at}", at, at, FACT="outcome", EVALUATION_NAME="crm", **given)
    attributes = {k: v for k, v in made.attributes.items() if k != s.TRAJECTORY}
    return Span(
        **{**{f: getattr(made, f) for f in made.__struct_fields__}, "attributes": attributes}
    )


@pytest.mark.parametrize(
    ("at", "scope", "labelled"),
    [
        (5, "last", []),
        (15, "last", ["a"]),
        (25, "last", ["a"]),
        (35, "last", ["b"]),
        (99, "last", ["c"]),
        (1, "thread", ["a", "b", "c"]),
    ],
)
def test_an_outcome_of_a_thread_means_the_last_attempt_that_had_ended(at, scope, labelled):
    spans = [
        root(1, 10, "ra", trajectory="a"),
        root(20, 30, "rb", trajectory="b"),
        root(40, 50, "rc", trajectory="c"),
        root(45, 48, "rd", trajectory="d", CONVERSATION="another"),
        of_thread(at, CONVERSATION="thread", SCOPE=scope, SUCCESS=True),
    ]

    assert [t.id for t in assemble(spans) if t.outcomes] == labelled


def test_spans_of_another_tool_become_a_trajectory_of_their_trace():
    foreign = Span(
        trace_id="f" * 32,
        span_id="1" * 16,
        parent_id=None,
        kind="model",
        name="chat gpt",
        start_ns=5,
        end_ns=6,
        status="ok",
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt",
            "gen_ai.request.temperature": 0.5,
            "gen_ai.system_instructions": [TEXT],
            "gen_ai.input.messages": [text("user", "hi")],
            "gen_ai.output.messages": [text("assistant", "yo")],
            "gen_ai.usage.input_tokens": 4,
            "gen_ai.response.finish_reasons": ["stop"],
        },
    )
    trajectory = only([foreign])
    (made,) = trajectory.model_calls

    assert trajectory.id == "f" * 32
    assert made.messages == [{"role": "system", "parts": [TEXT]}, text("user", "hi")]
    assert (made.sampling, made.finish_reason) == ({"temperature": 0.5}, "stop")
    assert made.usage.input_tokens == 4


def test_facts_without_a_run_are_no_trajectory():
    assert list(assemble([span("fact", "s", 1, 1, FACT="state", FINAL_STATE=1)])) == []


def test_an_empty_workspace_has_no_trajectories(tmp_path):
    assert list(Workspace(tmp_path / "nowhere").trajectories()) == []
    assert not (tmp_path / "nowhere").exists()
