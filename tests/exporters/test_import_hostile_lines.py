"""A line of any shape becomes a readable run, or is dropped with reason and number; it never ends an import."""

import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import burnish
from burnish import settings as burnish_settings
from burnish_exporters import build_dataset
from burnish_exporters.importing import ImportFacts, import_runs

HUMAN = ImportFacts(agent="support", source="human")
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def line(**facts):
    messages = [
        {"role": "user", "content": "Where is order 7?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "Oslo"},
        {"role": "assistant", "content": "In Oslo."},
    ]
    return {"messages": messages, "success": True, **facts}


def message(**fields):
    return {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "a", **fields},
        ]
    }


def deep(times):
    return "[" * times + "]" * times


WRONG = [
    line(task_id=["x"]), line(task_id={"a": 1}), line(task_id=1.5), line(user=["u"]), line(user=True),
    line(success="yes"), line(success=2), line(success=[1]), line(tags=5), line(tags=[["x"]]),
    line(tags={"a": 1}), line(tools=5), line(tools=["x"]), line(tools=[{"type": "function"}]),
    line(tools=[{"type": "function", "function": {"name": ["x"]}}]), message(role=["assistant"]),
    message(role=5), message(content=5), message(content=[5]), message(content=[{"text": 5}]),
    message(tool_calls=5), message(tool_calls=[5]), message(tool_calls=[{"id": 5, "function": {"name": "x"}}]),
    message(tool_calls=[{"id": "c", "function": {"name": 5}}]),
    message(tool_calls=[{"id": "c", "function": {"name": "x", "arguments": [1]}}]),
    message(reasoning_content=["x"]), {"conversations": [{"from": ["human"], "value": "x"}]},
    {"conversations": [{"from": "gpt", "value": ["x"]}]}, {"conversations": {"from": "gpt"}},
]  # fmt: skip


@pytest.fixture
def imported(tmp_path):
    """Imports lines into a workspace of their own; gives the report and the runs."""
    burnish.configure(home=tmp_path / "home", fsync="never")

    def take(*lines):
        path = tmp_path / "runs.jsonl"
        path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
        report = import_runs(path, burnish.Workspace(), HUMAN)
        return report, list(burnish.Workspace().trajectories())

    yield take
    burnish_settings.reset()


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: json.dumps(value)[-70:])
def test_a_value_of_another_type_drops_its_line_alone(imported, wrong):
    report, runs = imported(line(), wrong, line(task_id="other"))

    assert (report.imported, sum(report.dropped.values()), len(runs)) == (2, 1, 2)
    assert [(one.line, one.reason) for one in report.examples] == [(2, *report.dropped)]


@pytest.mark.parametrize("times", [101, 5_000, 100_000])
@pytest.mark.parametrize("place", ["final_state", "task_id", "messages", "unknown"])
def test_deep_nesting_drops_its_line_alone(imported, times, place):
    text = json.dumps(line(marked=0)).replace('"marked": 0', f'"{place}": {deep(times)}')

    report, runs = imported(line(), text)

    assert (report.dropped, len(runs)) == ({"nested too deeply": 1}, 1)


def test_values_of_a_certain_meaning_are_taken(imported):
    _, (run,) = imported(line(task_id=7, user=8, success=1, tags=[9, "gold"]))

    assert (run.task_id, run.user, run.tags) == ("7", "8", ["9", "gold"])
    assert [(o.success, o.origin) for o in run.outcomes] == [(True, "imported")]


@pytest.mark.parametrize("mark", [{"weight": 0}, {"train": False}])
def test_a_reply_that_is_not_to_be_learned_is_context_alone(imported, mark):
    given = line()
    given["messages"][1] |= mark
    imported(given)

    version = build_dataset(burnish.Workspace(), agent="support", verify=["outcome"])

    (row,) = version.rows()
    assert [m["loss"] for m in row["messages"] if m["role"] == "assistant"] == [False, True]
    (back,) = version.export("openai")
    assert [m.get("weight") for m in back["messages"] if m["role"] == "assistant"] == [0, None]


def test_a_turn_of_sharegpt_with_a_system_prompt_keeps_its_weight(imported):
    turns = [
        {"from": "human", "value": "q"}, {"from": "gpt", "value": "bad", "weight": 0},
        {"from": "human", "value": "again"}, {"from": "gpt", "value": "good"},
    ]  # fmt: skip
    imported({"system": "You help.", "conversations": turns, "success": True})

    version = build_dataset(burnish.Workspace(), agent="support", verify=["outcome"])

    (row,) = version.rows()
    assert [(m["content"], m["loss"]) for m in row["messages"] if m["role"] == "assistant"] == [
        ("bad", False),
        ("good", True),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
NAMES = st.sampled_from(
    ["messages", "conversations", "system", "tools", "task_id", "user", "success", "tags", "final_state"]
)  # fmt: skip


@settings(
    max_examples=60,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(odd=st.lists(st.dictionaries(NAMES, JSON, max_size=3), min_size=1, max_size=5))
def test_whatever_a_line_holds_what_is_imported_is_readable(imported, odd):
    lines = [{**line(number=number), **given} for number, given in enumerate(odd)]
    before = len(list(burnish.Workspace().trajectories()))

    report, runs = imported(*lines)

    assert report.imported + report.known + sum(report.dropped.values()) == len(lines)
    assert len(runs) - before == report.imported
