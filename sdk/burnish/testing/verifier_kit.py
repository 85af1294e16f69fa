"""Check the contract of `burnish.protocols.Verifier` on any verifier.

    case = VerifierCase(verifier=mine, success=a_good_run, fail=a_bad_run)

    @pytest.mark.parametrize("check", VERIFIER_CHECKS, ids=lambda check: check.__name__)
    def test_verifier(check):
        check(case)

The runs are ones that the verifier must call a success and a failure.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Iterator
from typing import cast

import msgspec

from burnish.errors import VerificationError
from burnish.journal.events import canonical
from burnish.protocols import Verifier, traits_of
from burnish.records import Message, Trajectory, Verdict, VerdictLabel

LABELS = ("success", "fail", "unknown")
_THOUGHT = "{} I am {} % sure. My confidence is {}."
_BOASTS = ("I have completed the task successfully.", "100", "0.99")
_DOUBTS = ("I have failed the task.", "0", "0.01")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifierCase:
    """A verifier with a run that it must call a success and one that it must call a failure."""

    verifier: Verifier
    success: Trajectory
    fail: Trajectory

    def label(self, run: Trajectory) -> VerdictLabel:
        """Return the verifier's label for a run."""
        return self.verifier.verify(run).label


def add_claims(run: Trajectory, *, success: bool, aloud: bool) -> Trajectory:
    """Return the run with an agent that claims success or failure.

    Args:
        run: The run.
        success: The claim of the agent.
        aloud: True adds the claim to the answer, False to reasoning, tags and metadata.
    """
    claim = _THOUGHT.format(*(_BOASTS if success else _DOUBTS))
    calls = [
        msgspec.structs.replace(
            call,
            reply=_add_claim(call.reply, claim, aloud=aloud),
            extras={**call.extras, "self_assessment": {"success": success, "note": claim}},
        )
        for call in run.model_calls
    ]
    answer = f"{run.answer} {claim}" if aloud and run.answer is not None else run.answer
    return msgspec.structs.replace(
        run,
        model_calls=calls,
        answer=answer,
        tags=[*run.tags, "success" if success else "failure"],
        metadata={**run.metadata, "self_reported_success": success, "confidence": float(success)},
    )


def it_is_a_verifier(case: VerifierCase) -> None:
    """Check that it has a name, a version, verify() and valid traits."""
    _require(
        isinstance(cast("object", case.verifier), Verifier), "a part of the protocol is missing"
    )
    for name in ("name", "version"):
        value = getattr(case.verifier, name)
        _require(isinstance(value, str) and bool(value), f"its {name} is {value!r}")
    try:
        traits_of(case.verifier)
    except VerificationError as problem:
        raise AssertionError(str(problem)) from problem


def it_tells_success_from_failure(case: VerifierCase) -> None:
    """Check that it labels the two runs correctly."""
    _require(case.label(case.success) == "success", "it does not recognise the success")
    _require(case.label(case.fail) == "fail", "it does not recognise the failure")


def it_answers_with_plain_data(case: VerifierCase) -> None:
    """Check that its verdicts can be stored: known labels, plain evidence, score in 0 to 1, cost from 0."""
    for run in (case.success, case.fail):
        verdict = case.verifier.verify(run)
        _require(isinstance(cast("object", verdict), Verdict), f"it returns {verdict!r}")
        _require(verdict.label in LABELS, f"its label is {verdict.label!r}")
        try:
            canonical(verdict.evidence)
        except (TypeError, ValueError) as problem:
            raise AssertionError(f"its evidence is not plain data: {problem}") from problem
        score, cost = verdict.score, verdict.cost_usd
        _require(score is None or 0 <= score <= 1, f"its score is {score}")
        _require(cost is None or cost >= 0, f"its cost is {cost}")


def it_changes_nothing(case: VerifierCase) -> None:
    """Check that it does not change the run, and judges a second time equally."""
    for run in (case.success, case.fail):
        before = msgspec.json.encode(run)
        labels = {case.label(run) for _ in range(2)}
        _require(len(labels) == 1, f"the same run is {' and '.join(sorted(labels))}")
        _require(msgspec.json.encode(run) == before, "it changed the run")


def it_travels(case: VerifierCase) -> None:
    """Check that it can be sent to another process and judges the same there."""
    try:
        copy = pickle.loads(pickle.dumps(case.verifier))  # noqa: S301 - our own bytes
    except Exception as problem:
        raise AssertionError(f"it cannot be sent to another process: {problem}") from problem
    same = (copy.name, copy.version) == (case.verifier.name, case.verifier.version)
    _require(same, "its copy has another name")
    _require(
        copy.verify(case.success).label == "success", "its copy does not recognise the success"
    )
    _require(copy.verify(case.fail).label == "fail", "its copy does not recognise the failure")


def it_does_not_believe_the_agent(case: VerifierCase) -> None:
    """Check that the agent's thoughts and claims about itself change no label."""
    for run in (case.success, case.fail):
        label = case.label(run)
        for success in (True, False):
            silent = case.label(add_claims(run, success=success, aloud=False))
            _require(silent == label, f"a thought turned {label} into {silent}")
        said = {
            case.label(add_claims(run, success=success, aloud=True)) for success in (True, False)
        }
        _require(len(said) == 1, "it believes what the agent claims")


def it_does_not_repeat_verdicts(case: VerifierCase) -> None:
    """Check that earlier verdicts about a run, including its own, are not evidence."""
    for run, label in ((case.success, "success"), (case.fail, "fail")):
        for said in LABELS:
            told = Verdict(label=said, verifier=case.verifier.name, version=case.verifier.version)
            found = case.label(msgspec.structs.replace(run, verdicts=[told]))
            _require(found == label, f"an earlier {said} turned {label} into {found}")


def it_bears_every_run(case: VerifierCase) -> None:
    """Check that an odd run raises an Exception or gets a label, and does not end the process."""
    for run in _make_odd_runs(case.success):
        try:
            label = case.verifier.verify(run).label
        except Exception:  # noqa: BLE001, S112 - it counts as unknown
            continue
        except BaseException as problem:
            raise AssertionError(f"an odd run ends the process: {problem!r}") from problem
        _require(label in LABELS, f"its label is {label!r}")


VERIFIER_CHECKS: tuple[Callable[[VerifierCase], None], ...] = (
    it_is_a_verifier,
    it_tells_success_from_failure,
    it_answers_with_plain_data,
    it_changes_nothing,
    it_travels,
    it_does_not_believe_the_agent,
    it_does_not_repeat_verdicts,
    it_bears_every_run,
)
"""All checks of the contract."""


def _add_claim(reply: Message | None, claim: str, *, aloud: bool) -> Message | None:
    if reply is None:
        return None
    kind = "text" if aloud else "reasoning"
    return {**reply, "parts": [*(reply.get("parts") or ()), {"type": kind, "content": claim}]}


def _make_odd_runs(run: Trajectory) -> Iterator[Trajectory]:
    yield Trajectory(id="0" * 32, agent=run.agent, status="abandoned", task_id=run.task_id)
    yield msgspec.structs.replace(run, final_state=["no", {"such": None}], tool_runs=[])
    yield msgspec.structs.replace(run, answer="\x00" * 100_000, model_calls=[])


def _require(held: bool, otherwise: str) -> None:
    if not held:
        raise AssertionError(otherwise)
