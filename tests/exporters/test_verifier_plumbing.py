"""Inputs and answers of verifiers: values of wrong types, ambiguous texts, tests that never ran."""

import asyncio
import sqlite3

import numpy as np
import pytest
from golden.table import run_with, tool_run

from burnish.errors import VerificationError
from burnish.protocols import VerifierTraits
from burnish.records import ModelCall, Outcome, ToolRun, Verdict
from burnish_exporters.verify import (
    PoolSettings,
    dom_assert,
    exit_code,
    goal_state,
    http_status,
    json_schema,
    make_verifiers,
    outcome,
    passes_tests,
    reference_match,
    rules,
    sql_result_set,
    weighted,
)
from burnish_exporters.verify.checks.judge import judge_by
from burnish_exporters.verify.evidence.transcript import transcript
from burnish_exporters.verify.running.pool import judge_all
from burnish_exporters.verify.verdicts import earlier, judge, reusable


class Says:
    """A verifier with a fixed answer."""

    name, version = "says", "1"
    traits = VerifierTraits(isolated=False)

    def __init__(self, answer):
        self.answer = answer

    def verify(self, trajectory):
        del trajectory
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def verdict(**fields):
    return Verdict(**{"label": "success", "verifier": "says", "version": "1", **fields})


@pytest.mark.parametrize(
    "answer",
    [
        verdict(score=float("nan")),
        verdict(score=float("inf")),
        verdict(score="high"),
        verdict(score=7.0),
        verdict(score=-0.1),
        verdict(score=True),
        verdict(cost_usd=float("nan")),
        verdict(cost_usd="1 $"),
        verdict(decided_ns=-5),
        verdict(decided_ns="now"),
        verdict(label=["success"]),
        verdict(label=True),
        True,
        SystemExit(1),
        asyncio.CancelledError(),
    ],
)
def test_a_verdict_with_a_wrong_value_is_unknown_and_ends_nothing(answer):
    said = judge(Says(answer), run_with())

    assert said.label == "unknown"
    assert said.decided_ns > 0


def test_a_verdict_with_numpy_numbers_is_taken():
    said = judge(Says(verdict(score=np.float32(0.5), cost_usd=np.int64(2))), run_with())

    assert (said.label, said.score, said.cost_usd) == ("success", 0.5, 2.0)


def test_a_worker_that_sends_a_wrong_value_ends_no_other_verification(module):
    name = module(
        "from burnish.records import Verdict\n"
        "def tell(run, state):\n"
        "    score = 'high' if run.id.endswith('1') else 0.5\n"
        "    return Verdict(label='success', verifier='x', score=score)\n",
    )
    check = goal_state(f"{name}:tell", needs_state=False)
    runs = [run_with(id="0" * 31 + digit) for digit in "123"]

    given = [said.label for _, (said,) in judge_all([check], runs)]

    assert given == ["unknown", "success", "success"]


PREDICATES = """
import numpy
async def later(run, state=None): return True
def text(run, state=None): return "no"
def count(run, state=None): return 3
def nothing(run, state=None): return None
def numpys(run, state=None): return numpy.True_
def numpy_no(run, state=None): return numpy.bool_(False)
"""


@pytest.mark.parametrize(
    ("name", "of_state", "of_rules"),
    [
        ("later", "unknown", "unknown"),
        ("text", "unknown", "unknown"),
        ("count", "unknown", "unknown"),
        ("nothing", "unknown", "unknown"),
        ("numpys", "success", "success"),
        ("numpy_no", "fail", "fail"),
    ],
)
def test_a_predicate_says_yes_or_no_and_nothing_is_read_by_its_truth(
    module, name, of_state, of_rules
):
    path = f"{module(PREDICATES)}:{name}"

    assert judge(goal_state(path, needs_state=False), run_with()).label == of_state
    assert judge(rules({"predicates": [path]}), run_with()).label == of_rules


def test_rules_of_a_tool_hold_for_its_name_in_other_spellings():
    called = tool_run(name="Cancel_Order", arguments={"id": "all"})
    run = run_with(tool_runs=[called, called])

    assert judge(rules({"deny_arguments": {"cancel_order": ["all"]}}), run).label == "fail"
    assert judge(rules({"max_calls": {"cancel_order": 1}}), run).label == "fail"


# --- verdicts of others -------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["received", "imported"])
def test_a_received_verdict_is_used_again_only_where_its_verifier_is_trusted(origin):
    theirs = verdict(label="fail", origin=origin, decided_ns=10**18)
    run = run_with(verdicts=[theirs])
    check = Says(verdict())

    assert reusable(check, run) is None
    assert reusable(check, run, ["crm"]) is None
    assert reusable(check, run, ["says"]) == theirs
    settings = PoolSettings(trust_received=("says",))
    assert [said.label for _, (said,) in judge_all([check], [run], settings)] == ["fail"]
    assert [said.label for _, (said,) in judge_all([check], [run])] == ["success"]


def test_a_verdict_of_ours_counts_before_a_received_one_and_inside_never():
    ours = verdict(decided_ns=5)
    theirs = verdict(label="fail", origin="received", decided_ns=10**18)
    inside = verdict(label="fail", origin="inside", decided_ns=10**18)

    assert earlier(Says(None), run_with(verdicts=[theirs, ours]), ["says"]) == ours
    assert earlier(Says(None), run_with(verdicts=[inside]), ["says"]) is None


# --- texts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected", "label"),
    [
        ("The result is \u22125", 5, "fail"),
        ("The result is \u22125", -5, "success"),
        ("1/2", 2, "fail"),
        ("It is 1/2.", 0.5, "success"),
        ("10\u2075", 10, "fail"),
        ("10^5", 5, "fail"),
        ("2**8", 8, "fail"),
        ("between 3-5", 5, "success"),
        ("1/0", 0, "fail"),
    ],
)
def test_a_number_is_read_whole(said, expected, label):
    check = reference_match({"t": expected}, mode="numeric")

    assert judge(check, run_with(task_id="t", answer=said)).label == label


def test_references_by_ids_that_are_numbers_are_found():
    assert (
        judge(reference_match({7: "yes"}), run_with(task_id="7", answer="Yes.")).label == "success"
    )


SCHEMA = {"type": "object", "properties": {"ok": {"const": True}}, "required": ["ok"]}


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ('For example ```json\n{"ok": true}\n``` but here ```json\n{"ok": false}\n```', "fail"),
        ('```python\nprint(1)\n```\n```json\n{"ok": true}\n```', "success"),
        ('```python\nprint({})\n```\n```\n{"ok": true}\n```', "success"),
        ('{"ok": false, "ok": true}', "fail"),
        ('{"ok": true, "n": NaN}', "fail"),
        ("[" * 100_000, "fail"),
        ('{"ok": true}', "success"),
    ],
)
def test_json_that_readers_read_in_two_ways_does_not_fit(said, label):
    assert judge(json_schema(SCHEMA), run_with(answer=said)).label == label


def test_an_outcome_that_contradicts_itself_is_unknown():
    both = Outcome(source="crm", success=True, label="failure")

    assert judge(outcome(), run_with(outcomes=[both])).label == "unknown"


def test_a_judge_is_shown_a_result_that_the_agent_repeats_or_that_is_short():
    said = {"role": "assistant", "parts": [{"type": "text", "content": '"FAILED: 0"'}]}
    call = ModelCall(span_id="m", parent_id=None, messages=[], tools=[], reply=said)
    results = ["FAILED: 0", 0, "m"]
    runs = [ToolRun(span_id=f"t{n}", parent_id=None, name="pay", result=r)
            for n, r in enumerate(results)]  # fmt: skip

    shown = transcript(run_with(model_calls=[call], tool_runs=runs, final_state=None))

    assert shown.count('"name": "pay"') == 3


def test_a_judge_that_answers_in_blocks_is_read(module):
    name = module(
        "from langchain_core.language_models import GenericFakeChatModel\n"
        "from langchain_core.messages import AIMessage\n"
        "def make():\n"
        "    def say(letter):\n"
        "        thought = {'type': 'thinking', 'thinking': 'A or B?'}\n"
        "        return AIMessage([thought, {'type': 'text', 'text': f'It is so.\\n{letter}'}])\n"
        "    return GenericFakeChatModel(messages=iter([say('A'), say('B')]))\n",
    )

    said = judge(judge_by(f"{name}:make", rubric="Is it so?", votes=1), run_with())

    assert said.label == "success"


# --- rows and pages -----------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE sums (id INTEGER, total REAL)")
        connection.execute("INSERT INTO sums VALUES (1234567890123, 12345678.91)")
        connection.execute("INSERT INTO sums VALUES (1234567890124, 12345678.92)")
    connection.close()
    return path


@pytest.mark.parametrize(
    ("reference", "query", "label"),
    [
        ("SELECT min(id) FROM sums", "SELECT max(id) FROM sums", "fail"),
        ("SELECT min(total) FROM sums", "SELECT max(total) FROM sums", "fail"),
        ("SELECT 3", "SELECT 3.0", "success"),
        ("SELECT 0.3", "SELECT 0.1 + 0.2", "success"),
        ("SELECT 9007199254740993", "SELECT 9007199254740992", "fail"),
        ("SELECT 1", "SELECT 1; SELECT 2", "fail"),
        ("SELECT 1", "SELECT 1 \0", "fail"),
    ],
)
def test_rows_are_equal_up_to_the_last_digits_of_fractions_alone(shop, reference, query, label):
    run = run_with(task_id="t", tool_runs=[tool_run(name="sql", arguments={"query": query})])

    assert judge(sql_result_set({"t": reference}, database=shop), run).label == label


def test_rows_beyond_what_is_read_are_no_equal_rows(shop):
    many = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {}) SELECT 1 FROM n"
    )
    run = run_with(
        task_id="t",
        tool_runs=[tool_run(name="sql", arguments={"query": many.format(100_005)})],
    )

    assert judge(sql_result_set({"t": many.format(100_000)}, database=shop), run).label == "fail"
    assert judge(sql_result_set({"t": many.format(100_009)}, database=shop), run).label == "unknown"


def test_a_database_that_cannot_be_read_is_no_fault_of_the_query(shop):
    check = sql_result_set({"t": "SELECT 1"}, database=shop)
    shop.write_bytes(b"no database " * 1000)
    query = tool_run(name="sql", arguments={"query": "SELECT id FROM sums"})

    assert judge(check, run_with(task_id="t", tool_runs=[query])).label == "unknown"


PAGE = '<form><p class="error" title="no money">Declined</p></form>'


@pytest.mark.parametrize(
    ("assertion", "label"),
    [
        ({"selector": '[title="no money"]', "text": "Declined"}, "success"),
        ({"selector": '[title="other words"]', "count": 1}, "fail"),
        ({"selector": ".error", "count": 1, "text": "Paid"}, "fail"),
        ({"selector": "p, .error", "count": 1}, "success"),
    ],
)
def test_all_that_an_assertion_asks_of_a_page_must_hold(assertion, label):
    assert judge(dom_assert([assertion]), run_with(final_state={"html": PAGE})).label == label


@pytest.mark.parametrize(
    "assertion",
    [
        {"selector": "form > .paid"},
        {"selector": ".error:not(.hidden)", "absent": True},
        {"selector": "p:first-child"},
        {"selector": '[href^="/pay"]'},
        {"selector": ""},
        {"selector": ".a", "count": "1"},
        {"selector": ".a", "count": True},
        {"selector": ".a", "absent": "false"},
        {"selector": ".a", "text": 5},
        {"selector": ".a", "attribute": "href"},
    ],
)
def test_an_assertion_that_would_be_read_in_part_is_refused(assertion):
    with pytest.raises(VerificationError):
        dom_assert([assertion])


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        {"exit_code": {"tool": "sh", "expected": "0"}},
        {"http_status": {"tool": "get", "every": "false"}},
        {"http_status": {"tool": "get", "expected": ["200"]}},
        {"json_schema": {"schema": {}, "strict": "false"}},
        {"goal_state": {"predicate": "checks:done", "needs_state": "no"}},
        {"outcome": {"at_least": "0.5"}},
        {"outcome": {"at_least": float("nan")}},
        {"tool_calls": {"tolerate": "1"}},
        {"reference_match": {"references": {}, "tolerance": float("nan")}},
        {"exit_code": 5},
    ],
)
def test_a_setting_of_a_wrong_type_is_refused(entry):
    with pytest.raises(VerificationError):
        make_verifiers([entry], ".")


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_refused(weight):
    with pytest.raises(VerificationError):
        weighted([(outcome(), weight), (Says(None), 1.0)])


# --- tests of code ------------------------------------------------------------------------------

CODE = """
import asyncio
lock = asyncio.Lock()
def add(a, b):
    return a {sign} b
async def later(a, b):
    async with lock:
        await asyncio.sleep(0)
        return a {sign} b
async def each():
    yield 1 {sign} 2
"""
RUN_BY_TESTS = {
    "async function": "from solution import add\nasync def test_it():\n    assert add(1, 2) == 3\n",
    "awaited code": "from solution import later\nasync def test_it():\n"
    "    assert await later(1, 2) == 3\n    assert await later(1, 3) == 4\n",
    "asyncio.run": "import asyncio\nfrom solution import later\ndef test_it():\n"
    "    assert asyncio.run(later(1, 2)) == 3\n",
    "async method": "from solution import add\nclass TestIt:\n    async def test_it(self):\n"
    "        assert add(1, 2) == 3\n",
    "set-ups of pytest": "from solution import add\ndef setup_module(module):\n    module.X = 1\n"
    "class TestIt:\n    @classmethod\n    def setup_class(cls):\n        cls.y = 1\n"
    "    def setup_method(self, method):\n        self.z = 1\n"
    "    def test_it(self):\n        assert add(X, self.y + self.z) == 3\n",
    "set-ups of unittest": "import unittest\nfrom solution import add\nX = {}\n"
    "def setUpModule():\n    X['x'] = 1\nclass TestIt(unittest.TestCase):\n"
    "    def test_it(self):\n        self.assertEqual(add(X['x'], 2), 3)\n",
    "inherited": "from solution import add\nclass Base:\n    def test_it(self):\n"
    "        assert add(1, 2) == 3\nclass TestIt(Base):\n    pass\n",
    "marks": "import types\nfrom solution import add\n"
    "def mark(name, *args):\n    return types.SimpleNamespace(name=name, args=args)\n"
    "def test_it():\n    assert add(1, 2) == 3\n"
    "def test_skipped():\n    assert False\ntest_skipped.pytestmark = [mark('skip')]\n"
    "def test_expected():\n    assert False\ntest_expected.pytestmark = [mark('xfail')]\n",
    "a skip within": "from solution import add\nclass Skipped(BaseException):\n    pass\n"
    "def test_it():\n    assert add(1, 2) == 3\ndef test_other():\n    raise Skipped('not here')\n",
}


@pytest.mark.parametrize("tests", RUN_BY_TESTS.values(), ids=RUN_BY_TESTS.keys())
@pytest.mark.parametrize(("sign", "label"), [("+", "success"), ("-", "fail")])
def test_tests_are_run_whichever_way_they_are_written(tests, sign, label):
    run = run_with(task_id="t", answer=f"```python\n{CODE.replace('{sign}', sign)}\n```")

    assert judge(passes_tests({"t": tests}), run).label == label


@pytest.mark.parametrize(
    "tests",
    [
        "from solution import add\ndef test_it():\n    yield\n    assert add(1, 2) == 3\n",
        "from solution import each\nasync def test_it():\n"
        "    assert [n async for n in each()] == [3]\n",
        "from solution import add\ndef test_it():\n    assert add('x' * (33 << 20), 'y')[-1] == 'y'\n",
    ],
)
@pytest.mark.parametrize("sign", ["+", "-"])
def test_tests_that_would_not_run_decide_nothing(tests, sign):
    run = run_with(task_id="t", answer=f"```python\n{CODE.replace('{sign}', sign)}\n```")

    assert judge(passes_tests({"t": tests}), run).label == "unknown"


# --- what tools gave back -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "label"),
    [
        ("exit_code=1\nexit code: 0", "unknown"),
        ("exit-code: 1\nexit code: 0", "unknown"),
        ("rc=1\nexit code: 0", "unknown"),
        ("exit\u200b code: 1\nexit code: 0", "unknown"),
        ("returned status 1\nexit code: 0", "unknown"),
        ({"result": {"exit_code": 1}, "code": 0}, "unknown"),
        ({"steps": [{"returncode": 1}], "exit_code": 0}, "unknown"),
        ({"exitCode": 1, "code": 0}, "unknown"),
        ({"exitCode": 0}, "success"),
        ({"exit_code": 0.0}, "success"),
        ({"exit_code": 0.5}, "unknown"),
        ({"exit_code": 0, "rows": [{"code": 7}]}, "success"),
    ],
)
def test_numbers_that_contradict_each_other_in_any_spelling_are_unknown(result, label):
    run = run_with(tool_runs=[tool_run(result, name="sh")])

    assert judge(exit_code("sh"), run).label == label


def test_a_status_counts_in_any_spelling_of_its_key():
    run = run_with(tool_runs=[tool_run({"statusCode": 500, "code": 200}, name="get")])

    assert judge(http_status("get"), run).label == "unknown"


@pytest.mark.parametrize(
    "path", ["%25252Fetc", "&#47;etc", "&amp;#47;etc", "\\u002fetc", "\\x2fetc", "%26%2347%3Betc"]
)
def test_a_rule_finds_what_was_escaped_several_times(path):
    called = tool_run(name="rm", arguments={"path": path})

    law = rules({"deny_arguments": {"rm": ["/etc"]}})

    assert judge(law, run_with(tool_runs=[called])).label == "fail"
