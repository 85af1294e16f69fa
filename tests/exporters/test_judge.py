"""A judge votes in both orders, abstains on nonsense, and its cost is recorded."""

import msgspec
import pytest

from burnish.errors import VerificationError
from burnish.records import Outcome, Policy
from burnish_exporters.verify import PoolSettings, human, judge_all, judge_by, make_verifiers

HERE = PoolSettings(in_process=True)  # a separate process would import LangChain each time

MODEL = """
from langchain_core.messages import AIMessage
from burnish.testing import ScriptedChatModel

def answer(messages):
    asked = messages[-1].content
    right = "A" if "A: The run fulfils" in asked else "B"
    wrong = "B" if right == "A" else "A"
    said = {answers}
    usage = {{"input_tokens": 1000, "output_tokens": 10, "total_tokens": 1010}}
    return AIMessage(said, usage_metadata=usage)

def make():
    return ScriptedChatModel(script=[answer], repeat=True, model="tiny-judge-7b")
"""


def verdict(make_run, module, answers, **options):
    name = module(MODEL.format(answers=answers))
    judge = judge_by(f"{name}:make", rubric="The order was found.", **options)
    ((_, (found,)),) = judge_all([judge], [make_run()], HERE)
    return found


@pytest.mark.parametrize(
    ("answers", "label"),
    [
        ("'I think so.\\n' + right", "success"),
        ("wrong", "fail"),
        ("'A'", "unknown"),
        ("'B'", "unknown"),
        ("'yes, certainly'", "unknown"),
        ("'A or B'", "unknown"),
        ("''", "unknown"),
    ],
)
def test_a_vote_counts_only_if_it_survives_the_swap(make_run, module, answers, label):
    assert verdict(make_run, module, answers, votes=1).label == label


def test_votes_and_cost_are_recorded(make_run, module):
    """Three votes, each asked twice: 6 x (1000 x $2 + 10 x $10) / 1e6 = $0.0126."""
    found = verdict(make_run, module, "right", votes=3, price=(2.0, 10.0))

    assert found.evidence["votes"] == {"success": 3}
    assert found.cost_usd == pytest.approx(0.0126)
    assert found.score == 1.0


def test_a_judge_of_the_policys_family_is_warned_about(make_run, module):
    found = verdict(make_run, module, "right", votes=1)

    assert "one family: tiny" in found.evidence["warning"]


def test_a_judge_of_another_family_is_not(make_run, module):
    name = module(MODEL.format(answers="right"))
    run = make_run()
    calls = [msgspec.structs.replace(c, policy=Policy(model="other-3b")) for c in run.model_calls]
    run = msgspec.structs.replace(run, model_calls=calls)

    ((_, (found,)),) = judge_all([judge_by(f"{name}:make", rubric="x", votes=1)], [run], HERE)

    assert "warning" not in found.evidence


def test_a_judge_needs_a_rubric():
    with pytest.raises(VerificationError, match="rubric"):
        judge_by("m:f", rubric=" ")


def test_people_are_believed_as_a_source_of_outcomes(make_run, tmp_path):
    told = [Outcome(source="human", success=False), Outcome(source="crm", success=True)]

    (declared,) = make_verifiers(["human"], tmp_path)

    assert declared == human()
    assert declared.verify(make_run(outcomes=told)).label == "fail"
    assert declared.verify(make_run()).label == "unknown"
