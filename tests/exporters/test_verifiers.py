"""Verifiers beside their golden cases: mutated calls, wrong settings, evidence, gates."""

import copy
import random
import sqlite3

import msgspec
import pytest

from burnish.errors import VerificationError
from burnish.protocols import traits_of
from burnish.records import ToolRun, Verdict
from burnish_exporters.verify import (
    all_of,
    any_of,
    check_call,
    dom_assert,
    exit_code,
    http_status,
    json_schema,
    make_verifiers,
    outcome,
    rules,
    sql_result_set,
    tool_calls,
    weighted,
)


def tool_run(result=None, name="shell", arguments=None):
    return ToolRun(span_id="t", parent_id=None, name=name, result=result, arguments=arguments)


def run_with(make_run, **fields):
    return msgspec.structs.replace(make_run(1), **fields)


# --- tool calls ---------------------------------------------------------------------------------

SCHEMAS = [
    {
        "type": "function",
        "name": f"tool_{n}",
        "parameters": {
            "type": "object",
            "properties": {
                "id": {"type": "integer"},
                "name": {"type": "string"},
                "ratio": {"type": "number"},
                "urgent": {"type": "boolean"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "place": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                },
            },
            "required": ["id", "name"],
        },
    }
    for n in range(5)
]


def valid_call(rng):
    arguments = {"id": rng.randint(0, 99), "name": rng.choice("abc")}
    optional = {
        "ratio": rng.choice([rng.random(), 3]),
        "urgent": rng.random() < 0.5,
        "tags": ["x"] * rng.randint(0, 3),
        "place": {"city": "Oslo"},
    }
    arguments |= {key: value for key, value in optional.items() if rng.random() < 0.5}
    items = list(arguments.items())
    rng.shuffle(items)
    return f"tool_{rng.randrange(5)}", dict(items)


def mutated(rng, kind):
    name, arguments = valid_call(rng)
    arguments = copy.deepcopy(arguments)
    if kind == "unknown_tool":
        name = rng.choice([name + "s", name.upper(), "tool", ""])
    elif kind == "missing_required":
        del arguments[rng.choice(["id", "name"])]
    elif kind == "extra_argument":
        arguments[rng.choice(["ID", "names", "query"])] = 1
    else:
        key, value = rng.choice(
            [("id", "7"), ("id", 1.5), ("name", 3), ("name", None), ("urgent", "yes"),
             ("tags", "x"), ("tags", [1]), ("place", "Oslo"), ("place", {"city": 4})]
        )  # fmt: skip
        arguments[key] = value
    return name, arguments


def test_200_mutated_calls_are_all_classed_right_and_200_valid_ones_raise_no_alarm():
    rng = random.Random(7)
    kinds = ["unknown_tool", "missing_required", "extra_argument", "wrong_type"] * 50

    found = [check_call(*mutated(rng, kind), SCHEMAS) for kind in kinds]
    alarms = [check_call(*valid_call(rng), SCHEMAS) for _ in range(200)]

    assert [problem and problem.kind for problem in found] == kinds
    assert alarms == [None] * 200


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ('{"order": 1}', None),
        ("{oops", "wrong_type"),
        ("[1]", "wrong_type"),
        ({"order": 1, "level": "top"}, "wrong_value"),
    ],
)
def test_arguments_may_be_text_and_excluded_values_have_a_class(arguments, kind):
    tool = {"type": "function", "function": {"name": "f", "parameters": {
        "properties": {"order": {"type": "integer"}, "level": {"enum": ["low", "high"]}}}}}  # fmt: skip

    problem = check_call("f", arguments, [tool])

    assert (problem and problem.kind) == kind


def test_a_tool_that_takes_anything_takes_anything():
    tool = {"name": "f", "parameters": {"properties": {}, "additionalProperties": True}}

    assert check_call("f", {"whatever": 1}, [tool]) is None
    assert check_call("f", {"whatever": 1}, [{"name": "f"}]) is None


def test_a_run_with_a_bad_call_fails_by_class_and_may_be_forgiven(make_run):
    run = make_run(calls=3)
    text = msgspec.json.encode(run).replace(b'"arguments":{"order":0}', b'"arguments":{"ordre":0}')
    bad = msgspec.json.decode(text, type=type(run))

    verdict = tool_calls().verify(bad)

    assert verdict.label == "fail"
    assert verdict.evidence["classes"] == {"missing_required": 1}
    assert tool_calls(tolerate=1).verify(bad).label == "success"
    assert tool_calls().verify(run).label == "success"


# --- json_schema --------------------------------------------------------------------------------

ORDER = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "tags": {"type": "array", "maxItems": 2}},
    "required": ["id"],
}


def test_strict_takes_json_and_nothing_else_and_no_answer_fails(make_run):
    run = run_with(make_run, answer='Here: {"id": 1}')

    assert json_schema(ORDER, strict=True).verify(run).label == "fail"
    assert json_schema(ORDER).verify(run_with(make_run, answer=None)).label == "fail"


@pytest.mark.parametrize("schema", [{"type": 7}, "no_such.json", 3])
def test_a_wrong_schema_is_refused(schema):
    with pytest.raises(VerificationError, match="JSON schema"):
        json_schema(schema)


# --- exit codes and statuses --------------------------------------------------------------------


def test_the_last_command_of_the_named_tool_counts(make_run):
    runs = [tool_run({"exit_code": 1}), tool_run("notes: exit code 0", name="note")]

    assert exit_code("shell").verify(run_with(make_run, tool_runs=runs)).label == "fail"
    assert exit_code("shell", expected=1).verify(run_with(make_run, tool_runs=runs)).label == (
        "success"
    )


@pytest.mark.parametrize("make", [exit_code, http_status])
def test_a_tool_that_is_not_named_is_an_error_and_one_that_never_ran_is_unknown(make_run, make):
    run = run_with(make_run, tool_runs=[tool_run({"exit_code": 0, "status": 200})])

    with pytest.raises(VerificationError, match="names no tool"):
        make().prepare()
    assert make().verify(run).label == "unknown"
    said = make("bash").verify(run)
    assert (said.label, said.evidence["reason"]) == ("unknown", "the tool never ran")
    assert "tools of this run: shell" in said.evidence["detail"]


def test_every_request_or_the_last_one(make_run):
    run = run_with(make_run, tool_runs=[tool_run({"status": 500}), tool_run({"status": 200})])

    assert http_status("shell").verify(run).label == "success"
    assert http_status("shell", every=True).verify(run).label == "fail"


def test_a_request_without_a_status_is_not_passed_over(make_run):
    runs = [tool_run({"status": 200}), tool_run({"timeout": True})]
    run = run_with(make_run, tool_runs=runs)

    assert http_status("shell").verify(run).label == "unknown"
    assert http_status("shell", every=True).verify(run).label == "unknown"


# --- SQL ----------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, city TEXT, total REAL)")
        connection.executemany(
            "INSERT INTO orders VALUES (?, ?, ?)",
            [(1, "Oslo", 10.0), (2, "Rome", 20.5), (3, "Oslo", 0.1 + 0.2)],
        )
    connection.close()
    return path


ALL = "SELECT id FROM orders"


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE orders",
        "DELETE FROM orders",
        "ATTACH DATABASE ':memory:' AS x",
        "PRAGMA user_version = 7",
    ],
)
def test_a_query_that_changes_something_fails_and_changes_nothing(make_run, database, query):
    verifier = sql_result_set({"task-1": ALL}, database=database)
    run = run_with(make_run, tool_runs=[tool_run(arguments={"query": query}, name="sql")])
    before = database.read_bytes()

    assert verifier.verify(run).label == "fail"
    assert database.read_bytes() == before


def test_a_run_without_query_fails_and_a_task_without_reference_is_unknown(make_run, database):
    verifier = sql_result_set({"task-1": ALL}, database=database)

    assert verifier.verify(run_with(make_run, tool_runs=[])).label == "fail"
    assert verifier.verify(make_run(2)).label == "unknown"
    with pytest.raises(VerificationError, match="no database"):
        sql_result_set({}, database="nowhere.sqlite")


# --- pages --------------------------------------------------------------------------------------

PAGE = """
<html><body><h1 id="title">Order <b>17</b></h1>
<ul class="items big"><li class="item">Lamp</li><li class="item">Chair<br></li></ul>
<form><input name="mail" value="a@b" disabled><button class="send" data-state="done">Send</button></form>
<script>var x = "<li class='item'>no</li>"</script></body></html>
"""


def test_a_page_that_was_not_recorded_is_unknown_and_an_unknown_key_refused(make_run):
    assert dom_assert([{"selector": "p"}]).verify(make_run()).label == "unknown"
    with pytest.raises(VerificationError, match="assertion"):
        dom_assert([{"selector": "p", "texts": "x"}])


# --- rules --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "broken"),
    [
        ({}, None),
        ({"allow_tools": ["look_up"]}, None),
        ({"allow_tools": ["cancel"]}, "allow_tools: look_up"),
        ({"deny_tools": ["look_up"]}, "deny_tools: look_up"),
        ({"deny_tools": ["cancel"]}, None),
        ({"deny_answer": ["(?i)ORDER"]}, "deny_answer: (?i)ORDER"),
        ({"deny_answer": ["refund"]}, None),
        ({"deny_arguments": {"look_up": ['"order": 2']}}, 'deny_arguments: look_up "order": 2'),
        ({"deny_arguments": {"cancel": [".*"]}}, None),
        ({"max_calls": {"look_up": 1}}, "max_calls: 2 of look_up"),
        ({"max_calls": {"look_up": 2}}, None),
    ],
)
def test_a_broken_rule_fails_the_run_and_is_named(make_run, law, broken):
    verdict = rules(law).verify(make_run(1, calls=3))

    assert verdict.label == ("fail" if broken else "success")
    assert (verdict.evidence or {}).get("broken", [None])[0] == broken


def test_rules_come_from_a_file_with_predicates(make_run, module, tmp_path):
    name = module("def short(run): return len(run.model_calls) < 3")
    (tmp_path / "modules" / "law.toml").write_text(f'predicates = ["{name}:short"]\n')

    assert rules("law.toml").verify(make_run(1, calls=2)).label == "success"
    assert rules("law.toml").verify(make_run(1, calls=3)).label == "fail"


@pytest.mark.parametrize("law", ["none.toml", {"allow_tool": []}, {"deny_answer": ["("]}])
def test_a_wrong_constitution_is_refused(law):
    with pytest.raises(VerificationError, match="constitution"):
        rules(law)


# --- composition --------------------------------------------------------------------------------


class Says:
    """A verifier with a fixed label."""

    version = "1"

    def __init__(self, label, name="says", score=None):
        self.name, self.label, self.score = name, label, score

    def verify(self, trajectory):
        return Verdict(label=self.label, verifier=self.name, score=self.score)


def say(*labels):
    return [Says(label, f"v{n}") for n, label in enumerate(labels)]


def test_weights_add_up_and_unknown_stays_unknown(make_run):
    """Weights 3 and 1: with only the heavy part right the score is 0.75."""
    heavy = weighted([(Says("success", "a"), 3), (Says("fail", "b"), 1)], threshold=0.7)
    doubt = weighted([(Says("success", "a"), 3), (Says("unknown", "b"), 1)])

    assert (heavy.verify(make_run()).label, heavy.verify(make_run()).score) == ("success", 0.75)
    assert doubt.verify(make_run()).label == "unknown"


def test_an_unsafe_success_never_ranks_above_a_safe_failure(make_run):
    good, bad, safe, unsafe = (Says(label, name) for label, name in (
        ("success", "good"), ("fail", "bad"), ("success", "safe"), ("fail", "unsafe")))  # fmt: skip

    unsafe_success = weighted([(good, 1)], gates=[unsafe]).verify(make_run())
    safe_failure = weighted([(good, 1), (bad, 9)], gates=[safe]).verify(make_run())

    assert (unsafe_success.label, safe_failure.label) == ("fail", "fail")
    assert unsafe_success.score < safe_failure.score


def test_a_gate_that_cannot_tell_lets_nothing_pass(make_run):
    verdict = all_of(*say("success"), gates=[Says("unknown", "gate")]).verify(make_run())

    assert verdict.label == "unknown"


def test_compositions_are_declared_in_burnish_toml(make_run, tmp_path):
    (made,) = make_verifiers([{"any_of": ["outcome", {"tool_calls": {"tolerate": 1}}]}], tmp_path)

    assert made.verify(make_run(success=None)).label == "success"


def test_gates_weights_and_thresholds_are_declared_too(make_run, tmp_path):
    """The outcome weighs 3 of 4: without it 0.25, which is below .5; the broken rule closes the gate."""
    law = {"rules": {"constitution": {"deny_tools": ["look_up"]}}}
    parts = [["outcome", 3], ["tool_calls", 1]]
    open_, closed = make_verifiers(
        [
            {"weighted": {"parts": parts, "threshold": 0.5}},
            {"all_of": {"parts": ["outcome"], "gates": [law], "name": "lawful"}},
        ],
        tmp_path,
    )

    good, bad = open_.verify(make_run()), open_.verify(make_run(success=False))
    assert ((good.label, good.score), (bad.label, bad.score)) == (("success", 1), ("fail", 0.25))
    assert (closed.name, closed.verify(make_run()).label) == ("lawful", "fail")


@pytest.mark.parametrize(
    "wrong",
    [
        {"all_of": 3}, {"all_of": []}, {"any_of": {"part": ["outcome"]}}, {"weighted": ["outcome"]},
        {"weighted": {"parts": [["outcome", "much"]]}}, {"all_of": {"parts": ["outcome"], "threshold": 1}},
    ],
)  # fmt: skip
def test_a_composition_that_is_none_is_one_clear_error(wrong, tmp_path):
    with pytest.raises(VerificationError):
        make_verifiers([wrong], tmp_path)


def test_a_judge_that_can_make_the_success_makes_the_whole_a_judge():
    judge, check = Says("success", "judge"), Says("success", "check")
    judge.kind = "judge"

    kinds = [
        all_of(check, judge),
        all_of(judge),
        any_of(check, judge),
        weighted([(check, 1), (judge, 1)]),
    ]

    assert [traits_of(made).kind for made in kinds] == ["check", "judge", "judge", "judge"]
    assert traits_of(any_of(check)).kind == "check"


@pytest.mark.parametrize("wrong", [all_of, lambda: weighted([(outcome(), 0)])])
def test_a_composition_of_nothing_or_without_weight_is_refused(wrong):
    with pytest.raises(VerificationError):
        wrong()
