"""200 failed runs with the class that a reader gives them: ten domains, ten classes, two forms each.

A domain names what its task needs: the right call with its result, a second tool that is of no use, and the answer. The
forms differ as recorded runs do: errors as exceptions, as texts, as tables and as exit codes, replies in several
languages, tasks with and without a successful run beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from burnish.records import Failure, ModelCall, ToolRun, Trajectory


class Domain(NamedTuple):
    request: str
    tool: str
    arguments: dict[str, Any]
    wrong: dict[str, Any]
    result: str
    answer: str
    other: str
    invented: str


DOMAINS = [
    Domain("What does order 5512 cost?", "get_order", {"id": 5512}, {"id": 1255},
           '{"total": "84.20 EUR"}', "It costs 84.20 EUR.", "list_returns", "It costs 19.95 EUR."),
    Domain("How warm is it in Graz?", "get_weather", {"city": "Graz"}, {"city": "Grasse"},
           '{"celsius": 23.5}', "It is 23.5 degrees.", "get_news", "It is 31 degrees."),
    Domain("When is my next meeting?", "next_event", {"calendar": "work"}, {"calendar": "home"},
           '{"at": "14:30", "room": "B207"}', "At 14:30 in room B207.", "send_mail", "At 09:15 in room C999."),
    Domain("Run the script and tell me its output.", "run_code", {"file": "main.py"}, {"file": "test.py"},
           "value=7741", "The output is 7741.", "format_code", "The output is 1200."),
    Domain("How many customers are in Lyon?", "query_sql", {"city": "Lyon", "table": "customers"},
           {"city": "Lyon", "table": "orders"}, "[[318]]", "There are 318.", "export_csv", "There are 4500."),
    Domain("How large is the file?", "stat_file", {"path": "/data/a.bin"}, {"path": "/data/b.bin"},
           "size: 90177 bytes", "It has 90177 bytes.", "list_folder", "It has 12 bytes."),
    Domain("How many days of leave has Ana left?", "leave_balance", {"person": "ana"}, {"person": "anna"},
           '{"days": 11}', "She has 11 days left.", "payroll", "She has 25 days left."),
    Domain("Which gate does my flight leave from?", "flight_status", {"flight": "OS87"}, {"flight": "OS78"},
           '{"gate": "F14"}', "It leaves from F14.", "book_hotel", "It leaves from A3."),
    Domain("What is the balance of my account?", "get_balance", {"account": "main"}, {"account": "savings"},
           '{"balance": 2087.33}', "Your balance is 2087.33.", "transfer", "Your balance is 500."),
    Domain("What is the state of ticket T-88?", "get_ticket", {"key": "T-88"}, {"key": "T-8"},
           '{"state": "blocked", "since": "2026-10-02"}', "It is blocked since 2026-10-02.", "assign", "It was closed on 2026-01-15."),
]  # fmt: skip

Call = tuple[str, dict[str, Any], Any]


def make_run(
    domain: Domain,
    calls: list[Call],
    answer: str | None,
    *,
    replies: tuple[str, ...] = (),
    status: str = "completed",
    error: Failure | None = None,
    finish_reason: str = "stop",
) -> Trajectory:
    """A run with tool calls and their results; a result may be a Failure."""
    asked = {"role": "user", "parts": [{"type": "text", "content": domain.request}]}
    offered = [
        {"type": "function", "function": {"name": name}} for name in (domain.tool, domain.other)
    ]
    said = [*replies, *([answer] if answer is not None else [])] or [""]
    return Trajectory(
        id=f"{domain.tool}-{len(calls)}-{answer}", agent="a", status=status, task_id=domain.tool, answer=answer,
        error=error,
        model_calls=[
            ModelCall(
                span_id=f"{number:016x}", parent_id=None, messages=[asked], tools=offered,
                reply={"role": "assistant", "parts": [{"type": "text", "content": text}]},
                finish_reason=finish_reason if number == len(said) - 1 else "tool_calls",
            )
            for number, text in enumerate(said)
        ],
        tool_runs=[
            ToolRun(
                span_id=f"{100 + number:016x}", parent_id=None, name=name, arguments=arguments,
                result=None if isinstance(result, Failure) else result,
                error=result if isinstance(result, Failure) else None,
            )
            for number, (name, arguments, result) in enumerate(calls)
        ],
    )  # fmt: skip


def make_success(domain: Domain) -> Trajectory:
    return make_run(domain, [(domain.tool, domain.arguments, domain.result)], domain.answer)


Labelled = tuple[str, Trajectory, list[Trajectory]]


def labelled_runs() -> Iterator[Labelled]:
    """Class, failed run, and the successful runs of its task."""
    for place, d in enumerate(DOMAINS):
        good, success = (d.tool, d.arguments, d.result), [make_success(d)]
        refused = [
            Failure(type="TimeoutError", message="no answer in 5 s"),
            "Error: service unavailable",
            {"error": "busy", "code": 7},
            {"exit_code": 3, "stdout": ""},
        ][place % 4]
        broken = (d.tool, d.arguments, refused)
        sorry = [
            ("I'm sorry, something went wrong.", "I apologize, I could not do it.", "My apologies, it did not work."),
            ("Es tut mir leid, das ging nicht.", "Entschuldigung, noch ein Versuch.", "Entschuldige bitte."),
            ("Unfortunately that failed.", "Sorry about that.", "Sorry, unfortunately I cannot tell."),
        ][place % 3]  # fmt: skip
        limit = [
            Failure(type="GraphRecursionError", message="Recursion limit of 25 reached"),
            Failure(type="EvaluationError", message="the agent asked the model more than 12 times"),
        ][place % 2]
        refusal = [
            Failure(type="ValidationError", message="1 validation error for args: field required"),
            "Error: invalid argument 'id'",
            Failure(type="TypeError", message="get() missing 1 required positional argument: 'id'"),
        ][place % 3]
        yield "repeats_broken_call", make_run(d, [broken, broken], "It did not work."), success
        yield "repeats_broken_call", make_run(d, [broken] * 5, None, status="failed"), []
        yield "apology_loop", make_run(d, [], sorry[2], replies=sorry[:2]), []
        yield "apology_loop", make_run(d, [good], sorry[1], replies=sorry[:1]), success
        yield "over_iterates", make_run(d, [good], None, status="failed", error=limit), success
        yield "over_iterates", make_run(d, [good] * 4, "I am not sure."), []
        yield "wrong_tool", make_run(d, [(d.other, {}, "done")], "It is done."), success
        unknown = Failure(
            type="ToolError", message=f"{d.tool}_v2 is not a valid tool, try {d.tool}"
        )
        yield "wrong_tool", make_run(d, [(f"{d.tool}_v2", {}, unknown)], "I could not look."), []
        yield (
            "wrong_argument",
            make_run(d, [(d.tool, d.wrong, "nothing found")], "I found nothing."),
            success,
        )
        yield "wrong_argument", make_run(d, [(d.tool, {}, refusal)], "I could not look."), []
        yield "fabricated_answer", make_run(d, [], d.invented), success
        yield "fabricated_answer", make_run(d, [good], d.invented), success
        yield "unneeded_tool", make_run(d, [good, (d.other, {}, "done")], d.answer), success
        yield (
            "unneeded_tool",
            make_run(d, [(d.other, {"n": 1}, "ok"), good], d.answer + " I did more, too."),
            success,
        )
        yield "ignores_result", make_run(d, [good], "I could not find anything about it."), success
        yield "ignores_result", make_run(d, [good], "Please ask somebody else."), []
        yield "stops_early", make_run(d, [], "I will look that up for you."), success
        yield "stops_early", make_run(d, [good], "", finish_reason="length"), []
        yield "other", make_run(d, [good], d.answer), success
        yield "other", make_run(d, [], "No."), []
