"""Models read keys in an order: arguments, schemas and messages keep it from the call to the row."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver

import burnish
from burnish.journal.events import canonical, from_json, ordered_json
from burnish.testing import ScriptedChatModel
from burnish_exporters import build_dataset
from burnish_exporters.dataset.parquet import decode_row, encode_row, keeps_order
from burnish_exporters.rows.canonical_json import stable_json
from burnish_exporters.rows.row import Row, chat_tool

LARGE = 2**70
ARGUMENTS = {"to": "Oslo", "klass": "b", "of": {"z": 1, "a": 2}}


def book(to: str, klass: str, of: dict) -> str:
    """Books."""
    return "booked"


@pytest.fixture
def rows(home):
    """Rows of a run whose second turn sees the call of the first in its history."""
    call = {"name": "book", "args": ARGUMENTS, "id": "c1", "type": "tool_call"}
    model = ScriptedChatModel(
        script=[AIMessage("", tool_calls=[call]), AIMessage("Done."), AIMessage("Bye.")]
    )
    graph = burnish.wrap(create_agent(model, [book], checkpointer=InMemorySaver()), agent="a")
    for question in ("Book Oslo.", "Thanks."):
        with burnish.task(id=question):
            graph.invoke({"messages": [("user", question)]}, {"configurable": {"thread_id": "t"}})
        burnish.outcome(thread_id="t", success=True, source="crm")
        burnish.flush()
    return list(build_dataset(burnish.Workspace(), agent="a", verify=["outcome"]).rows())


def test_arguments_keep_the_order_of_the_call_in_replies_and_in_histories(rows):
    assert len(rows) == 2
    for row in rows:
        (call,) = [call for m in row["messages"] for call in m.get("tool_calls") or ()]
        assert list(call) == ["id", "type", "function"]
        assert list(call["function"]) == ["name", "arguments"]
        assert call["function"]["arguments"] == json.dumps(ARGUMENTS)
        assert {next(iter(message)) for message in row["messages"]} == {"role"}


def test_schemas_are_as_they_were_sent(rows):
    (tool,) = rows[0]["tools"]

    assert list(tool) == ["type", "function"]
    assert list(tool["function"]) == ["name", "description", "parameters"]
    assert list(tool["function"]["parameters"]["properties"]) == ["to", "klass", "of"]


def test_a_schema_in_any_order_is_kept():
    tool = {
        "type": "function",
        "function": {
            "name": "book",
            "parameters": {
                "type": "object",
                "properties": {"to": {}, "from": {}, "class": {}},
                "required": ["from"],
            },
            "description": "Books.",
        },
    }

    assert json.dumps(chat_tool(tool)) == json.dumps(tool)


def test_a_flat_schema_becomes_a_nested_one_with_its_parameters():
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}

    flat = chat_tool({"name": "f", "description": "F.", "input_schema": schema})

    assert json.dumps(flat) == json.dumps(
        {"type": "function", "function": {"name": "f", "description": "F.", "parameters": schema}}
    )


def test_a_schema_of_an_earlier_journal_comes_in_the_order_of_clients():
    tool = {
        "type": "function",
        "function": {
            "name": "f",
            "description": "F.",
            "parameters": {
                "type": "object",
                "properties": {"b": {}, "a": {}, "c": {}},
                "required": ["b"],
            },
        },
    }
    earlier = from_json(canonical(tool))

    found = chat_tool(earlier)

    assert list(found) == ["type", "function"]
    assert list(found["function"]) == ["name", "description", "parameters"]
    assert list(found["function"]["parameters"]["properties"]) == ["b", "a", "c"]


def test_rows_of_an_earlier_version_come_in_the_order_of_clients(rows, tmp_path):
    columns = encode_row(Row(**rows[0]))
    earlier = {
        **columns,
        **{n: stable_json(json.loads(columns[n])).decode() for n in ("messages", "tools")},
    }
    file = tmp_path / "earlier.parquet"
    pq.write_table(pa.table({"row_id": ["1"]}), file)

    assert not keeps_order(file)
    found = decode_row(earlier, keeps_order=False)

    call = next(call for m in found["messages"] for call in m.get("tool_calls") or ())
    assert list(found["messages"][0])[:2] == ["role", "content"]
    assert list(call) == ["id", "type", "function"]
    assert list(call["function"]) == ["name", "arguments"]
    assert list(found["tools"][0]["function"])[:2] == ["name", "description"]


@pytest.mark.parametrize(
    "value", [{"b": 1, "a": LARGE}, {"b": float("inf"), "a": "\ud800"}, {"b": -LARGE}]
)
def test_stored_json_keeps_order_and_any_integer(value):
    assert list(from_json(ordered_json(value))) == list(value)
    assert from_json(ordered_json(value)) == value
    assert canonical(dict(reversed(value.items()))) == canonical(value)


def test_integers_of_any_size_come_into_rows(home):
    tool = {
        "type": "function",
        "function": {"name": "f", "parameters": {"properties": {"n": {"default": LARGE}}}},
    }
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": json.dumps({"n": LARGE})},
    }
    asked = [{"role": "user", "content": "Count."}]
    with burnish.trace(agent="a", thread_id="t"):
        with burnish.trace.model_call(model="m", messages=asked, tools=[tool]) as made:
            made.reply({"role": "assistant", "content": "", "tool_calls": [call]})
        with burnish.trace.tool_call("f", {"n": LARGE}, call_id="c1") as used:
            used.result(LARGE)
    burnish.outcome(thread_id="t", success=True, source="crm")
    burnish.flush()

    (row,) = build_dataset(burnish.Workspace(), agent="a", verify=["outcome"]).rows()

    assert row["tools"] == [tool]
    assert json.loads(row["messages"][-1]["tool_calls"][0]["function"]["arguments"]) == {"n": LARGE}
