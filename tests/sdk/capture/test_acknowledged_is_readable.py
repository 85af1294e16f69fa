"""Accepted values can be read later; other values are refused or counted, and the agent continues."""

import datetime as dt
import decimal
import enum
import math
import uuid

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import burnish
from burnish import settings as burnish_settings
from burnish.capture import faults
from burnish.capture.api.scopes import record_state
from burnish.capture.recorder.sealing import FIELDS_DROPPED
from burnish.errors import CaptureError, UnreadableEvent
from burnish.journal import events as e
from burnish.journal.writer import JournalWriter, writer_for
from burnish.records import Outcome, Verdict
from burnish.testing import production_faults


class Plan(enum.Enum):
    FREE = "free"
    PAID = 7


class Word(str):
    """A subclass of str, as template engines and databases return."""


class Odd:
    def __repr__(self):
        raise RuntimeError("not even that")


KEY = uuid.UUID(int=5)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.builds(lambda: 10**5000),
    st.builds(Odd),
    st.floats(),
    st.text(max_size=8),
    st.text(st.characters(categories=["Cs"]), min_size=1, max_size=2),
    st.binary(max_size=4),
    st.sampled_from([Plan.FREE, Plan.PAID, Word("w"), KEY, int, decimal.Decimal("0.5")]),
    st.sampled_from([dt.date(2026, 1, 2), range(3), object(), ValueError("x"), (1, "a"), {1, 2}]),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
OFTEN = settings(
    max_examples=40,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # an example is small, and shrinking reads the disk
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def workspace(tmp_path):
    burnish.configure(home=tmp_path, fsync="never")
    yield burnish.Workspace(tmp_path)
    burnish_settings.reset()


def known(workspace):
    """Return all runs by id, as another process reads them."""
    report = workspace.read_report()
    assert report.unknown_events == 0
    return {run.id: run for run in burnish.Workspace(workspace.home).trajectories()}


@OFTEN
@given(
    facts=st.lists(
        st.fixed_dictionaries(
            {"source": ANYTHING},
            optional={
                "success": ANYTHING, "score": ANYTHING, "label": ANYTHING, "evidence": ANYTHING,
                "scope": ANYTHING,
            },
        ),
        min_size=1,
        max_size=8,
    )
)  # fmt: skip
def test_an_outcome_is_refused_or_readable(workspace, facts):
    taken = []
    for number, fact in enumerate(facts):
        with burnish.trace(agent="a") as scope:
            pass
        try:
            burnish.outcome(trajectory_id=scope.trajectory_id, **{"success": True, **fact})
        except CaptureError:
            continue
        taken.append((scope.trajectory_id, number))

    runs = known(workspace)
    for run_id, number in taken:
        (outcome,) = runs[run_id].outcomes
        given_success = facts[number].get("success", True)
        assert outcome.success == given_success, facts[number]
        assert outcome.score is None or math.isfinite(outcome.score)
        assert type(outcome.source) is str


@OFTEN
@given(thread=ANYTHING, tags=ANYTHING, task=st.fixed_dictionaries(
    {"id": ANYTHING, "user": ANYTHING, "attempt": ANYTHING, "source": ANYTHING,
     "environment": ANYTHING, "explore": ANYTHING}))  # fmt: skip
def test_a_scope_never_stops_the_agent_and_its_run_is_readable(workspace, thread, tags, task):
    with (
        production_faults(),
        burnish.task(**task),
        burnish.trace(agent="a", thread_id=thread, tags=tags) as scope,
    ):
        pass

    run = known(workspace)[scope.trajectory_id]
    assert run.status == "completed"
    assert all(type(tag) is str for tag in run.tags)
    assert {type(run.thread_id), type(run.user)} <= {str, type(None)}


@OFTEN
@given(
    messages=ANYTHING, tools=ANYTHING, model=ANYTHING, provider=ANYTHING, choice=ANYTHING,
    reply=ANYTHING,
    facts=st.dictionaries(
        st.sampled_from(["finish_reason", "response_id", "usage", "adapter", "arm", "token_ids",
                         "prompt_token_ids", "logprobs", "model", "sampled", "first_token_at",
                         "extras"]),
        ANYTHING, max_size=4),
)  # fmt: skip
def test_a_model_call_by_hand_is_readable_with_all_that_fits(
    workspace, messages, tools, model, provider, choice, reply, facts
):
    with (
        production_faults(),
        burnish.trace(agent="a") as scope,
        burnish.trace.model_call(
            messages, tools=tools, model=model, provider=provider, tool_choice=choice
        ) as call,
    ):
        call.reply(reply, **facts)

    run = known(workspace)[scope.trajectory_id]
    assert len(run.model_calls) == 1
    assert run.model_calls[0].ended_ns is not None


@OFTEN
@given(name=ANYTHING, arguments=ANYTHING, call_id=ANYTHING, raw=ANYTHING, result=ANYTHING)
def test_a_tool_run_by_hand_is_readable_with_all_that_fits(
    workspace, name, arguments, call_id, raw, result
):
    with (
        production_faults(),
        burnish.trace(agent="a") as scope,
        burnish.trace.tool_call(name, arguments, call_id=call_id, raw_arguments=raw) as call,
    ):
        call.result(result, artifact=arguments)
        record_state(result)

    run = known(workspace)[scope.trajectory_id]
    (tool,) = [*run.tool_runs, *run.memory]
    assert tool.ended_ns is not None
    assert tool.error is None
    assert run.state_origin == "inside" or run.final_state is None


@OFTEN
@given(
    verdict=st.fixed_dictionaries(
        {"label": ANYTHING | st.just("fail"), "verifier": ANYTHING | st.just("v")},
        optional={"version": ANYTHING, "score": ANYTHING, "evidence": ANYTHING,
                  "cost_usd": ANYTHING, "decided_ns": ANYTHING, "origin": ANYTHING},
    ),
    outcome=st.fixed_dictionaries(
        {"source": ANYTHING | st.just("crm")},
        optional={"success": ANYTHING, "score": ANYTHING, "label": ANYTHING, "evidence": ANYTHING,
                  "reported_ns": ANYTHING, "scope": ANYTHING, "origin": ANYTHING}),
    state=ANYTHING,
)  # fmt: skip
def test_facts_of_a_workspace_are_refused_or_readable(workspace, verdict, outcome, state):
    with burnish.trace(agent="a") as scope:
        pass
    taken = []
    for append in (
        lambda: workspace.append_verdict(scope.trajectory_id, Verdict(**verdict)),
        lambda: workspace.append_outcome(Outcome(**outcome), trajectory_id=scope.trajectory_id),
    ):
        try:
            append()
        except CaptureError:
            taken.append(0)
        else:
            taken.append(1)
    workspace.record_state(scope.trajectory_id, state)

    run = known(workspace)[scope.trajectory_id]
    assert [len(run.verdicts), len(run.outcomes)] == taken


CERTAIN = [
    ({"success": 1}, "success", True),
    ({"success": 0}, "success", False),
    ({"score": 2}, "score", 2.0),
    ({"score": decimal.Decimal("0.25")}, "score", 0.25),
    ({"label": 5}, "label", "5"),
    ({"success": True, "source": KEY}, "source", str(KEY)),
    ({"label": Plan.FREE}, "label", "free"),
    ({"label": Plan.PAID}, "label", "7"),
]


@pytest.mark.parametrize(("fact", "name", "read"), CERTAIN, ids=lambda value: str(value)[:30])
def test_a_value_of_a_certain_meaning_is_converted(workspace, fact, name, read):
    with burnish.trace(agent="a", thread_id=5) as scope:
        pass

    burnish.outcome(thread_id=5, **{"source": "crm", **fact})

    run = known(workspace)[scope.trajectory_id]
    (outcome,) = run.outcomes
    assert run.thread_id == "5"
    assert getattr(outcome, name) == read
    assert type(getattr(outcome, name)) is type(read)


def test_scalars_of_numpy_are_taken_as_what_they_are(workspace):
    numpy = pytest.importorskip("numpy")
    with (
        burnish.trace(agent="a", thread_id=numpy.int64(7)) as scope,
        burnish.trace.model_call("q", model="m") as call,
    ):
        call.reply("a", token_ids=numpy.array([1, 2]), logprobs=numpy.array([-0.5, -1.0]))

    burnish.outcome(
        thread_id="7",
        success=numpy.bool_(False),
        score=numpy.float32(0.5),
        source=numpy.str_("crm"),
    )

    run = known(workspace)[scope.trajectory_id]
    assert [(o.source, o.success, o.score) for o in run.outcomes] == [("crm", False, 0.5)]
    assert (run.model_calls[0].token_ids, run.model_calls[0].logprobs) == ([1, 2], [-0.5, -1.0])
    assert run.losses == {}


REFUSED = [
    {"success": "true"}, {"success": "yes"}, {"success": 2}, {"success": 1.5}, {"success": []},
    {"score": math.nan}, {"score": math.inf}, {"score": "0.5"}, {"score": True}, {"label": ["x"]},
    {"label": 1.5}, {"success": True, "source": ""}, {"success": True, "source": None},
    {"success": True, "source": ["crm"]}, {"success": True, "scope": "all"}, {"score": 10**400},
    {"success": True, "thread_id": 5.0}, {"success": True, "thread_id": True},
]  # fmt: skip


@pytest.mark.parametrize("fact", REFUSED, ids=str)
def test_a_value_of_no_certain_meaning_is_refused_before_anything_is_written(journal, fact):
    with pytest.raises(CaptureError) as refused:
        burnish.outcome(**{"thread_id": "t", "source": "crm", **fact})

    assert refused.value.expected
    assert refused.value.fix
    assert journal.events == []


def test_what_a_scope_could_not_take_is_counted_and_the_rest_is_kept(journal):
    with (
        production_faults(),
        burnish.task(id=["x"], user="u", attempt="2"),
        burnish.trace(agent="a", thread_id=1.5),
    ):
        pass

    (started,) = journal.of(e.RunStarted)
    assert (started.task_id, started.user, started.attempt, started.thread_id) == (
        None, "u", 2, None,
    )  # fmt: skip
    assert {kind for kind in faults.counts() if "task(id)" in kind or "trace(thread_id)" in kind}
    assert len(faults.counts()) == 2


def test_a_source_of_another_name_is_never_taken_for_production(journal):
    with production_faults(), burnish.task(source="evaluate"), burnish.trace(agent="a"):
        pass

    assert journal.of(e.RunStarted)[0].source == "evaluate"


def test_a_fact_of_a_reply_that_fits_nowhere_is_a_loss_of_its_run(journal):
    with burnish.trace(agent="a"), burnish.trace.model_call("q", model="m") as call:
        call.reply("a", usage=5, finish_reason=["stop"], response_id=KEY)

    (ended,) = journal.of(e.ModelEnded)
    assert (ended.usage, ended.finish_reason, ended.response_id) == (None, None, str(KEY))
    assert journal.of(e.RunEnded)[0].losses == {FIELDS_DROPPED: 2}


WRONG = [
    e.OutcomeReported(at=1, source="crm", success=1),
    e.OutcomeReported(at=1, source=5, success=True),
    e.VerdictGiven(at=1, trajectory="t", verifier="v", version=1, label="success"),
    e.RunStarted(at=1, trajectory="t", span="s", trace="t", agent="a", thread_id=5),
    e.RunStarted(at=1, trajectory="t", span="s", trace="t", agent="a", tags=[1]),
    e.RunStarted(at=1, trajectory="t", span="s", trace="t", agent=Word("a")),
    e.ModelEnded(at=1, trajectory="t", span="s", usage={"input_tokens": 1.5}),
    e.SpanReceived(at=1, trajectory="t", span="s", trace="t", kind="agent", name=["x"]),
    e.StateRecorded(at=10**5000, trajectory="t", state=b"x" * 16),
]


@pytest.mark.parametrize("event", WRONG, ids=lambda event: type(event).__name__)
def test_the_encoder_acknowledges_no_event_that_a_reader_would_drop(tmp_path, event):
    writer = JournalWriter(tmp_path)

    with pytest.raises(UnreadableEvent):
        writer.append(event)
    with pytest.raises(UnreadableEvent):
        writer.append_all([e.Dropped(at=1, counts={"x": 1}), event])

    assert writer.folder is None
    writer_for(tmp_path).close()
