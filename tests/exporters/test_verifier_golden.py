"""Each verifier gives its golden labels, keeps the contract, and ignores the agent's claims about itself."""

import pytest
from golden import GOLDEN

from burnish.testing import VERIFIER_CHECKS, VerifierCase
from burnish.testing.verifier_kit import add_claims
from burnish_exporters.verify.registry import known_verifiers
from burnish_exporters.verify.verdicts import judge

CASES = [
    pytest.param(case, id=f"{name}-{place}")
    for name, cases in GOLDEN.items()
    for place, case in enumerate(cases)
]
FREE = [name for name in GOLDEN if name not in ("code", "tests")]
IN_SANDBOXES = ["code", "tests"]


def test_every_verifier_that_can_be_declared_has_twenty_golden_cases():
    assert set(known_verifiers()) == set(GOLDEN)
    assert min(map(len, GOLDEN.values())) >= 20


@pytest.mark.parametrize("case", CASES)
def test_a_golden_case_has_its_label(case):
    assert judge(case.verifier, case.run).label == case.label


def flips(name, places=None):
    """Return the labels that change when the agent claims the contrary of itself, or adds reasoning."""
    found = []
    for place, (verifier, run, label) in list(enumerate(GOLDEN[name]))[:places]:
        thoughts = [add_claims(run, success=success, aloud=False) for success in (True, False)]
        words = [add_claims(run, success=success, aloud=True) for success in (True, False)]
        silent = {judge(verifier, thought).label for thought in thoughts}
        said = {judge(verifier, word).label for word in words}
        if silent != {label} or len(said) != 1:
            found.append((name, place, silent, said))
    return found


@pytest.mark.parametrize("name", FREE)
def test_what_the_agent_claims_changes_no_label(name):
    assert flips(name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_SANDBOXES)
def test_what_the_agent_claims_changes_no_label_of_its_code(name):
    """Every fourth case, as each is three runs of programs."""
    for verifier, run, label in GOLDEN[name][::4]:
        thought = add_claims(run, success=True, aloud=False)
        said = {
            judge(verifier, add_claims(run, success=s, aloud=True)).label for s in (True, False)
        }
        assert judge(verifier, thought).label == label
        assert len(said) == 1


def kit_case(name):
    """The first case that is a success and the first failure of the same verifier."""
    cases = GOLDEN[name]
    for verifier, run, label in cases:
        others = [c for c in cases if c.verifier == verifier and c.label == "fail"]
        if label == "success" and others:
            return VerifierCase(verifier=verifier, success=run, fail=others[0].run)
    raise LookupError(f"no verifier among the cases of {name} has a success and a failure")


@pytest.mark.parametrize("check", VERIFIER_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", list(GOLDEN))
def test_every_verifier_keeps_the_contract(name, check):
    check(kit_case(name))
