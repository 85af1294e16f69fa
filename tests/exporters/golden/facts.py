"""Golden cases of recorded or reported facts: outcomes, people's labels, final states, rules."""

from burnish.records import Outcome, Verdict
from burnish_exporters.verify import goal_state, human, outcome, rules
from golden.table import HERE, Case, run_with, tool_run


def said(source="crm", success=None, at=1, **facts):
    """An outcome."""
    return Outcome(source=source, success=success, reported_ns=at, **facts)


OUTCOMES = [
    (outcome(), [said(success=True)], "success"),
    (outcome(), [said(success=False)], "fail"),
    (outcome(), [], "unknown"),
    (outcome(), [said()], "unknown"),
    (outcome(), [said(label="pass")], "success"),
    (outcome(), [said(label=" Failure ")], "fail"),
    (outcome(), [said(label="hm")], "unknown"),
    (outcome(), [said(score=0.9)], "unknown"),
    (outcome(at_least=0.5), [said(score=0.9)], "success"),
    (outcome(at_least=0.5), [said(score=0.5)], "success"),
    (outcome(at_least=0.5), [said(score=0.4)], "fail"),
    (outcome(), [said(success=True, at=9), said(success=False, at=4)], "success"),
    (outcome(), [said(success=True, at=4), said(success=False, at=9)], "fail"),
    (outcome(), [said(success=True), said("survey", True)], "success"),
    (outcome(), [said(success=True), said("survey", False)], "unknown"),
    (outcome(), [said(success=False), said("survey")], "fail"),
    (outcome("survey"), [said(success=True), said("survey", False)], "fail"),
    (outcome("survey"), [said(success=True)], "unknown"),
    (outcome("crm"), [said(success=True), said("survey", False)], "success"),
    (outcome(), [said(success=True, score=0.1)], "success"),
    (outcome(at_least=0.5), [said(success=False, score=0.9)], "fail"),
    (outcome(), [said(success=True, origin="received")], "unknown"),
    (outcome(), [said(success=True, origin="imported")], "unknown"),
    (outcome(), [said(success=True, origin="inside")], "unknown"),
    (outcome(), [said(success=False), said("x", True, origin="received")], "fail"),
    (outcome(trust_received=["crm"]), [said(success=True, origin="received")], "success"),
    (outcome(trust_received=["crm"]), [said(success=True, origin="imported")], "success"),
    (outcome(trust_received=["crm"]), [said("x", True, origin="received")], "unknown"),
    (outcome(trust_received=["crm"]), [said(success=True, origin="inside")], "unknown"),
]
PEOPLE = [
    ([said("human", True)], "success"),
    ([said("human", False)], "fail"),
    ([said("human")], "unknown"),
    ([], "unknown"),
    ([said("crm", True)], "unknown"),
    ([said("crm", True), said("human", False)], "fail"),
    ([said("crm", False), said("human", True)], "success"),
    ([said("human", True, at=1), said("human", False, at=2)], "fail"),
    ([said("human", False, at=1), said("human", True, at=2)], "success"),
    ([said("human", True, at=1), said("human", None, at=2)], "unknown"),
    ([said("human", None, at=1), said("human", True, at=2)], "success"),
    ([said("human", True, label="accept")], "success"),
    ([said("human", False, label="reject")], "fail"),
    ([said("human", label="unsure")], "unknown"),
    ([said("human", False, label="edit", evidence={"answer": "x"})], "fail"),
    ([said("human", label="good")], "success"),
    ([said("human", label="bad")], "fail"),
    ([said("Human", True)], "unknown"),
    ([said("human", True, score=0.2)], "success"),
    ([said("human", True, scope="thread")], "success"),
    ([said("human", True, origin="received")], "unknown"),
]


def reached(run, state):
    """The predicate of the cases: return the answer that the state holds."""
    answer = state["say"]
    if answer == "raise":
        raise ValueError("broken")
    if answer == "verdict":
        return Verdict(label="success", verifier="anybody", score=0.5)
    if answer == "by run":
        return run.task_id == "task-1", {"task": run.task_id}
    return tuple(answer) if isinstance(answer, list) else answer


STATES = [
    (True, "success"), (False, "fail"), (None, "unknown"), ("success", "success"), ("fail", "fail"),
    ("unknown", "unknown"), ("maybe", "unknown"), (1, "unknown"), (0, "unknown"), ({}, "unknown"), ("raise", "unknown"),
    ("verdict", "success"), ("by run", "success"), ([True, "seen"], "success"), ([False, "not seen"], "fail"),
    (["success", {"n": 1}], "success"), (["fail", None], "fail"), ([None, "cannot see"], "unknown"),
    ([True, False, True], "unknown"), ("", "unknown"),
]  # fmt: skip

LAWS = [
    ({}, "success"),
    ({"allow_tools": ["look_up"]}, "success"),
    ({"allow_tools": ["cancel"]}, "fail"),
    ({"allow_tools": []}, "fail"),
    ({"deny_tools": ["look_up"]}, "fail"),
    ({"deny_tools": ["cancel"]}, "success"),
    ({"deny_answer": ["(?i)ORDER"]}, "fail"),
    ({"deny_answer": ["refund"]}, "success"),
    ({"deny_answer": ["refund", "town"]}, "fail"),
    ({"deny_arguments": {"look_up": ['"order": 1\\b']}}, "fail"),
    ({"deny_arguments": {"look_up": ['"order": 2\\b']}}, "success"),
    ({"deny_arguments": {"cancel": [".*"]}}, "success"),
    ({"max_calls": {"look_up": 0}}, "fail"),
    ({"max_calls": {"look_up": 1}}, "success"),
    ({"max_calls": {"cancel": 0}}, "success"),
    ({"allow_tools": ["look_up"], "deny_answer": ["town"]}, "fail"),
    ({"predicates": ["golden.facts:is_short"]}, "success"),
    ({"predicates": ["golden.facts:is_long"]}, "fail"),
    ({"predicates": ["golden.facts:is_short", "golden.facts:is_long"]}, "fail"),
    ({"predicates": ["golden.facts:is_broken"]}, "unknown"),
]


def is_short(run):
    """A rule that the run keeps."""
    return len(run.model_calls) < 9


def is_long(run):
    """A rule that the run breaks."""
    return not is_short(run)


def is_broken(run):
    """A rule that raises."""
    raise LookupError(run.id)


_GOAL = goal_state("golden.facts:reached", folder=HERE)
_CALLS = [tool_run("found", "look_up", {"order": 1})]
_LAW = rules({"deny_tools": ["drop_table"], "max_calls": {"look_up": 1}}, folder=HERE)

GOLDEN = {
    "outcome": [
        Case(verifier, run_with(outcomes=told), label) for verifier, told, label in OUTCOMES
    ],
    "human": [Case(human(), run_with(outcomes=told), label) for told, label in PEOPLE],
    "goal_state": [
        *(Case(_GOAL, run_with(final_state={"say": answer}), label) for answer, label in STATES),
        Case(_GOAL, run_with(final_state=None), "unknown"),
        Case(_GOAL, run_with(final_state={}), "unknown"),
    ],
    "rules": [
        *(Case(rules(law, folder=HERE), run_with(tool_runs=_CALLS), label) for law, label in LAWS),
        Case(_LAW, run_with(tool_runs=_CALLS), "success"),
        Case(_LAW, run_with(tool_runs=[*_CALLS, tool_run("gone", "drop_table")]), "fail"),
        Case(_LAW, run_with(tool_runs=_CALLS * 2), "fail"),
    ],
}
