"""Facts of other origins decide nothing, unless burnish.toml trusts their source by name."""

import msgspec
import pytest

from burnish.records import Outcome, Verdict
from burnish_exporters.verify import (
    PoolSettings,
    dom_assert,
    goal_state,
    judge_all,
    judge_by,
    make_verifiers,
    outcome,
)
from burnish_exporters.verify.verdicts import earlier


@pytest.mark.parametrize("origin", ["received", "imported", "inside"])
def test_a_verdict_of_another_origin_is_not_believed_again(make_run, origin):
    """The verifier fails the run; another process claimed success under its name."""
    verifier = outcome()
    run = make_run(outcomes=[Outcome(source="crm", success=False)])
    told = Verdict(
        label="success", verifier=verifier.name, version=verifier.version, decided_ns=2**62
    )
    forged = msgspec.structs.replace(run, verdicts=[msgspec.structs.replace(told, origin=origin)])

    ((_, (found,)),) = judge_all([verifier], [forged], PoolSettings(in_process=True))

    assert (found.label, earlier(verifier, forged)) == ("fail", None)


def test_a_verdict_of_this_workspace_is_believed_again(make_run):
    verifier = outcome()
    told = Verdict(
        label="success", verifier=verifier.name, version=verifier.version, decided_ns=2**62
    )

    ((_, (found,)),) = judge_all(
        [verifier],
        [msgspec.structs.replace(make_run(outcomes=[]), verdicts=[told])],
        PoolSettings(in_process=True),
    )

    assert found.label == "success"


@pytest.mark.parametrize("origin", ["received", "imported", "inside"])
def test_a_state_of_another_origin_decides_only_where_it_is_trusted(make_run, module, origin):
    name = module("def check(run, state):\n    return True\n")
    run = msgspec.structs.replace(make_run(), final_state="<p>", state_origin=origin)
    trusted = "success" if origin != "inside" else "unknown"

    assert goal_state(f"{name}:check").verify(run).label == "unknown"
    assert goal_state(f"{name}:check", trust_received=["state"]).verify(run).label == trusted
    assert dom_assert([{"selector": "p"}]).verify(run).label == "unknown"
    assert dom_assert([{"selector": "p"}], trust_received=["state"]).verify(run).label == trusted


@pytest.mark.parametrize("origin", ["received", "imported", "inside"])
def test_a_state_of_another_origin_leaves_a_check_that_needs_none_as_it_was(
    make_run, module, origin
):
    name = module("def check(run, state):\n    return state is None and run.final_state is None\n")
    run = msgspec.structs.replace(make_run(), final_state={"paid": 1}, state_origin=origin)

    assert goal_state(f"{name}:check", needs_state=False).verify(run).label == "success"


@pytest.mark.parametrize(("origin", "shown"), [("own", True), ("received", False)])
def test_a_judge_sees_our_final_state_alone(make_run, module, origin, shown):
    name = module(
        "from langchain_core.language_models import FakeListChatModel\n"
        "class Model(FakeListChatModel):\n"
        "    def invoke(self, messages, *args, **kwargs):\n"
        "        if 'STATE-7' not in messages[-1][1]:\n"
        "            raise RuntimeError('no state')\n"
        "        return super().invoke('', *args, **kwargs)\n"
        "def make():\n"
        "    return Model(responses=['A', 'B'] * 9)\n"
    )
    judge = judge_by(f"{name}:make", rubric="paid", votes=1)
    run = msgspec.structs.replace(make_run(), final_state="STATE-7", state_origin=origin)

    ((_, (found,)),) = judge_all([judge], [run], PoolSettings(in_process=True))

    assert (found.evidence.get("reason") != "crash") is shown


def test_verifiers_of_burnish_toml_trust_whom_the_agent_trusts(tmp_path):
    (plain, composed) = make_verifiers(
        ["outcome", {"any_of": ["human", {"outcome": {"source": "crm", "trust_received": []}}]}],
        tmp_path,
        trust_received=["crm"],
    )

    assert plain.trust_received == ("crm",)
    assert [part.trust_received for part in composed.parts] == [("crm",), ()]
