"""Golden cases of the verifiers that read answers, calls, results, pages and rules."""

import copy
import random
import sqlite3

import msgspec
import pytest

from burnish.errors import VerificationError
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


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ('{"id": 1}', "success"),
        ('{"id": 1, "tags": ["a"]}', "success"),
        ('{"id": 1, "more": null}', "success"),
        ('Here it is:\n```json\n{"id": 2}\n```\nDone.', "success"),
        ('```\n{"id": 2}\n```', "success"),
        ('The order is {"id": 3}.', "success"),
        ('  {"id": 4}  ', "success"),
        ('{"id": 1, "tags": []}', "success"),
        ('{"id": "1"}', "fail"),
        ('{"id": 1.5}', "fail"),
        ("{}", "fail"),
        ('{"id": 1, "tags": ["a", "b", "c"]}', "fail"),
        ('{"id": 1, "tags": "a"}', "fail"),
        ("[1]", "fail"),
        ("1", "fail"),
        ("id: 1", "fail"),
        ('{"id": 1', "fail"),
        ("", "fail"),
        ('{"id": true}', "fail"),
        ("null", "fail"),
    ],
)
def test_an_answer_has_the_form_of_a_schema(make_run, answer, label):
    run = msgspec.structs.replace(make_run(1), answer=answer)
    assert json_schema(ORDER).verify(run).label == label


def test_strict_takes_json_and_nothing_else_and_no_answer_fails(make_run):
    run = run_with(make_run, answer='Here: {"id": 1}')

    assert json_schema(ORDER, strict=True).verify(run).label == "fail"
    assert json_schema(ORDER).verify(run_with(make_run, answer=None)).label == "fail"


@pytest.mark.parametrize("schema", [{"type": 7}, "no_such.json", 3])
def test_a_wrong_schema_is_refused(schema):
    with pytest.raises(VerificationError, match="JSON schema"):
        json_schema(schema)


# --- exit codes and statuses --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "label"),
    [
        ({"exit_code": 0}, "success"),
        ({"exit_code": 1}, "fail"),
        ({"returncode": 0, "stdout": "exit code 1"}, "success"),
        ({"returncode": -9}, "fail"),
        ({"exit_status": 0}, "success"),
        ({"code": 2}, "fail"),
        ({"exit_code": "0"}, "success"),
        ({"exit_code": "1"}, "fail"),
        ('{"exit_code": 0, "out": ""}', "success"),
        ('{"exit_code": 3}', "fail"),
        ("done\nexit code: 0", "success"),
        ("Process exited with code 127", "fail"),
        ("Exited with status 0", "success"),
        ("return code = 0", "success"),
        ("exit status 2", "fail"),
        ("all fine", "unknown"),
        ({"stdout": "all fine"}, "unknown"),
        ({"exit_code": True}, "unknown"),
        (None, "unknown"),
        ([0], "unknown"),
    ],
)
def test_the_exit_code_of_the_last_command_decides(make_run, result, label):
    run = run_with(make_run, tool_runs=[tool_run({"exit_code": 5}), tool_run(result)])

    assert exit_code("shell").verify(run).label == label


def test_by_default_the_last_result_with_a_code_counts(make_run):
    runs = [tool_run({"exit_code": 1}), tool_run("some text", name="note")]

    assert exit_code().verify(run_with(make_run, tool_runs=runs)).label == "fail"
    assert exit_code(expected=1).verify(run_with(make_run, tool_runs=runs)).label == "success"


BODY = {"type": "object", "required": ["id"]}


@pytest.mark.parametrize(
    ("result", "options", "label"),
    [
        ({"status": 200}, {}, "success"),
        ({"status": 204}, {}, "success"),
        ({"status_code": 299}, {}, "success"),
        ({"status": 300}, {}, "fail"),
        ({"status": 404}, {}, "fail"),
        ({"status": 500}, {}, "fail"),
        ({"status": "201"}, {}, "success"),
        ("HTTP/1.1 200 OK", {}, "success"),
        ("HTTP 503", {}, "fail"),
        ("status code: 404", {}, "fail"),
        ("all good", {}, "unknown"),
        ({"status": "ok"}, {}, "unknown"),
        (None, {}, "unknown"),
        ({"status": 404}, {"expected": [404]}, "success"),
        ({"status": 200}, {"expected": [201]}, "fail"),
        ({"status": 200, "json": {"id": 1}}, {"schema": BODY}, "success"),
        ({"status": 200, "body": '{"id": 1}'}, {"schema": BODY}, "success"),
        ({"status": 200, "json": {}}, {"schema": BODY}, "fail"),
        ({"status": 200, "body": "oops"}, {"schema": BODY}, "fail"),
        ('{"status": 200, "data": {"id": 1}}', {"schema": BODY}, "success"),
    ],
)
def test_a_status_and_its_body_decide(make_run, result, options, label):
    run = run_with(make_run, tool_runs=[tool_run(result)])

    assert http_status("shell", **options).verify(run).label == label


def test_every_request_or_the_last_one(make_run):
    run = run_with(make_run, tool_runs=[tool_run({"status": 500}), tool_run({"status": 200})])

    assert http_status().verify(run).label == "success"
    assert http_status(every=True).verify(run).label == "fail"


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
    ("reference", "query", "label"),
    [
        (ALL, "SELECT id FROM orders", "success"),
        (ALL, "SELECT id AS number FROM orders ORDER BY id DESC", "success"),
        (ALL, "SELECT id FROM orders WHERE 1 = 1", "success"),
        (ALL, "SELECT id FROM orders WHERE city = 'Oslo'", "fail"),
        (ALL, "SELECT id, city FROM orders", "fail"),
        (ALL, "SELECT id FROM orders UNION ALL SELECT 1", "fail"),
        (ALL, "SELECT id FROM ordres", "fail"),
        (ALL, "not sql", "fail"),
        (ALL, "DROP TABLE orders", "fail"),
        (ALL, "DELETE FROM orders", "fail"),
        (ALL, "ATTACH DATABASE ':memory:' AS x", "fail"),
        (f"{ALL} ORDER BY id", "SELECT id FROM orders ORDER BY id", "success"),
        (f"{ALL} ORDER BY id", "SELECT id FROM orders ORDER BY id DESC", "fail"),
        ("SELECT count(*) FROM orders", "SELECT 3", "success"),
        ("SELECT count(*) FROM orders", "SELECT 3.0", "success"),
        ("SELECT total FROM orders WHERE id = 3", "SELECT 0.3", "success"),
        ("SELECT total FROM orders WHERE id = 3", "SELECT 0.31", "fail"),
        ("SELECT city FROM orders GROUP BY city", "SELECT DISTINCT city FROM orders", "success"),
        ("SELECT x FROM orders", "SELECT 1", "unknown"),
        (ALL, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0", "fail"),
    ],
)  # fmt: skip
def test_a_query_gives_the_rows_of_the_reference(make_run, database, reference, query, label):
    verifier = sql_result_set({"task-1": reference}, database=database)
    run = run_with(make_run, tool_runs=[tool_run(arguments={"query": query}, name="sql")])

    assert verifier.verify(run).label == label
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (3,)
    connection.close()


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


@pytest.mark.parametrize(
    ("assertion", "holds"),
    [
        ({"selector": "#title"}, True),
        ({"selector": "#missing"}, False),
        ({"selector": "h1", "text": "Order 17"}, True),
        ({"selector": "h1", "text": "Order"}, False),
        ({"selector": "h1", "contains": "Order"}, True),
        ({"selector": "h1 b", "text": "17"}, True),
        ({"selector": "b h1"}, False),
        ({"selector": "body ul .item", "count": 2}, True),
        ({"selector": "li", "count": 3}, False),
        ({"selector": "ul.items.big"}, True),
        ({"selector": "ul.items.small"}, False),
        ({"selector": ".error", "absent": True}, True),
        ({"selector": ".item", "absent": True}, False),
        ({"selector": "[data-state=done]"}, True),
        ({"selector": "button[data-state='open']"}, False),
        ({"selector": "input[disabled]"}, True),
        ({"selector": "input", "attribute": "value", "value": "a@b"}, True),
        ({"selector": "input", "attribute": "value", "value": "c@d"}, False),
        ({"selector": ".missing, button"}, True),
        ({"selector": "li", "text": "Chair"}, True),
    ],
)
def test_an_assertion_on_the_page(make_run, assertion, holds):
    run = run_with(make_run, final_state={"html": PAGE})

    assert dom_assert([assertion]).verify(run).label == ("success" if holds else "fail")


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


@pytest.mark.parametrize(
    ("labels", "all_label", "any_label"),
    [
        (("success", "success"), "success", "success"),
        (("success", "fail"), "fail", "success"),
        (("success", "unknown"), "unknown", "success"),
        (("fail", "unknown"), "fail", "unknown"),
        (("fail", "fail"), "fail", "fail"),
        (("unknown", "unknown"), "unknown", "unknown"),
    ],
)
def test_all_and_any(make_run, labels, all_label, any_label):
    assert all_of(*say(*labels)).verify(make_run()).label == all_label
    assert any_of(*say(*labels)).verify(make_run()).label == any_label


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


@pytest.mark.parametrize("wrong", [all_of, lambda: weighted([(outcome(), 0)])])
def test_a_composition_of_nothing_or_without_weight_is_refused(wrong):
    with pytest.raises(VerificationError):
        wrong()
