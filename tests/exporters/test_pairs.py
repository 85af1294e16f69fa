"""Pairs part where behaviour parts, never cross tasks, and report the differences of their sides."""

import json

import msgspec
import pytest

from burnish_exporters import build_dataset
from burnish_exporters.formats import Pair, length_auc, pair_report, run_pairs, step_pairs


def reply(text="", **arguments):
    """An assistant's message, with a call of look_up where arguments are given."""
    return {"role": "assistant", "content": text, "loss": True, **(called(**arguments) if arguments else {})}  # fmt: skip


def called(name="look_up", **arguments):
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"tool_calls": [{"id": f"c{id(arguments)}", "type": "function", "function": function}]}


def answered(message, text):
    call_id = message["tool_calls"][0]["id"]
    return {"role": "tool", "tool_call_id": call_id, "content": text, "loss": False}


USER = {"role": "user", "content": "Where is it?", "loss": False}
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


def row(messages, label="success", task="t", tools=TOOLS, run="r"):
    places = [place for place, m in enumerate(messages) if m["role"] == "assistant"]
    return {
        "task_id": task,
        "trajectory_id": run,
        "tools": tools,
        "messages": messages,
        "calls": [{"message": place} for place in places],
        "verdict": {"label": label},
    }


def attempt(*orders, label="success", answer="Here.", **fields):
    """A run that looks these orders up, one after the other, and answers."""
    messages = [USER]
    for order in orders:
        call = reply(f"I look {order} up.", order=order)
        messages += [call, answered(call, f"order {order}")]
    return row([*messages, reply(answer)], label, **fields)


def test_a_pair_parts_as_late_as_the_best_success_allows():
    rows = [attempt(1, 5), attempt(1, 2, 3), attempt(1, 2, 4, label="fail")]

    (first, *_) = step_pairs(rows)

    assert len(first.prompt) == 5  # the user, two calls and their results
    assert [json.loads(m["tool_calls"][0]["function"]["arguments"]) for m in (*first.chosen, *first.rejected)] == [
        {"order": 3}, {"order": 4}]  # fmt: skip


def test_an_action_that_another_success_took_there_is_not_rejected():
    good, other, bad = attempt(1), attempt(2), attempt(2, label="fail", answer="Nowhere.")

    pairs = list(step_pairs([good, other, bad]))

    assert len(pairs) == 1  # at the answers of the last two; not at look_up(2)
    assert pairs[0].rejected[0]["content"] == "Nowhere."
    assert len(list(step_pairs([good, bad]))) == 1


def test_pairs_never_cross_tasks_or_tools():
    other_tools = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]

    assert not list(step_pairs([attempt(1), attempt(2, label="fail", task="u")]))
    assert not list(run_pairs([attempt(1), attempt(2, label="fail", tools=other_tools)]))
    assert not list(run_pairs([attempt(1), attempt(2, label="unknown")]))
    assert not list(run_pairs([attempt(1, task=None), attempt(2, label="fail", task=None)]))
    assert len(list(run_pairs([attempt(1), attempt(2, label="fail")]))) == 1


def test_a_task_gives_so_many_pairs_and_none_twice():
    """Two successes and six failures of each of two tasks: 12 combinations, of which the failures are three different ones."""
    rows = [
        attempt(*orders, label=label, task=task)
        for task in ("t", "u")
        for orders, label in [((1,), "success"), ((2,), "success")]
        + [((n % 3 + 7,), "fail") for n in range(6)]
    ]

    assert [sum(pair.task_id == task for pair in run_pairs(rows, most=4)) for task in ("t", "u")] == [4, 4]  # fmt: skip
    assert sum(pair.task_id == "t" for pair in run_pairs(rows, most=100)) == 6


def mended(failed, result, *later, task="t"):
    """A success in which a masked call failed and others followed."""
    failed = {**failed, "loss": False}
    messages = [USER, failed, answered(failed, result)]
    for message in later:
        messages.append(message)
        if message.get("tool_calls"):
            messages.append(answered(message, "found"))
    return row([*messages, reply("Done.")], task=task)


def test_a_failed_call_stands_against_its_retry_by_the_same_tool():
    other = {**reply(), **called("list_all", kind="orders")}
    retry = reply(order=2)

    (pair,) = step_pairs([mended(reply(order=1), "error: no such order", other, retry)])

    assert (pair.origin, pair.chosen, len(pair.prompt)) == ("retry", [retry], 1)


def test_a_retry_that_knows_more_than_was_known_at_the_fork_is_left_out():
    """Only the error contains the id of the retry: learned at the fork, it would be a guess."""
    assert not list(step_pairs([mended(reply(order=1), "no order 1, but 4711", reply(order=4711))]))
    assert list(step_pairs([mended(reply(order=1), "no order 1", reply(order=4711))]))


@pytest.mark.parametrize(
    ("failed", "result"),
    [
        (reply(order=1), "User rejected the tool call for `look_up` with id c1"),
        ({**reply(), **called("no_such_tool", x=1)}, "Error: something"),
        ({**reply(), "tool_calls": [{"id": "c9", "function": {"name": "look_up", "arguments": "{"}}]}, "?"),
    ],
    ids=["a person's no", "an unknown tool", "broken arguments"],
)  # fmt: skip
def test_a_call_that_was_not_let_through_stands_against_what_was_done_instead(failed, result):
    instead = {**reply(), **called("list_all", kind="orders")}

    (pair,) = step_pairs([mended(failed, result, instead)])

    assert (pair.origin, pair.chosen) == ("rejected call", [instead])


def test_a_run_without_a_task_is_a_task_of_its_own():
    """Five runs, each with a call and its retry; the cap of a task is not theirs together."""
    runs = [
        {**mended(reply(order=n), "error", reply(order=n + 10), task=None), "trajectory_id": f"r{n}"}
        for n in range(5)
    ]  # fmt: skip

    assert len({pair.task_id for pair in step_pairs(runs, most=1)}) == 5


def test_only_verified_runs_mend_anything():
    run = mended(reply(order=1), "error", reply(order=2))

    assert len(list(step_pairs([run]))) == 1
    assert not list(step_pairs([{**run, "verdict": {"label": "fail"}}]))
    assert not list(step_pairs([{**run, "verdict": {"label": "unknown"}}]))


def pair(good, bad):
    return Pair(task_id="t", prompt=[], chosen=[good], rejected=[bad], tools=[], origin="siblings")


def test_a_length_bias_is_measured_and_warned_of():
    """Chosen 30, 40, 50 against rejected 10, 20, 35: of nine combinations 8 are longer, so AUC 8/9."""
    sizes = [(30, 10), (40, 20), (50, 35)]
    longer = [pair(reply("x" * good), reply("x" * bad)) for good, bad in sizes]
    shorter = [pair(one.rejected[0], one.chosen[0]) for one in longer]

    assert length_auc(longer) == pytest.approx(8 / 9, abs=1e-4)
    assert "longer than rejected (AUC 0.89)" in pair_report(longer)["warnings"][0]
    assert "shorter than rejected (AUC 0.11)" in pair_report(shorter)["warnings"][0]
    assert pair_report([pair(reply("x"), reply("y"))])["warnings"] == []
    assert length_auc([]) == length_auc([pair(reply("xx"), reply("yy"))]) == 0.5


def test_the_report_tells_what_distinguishes_the_sides():
    found = pair_report(
        [
            pair(reply(order=1, kind="a"), reply(order=2)),
            pair({**reply(), **called("list_all", kind="a")}, reply(order=3)),
            pair(reply("In Oslo."), reply(order=4)),
        ]
    )

    assert found["tools"] == {"chosen": {"list_all": 1, "look_up": 1}, "rejected": {"look_up": 3}}
    assert found["arguments"] == {
        "look_up.kind": {"only chosen": 1},
        "look_up.order": {"other value": 1},
    }
    assert found["first_difference"] == {
        "answer instead of call": 1,
        "other arguments": 1,
        "other tool": 1,
    }
    assert found["mean_steps"] == {"chosen": 1.0, "rejected": 1.0}


def test_the_report_comes_with_the_export(make_run):
    """Answers alone, and the good one always the longer."""
    runs = [
        msgspec.structs.replace(
            make_run(2 * n + good, calls=1, task_id=f"t{n}", request=f"Where is {n}?", success=bool(good),
                     answer="In Oslo, at the harbour." if good else "No."))
        for n in range(3) for good in (0, 1)
    ]  # fmt: skip
    version = build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})
    export = version.export("trl-dpo")

    written = list(export)

    report = export.report()
    assert (report.read, report.written, len(written)) == (6, 3, 3)
    assert report.facts["origins"] == {"siblings": 3}
    assert report.facts["length_auc"] == 1.0
    assert len(report.warnings) == 1


def test_what_a_person_rejected_in_a_real_graph_stands_against_what_came_next():
    """LangChain's own human-in-the-loop middleware: an interrupt, a no, another tool, a good end."""
    from langchain.agents import create_agent
    from langchain.agents.middleware import HumanInTheLoopMiddleware
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command

    import burnish
    from burnish.testing import ScriptedChatModel

    @tool
    def delete(order: int) -> str:
        """Delete an order."""
        raise AssertionError("nobody let it")

    @tool
    def look_up(order: int) -> str:
        """Look an order up."""
        return "paid"

    asked = [AIMessage("", tool_calls=[{"name": name, "args": {"order": 3}, "id": f"c-{name}"}])
             for name in ("delete", "look_up")]  # fmt: skip
    graph = create_agent(
        ScriptedChatModel(script=[*asked, "It is paid."]),
        [delete, look_up],
        middleware=[HumanInTheLoopMiddleware(interrupt_on={"delete": True})],
        checkpointer=InMemorySaver(),
    )
    wrapped = burnish.wrap(graph, agent="support")
    thread = {"configurable": {"thread_id": "t"}}
    wrapped.invoke({"messages": [("user", "What of order 3?")]}, config=thread)
    wrapped.invoke(Command(resume={"decisions": [{"type": "reject"}]}), config=thread)
    burnish.outcome(thread_id="t", success=True, source="crm")
    burnish.flush(5)

    version = build_dataset(
        burnish.Workspace(), agent="support", verify=["outcome"], recipe={"contrast": True}
    )

    rows = list(version.rows())
    (found,) = step_pairs(rows)
    names = [
        side[0]["tool_calls"][0]["function"]["name"] for side in (found.chosen, found.rejected)
    ]
    assert (found.origin, names) == ("rejected call", ["look_up", "delete"])
    assert [m["content"] for m in found.prompt] == ["What of order 3?"]
