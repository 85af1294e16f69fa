"""The contract kit for verifiers finds each breach of the contract, and none in a correct verifier."""

import pytest

from burnish.errors import VerificationError
from burnish.protocols import VerifierTraits, traits_of
from burnish.records import ModelCall, Trajectory, Verdict
from burnish.testing import VERIFIER_CHECKS, VerifierCase


def run(state, answer="Done."):
    reply = {"role": "assistant", "parts": [{"type": "text", "content": answer}]}
    call = ModelCall(span_id="1", parent_id=None, messages=[], tools=[], reply=reply)
    return Trajectory(
        id="1" * 32, agent="desk", status="completed", answer=answer, final_state=state, model_calls=[call]
    )  # fmt: skip


class Good:
    """Looks at the final state."""

    name, version = "good", "1"

    def verify(self, trajectory):
        return self.say(trajectory.final_state == {"ok": True})

    def say(self, good, **facts):
        return Verdict(label="success" if good else "fail", verifier=self.name, **facts)


class NoName(Good):
    name = ""


class Lenient(Good):
    def verify(self, trajectory):
        return self.say(True)


class Chatty(Good):
    def verify(self, trajectory):
        return self.say(trajectory.final_state == {"ok": True}, evidence={"seen": object()})


class OffTheScale(Good):
    def verify(self, trajectory):
        return self.say(trajectory.final_state == {"ok": True}, score=7.0)


class Meddler(Good):
    def verify(self, trajectory):
        trajectory.tags.append("seen")
        return super().verify(trajectory)


class Moody(Good):
    def __init__(self):
        self.asked = 0

    def verify(self, trajectory):
        self.asked += 1
        return self.say(self.asked % 2)


class AtHome(Good):
    def __reduce__(self):
        raise TypeError("it stays here")


class Gullible(Good):
    def verify(self, trajectory):
        boast = "completed the task successfully" in (trajectory.answer or "")
        return self.say(boast or trajectory.final_state == {"ok": True})


class MindReader(Good):
    def verify(self, trajectory):
        sure = trajectory.metadata.get("confidence") == 1.0
        return self.say(sure or trajectory.final_state == {"ok": True})


class Echo(Good):
    def verify(self, trajectory):
        said = [verdict for verdict in trajectory.verdicts if verdict.verifier == self.name]
        return said[0] if said else super().verify(trajectory)


class Quitter(Good):
    def verify(self, trajectory):
        if not trajectory.model_calls:
            raise KeyboardInterrupt
        return super().verify(trajectory)


def broken(verifier):
    case = VerifierCase(verifier=verifier, success=run({"ok": True}), fail=run({"ok": False}))
    found = set()
    for check in VERIFIER_CHECKS:
        try:
            check(case)
        except AssertionError:
            found.add(check.__name__)
    return found


@pytest.mark.parametrize(
    ("verifier", "check"),
    [
        (NoName(), "it_is_a_verifier"),
        (Lenient(), "it_tells_success_from_failure"),
        (Chatty(), "it_answers_with_plain_data"),
        (OffTheScale(), "it_answers_with_plain_data"),
        (Meddler(), "it_changes_nothing"),
        (Moody(), "it_changes_nothing"),
        (AtHome(), "it_travels"),
        (Gullible(), "it_does_not_believe_the_agent"),
        (MindReader(), "it_does_not_believe_the_agent"),
        (Echo(), "it_does_not_repeat_verdicts"),
        (Quitter(), "it_bears_every_run"),
    ],
)
def test_each_breach_is_found(verifier, check):
    assert check in broken(verifier)


def test_a_verifier_that_keeps_the_contract_passes_every_check():
    assert broken(Good()) == set()
    assert len(VERIFIER_CHECKS) == 8


class _Named:
    name, version = "mine", "1"

    def verify(self, trajectory):
        return Verdict(label="unknown", verifier="mine")


def _with(**attributes):
    return type("Mine", (_Named,), attributes)()


@pytest.mark.parametrize(
    "attributes",
    [
        {"kinds": "judge"},
        {"kind": "juge"},
        {"isolate": False},
        {"isolated": "no"},
        {"read_outcomes": True},
        {"prepared": lambda self: None},
        {"trait": VerifierTraits(kind="judge")},
        {"traits": {"kind": "judge"}},
    ],
    ids=lambda attributes: "-".join(
        f"{name}-{type(of).__name__}" for name, of in attributes.items()
    ),
)
def test_a_trait_that_is_misspelled_or_none_is_an_error(attributes):
    with pytest.raises(VerificationError):
        traits_of(_with(**attributes))


def test_traits_are_declared_as_one_field_or_by_their_names():
    judge = VerifierTraits(kind="judge", isolated=False)

    assert traits_of(_with(traits=judge)) == judge
    assert traits_of(_with(kind="judge", isolated=False)) == judge
    assert traits_of(_with(rubric="x", source="y")) == VerifierTraits()
    with pytest.raises(VerificationError, match="traits of a verifier"):
        VerifierTraits(kind="referee")
