"""The canary reads its threads from the journal: a real graph, a routed model, later outcomes."""

import contextlib
import sqlite3
import time

import pytest
from msgspec.structs import replace
from routed_agent import make_graph, run, started

import burnish
from burnish import Workspace
from burnish.canary import Rollout, assign
from burnish.canary.guards import find_breaches
from burnish.canary.outcomes import find_decision
from burnish.errors import SettingsError
from burnish.project import GuardsConfig, read_trusted_sources
from burnish.records import ModelCall, Outcome, Trajectory, Usage, Verdict


def test_threads_are_judged_by_the_outcomes_of_the_source_that_decides(home, graph):
    rollout = started(home)
    salt = rollout.document().salt
    for number in range(12):
        run(graph, f"t{number}")
        burnish.outcome(thread_id=f"t{number}", success=number % 2 == 0, source="crm")
        burnish.outcome(thread_id=f"t{number}", success=False, source="gossip")

    status = rollout.observe()

    canary = [number for number in range(12) if assign(f"t{number}", salt, 0.5)]
    assert status["threads"] == {"stable": 12 - len(canary), "canary": len(canary)}
    assert status["successes"]["canary"] == sum(number % 2 == 0 for number in canary)
    assert status["waiting"] == 0


def test_an_outcome_that_comes_later_is_found_at_the_next_look(home, graph):
    rollout = started(home)
    run(graph, "t1")
    run(graph, "t2")
    assert rollout.observe()["waiting"] == 2

    burnish.outcome(thread_id="t1", success=True, source="crm")
    status = rollout.observe()

    assert (sum(status["threads"].values()), status["waiting"]) == (1, 1)
    assert rollout.observe()["threads"] == status["threads"]


def test_a_thread_counts_once_however_many_runs_it_has(home, graph):
    rollout = started(home)
    for _ in range(3):
        run(graph, "t1")
        burnish.outcome(thread_id="t1", success=True, source="crm")
        status = rollout.observe()

    assert sum(status["threads"].values()) == 1


def test_verdicts_of_the_verifier_that_decides_count_too(home, graph):
    rollout = started(home, decides="goal_state")
    run(graph, "t1")
    workspace = Workspace(home)
    trajectory = next(iter(workspace.trajectories(agent="support")))
    workspace.append_verdict(
        trajectory.id, Verdict(label="success", verifier="goal_state", decided_ns=time.time_ns())
    )

    status = workspace.canary("support").observe()

    assert sum(status["successes"].values()) == 1
    assert rollout.status()["threads"] == status["threads"]


def test_names_that_no_database_holds_do_not_stop_the_looks(home, graph):
    rollout = started(home)
    for number, odd in enumerate(("\ud800", "a\x00b", "'; --")):
        with burnish.task(user=odd):
            run(graph, f"t{number}{odd}")
        burnish.outcome(thread_id=f"t{number}{odd}", success=True, source="crm")

    assert sum(rollout.observe()["threads"].values()) == 3
    assert sum(rollout.observe()["threads"].values()) == 3


@pytest.mark.parametrize("steps", [[1.0], [0.5, 0.25, 1.0], [0.5], []])
def test_steps_without_threads_to_compare_with_are_refused(home, steps):
    with pytest.raises(SettingsError, match=r"growing shares below 1\.0"):
        started(home, steps=steps)


def test_runs_that_were_not_routed_or_came_before_are_no_part_of_it(home, graph):
    run(graph, "early")
    burnish.outcome(thread_id="early", success=True, source="crm")
    rollout = started(home)
    plain = make_graph(routed=False)
    run(plain, "unrouted")
    burnish.outcome(thread_id="unrouted", success=True, source="crm")

    status = rollout.observe()

    assert status["threads"] == {"stable": 0, "canary": 0}
    assert status["waiting"] == 0


def test_outcomes_are_waited_for_in_the_order_of_assignment(home, graph):
    """With a maturity window of an hour no thread is judged yet, even if its outcome is known."""
    rollout = started(home, maturity_s=3600.0)
    run(graph, "t1")
    run(graph, "t2")
    burnish.outcome(thread_id="t2", success=True, source="crm")

    status = rollout.observe()

    assert (sum(status["threads"].values()), status["waiting"]) == (0, 2)


def test_a_thread_without_an_outcome_is_missed_when_its_time_is_over(home, graph):
    rollout = started(home, maturity_s=0.05)
    run(graph, "t1")
    run(graph, "t2")
    burnish.outcome(thread_id="t2", success=True, source="crm")
    deadline = time.monotonic() + 20
    while (status := rollout.observe())["waiting"] and time.monotonic() < deadline:
        pass

    assert (sum(status["threads"].values()), status["missed"]) == (1, 1)


def test_a_version_whose_runs_fail_is_rolled_back_by_the_guard(home, graph):
    """By reported outcomes both arms do equally well; a failed call still names its version."""
    guarded = GuardsConfig(errors=True)
    rollout = started(home, adapter="broken@" + "c" * 12, guards=guarded, decides="crm")
    for number in range(60):
        with contextlib.suppress(RuntimeError):
            run(graph, f"t{number}")
        burnish.outcome(thread_id=f"t{number}", success=True, source="crm")
    status = rollout.observe()

    assert status["state"] == "ROLLED_BACK"
    assert "guard 'errors'" in status["reason"]
    assert run(graph, "after").content == "None"


def test_the_newest_fact_of_the_one_who_decides_wins():
    run = Trajectory(
        id="1",
        agent="a",
        status="completed",
        outcomes=[
            Outcome(source="crm", success=True, reported_ns=1),
            Outcome(source="crm", success=False, reported_ns=3),
            Outcome(source="other", success=True, reported_ns=9),
            Outcome(source="crm", score=1.0, reported_ns=10),
        ],
        verdicts=[
            Verdict(label="success", verifier="goal_state(checks:ok)", decided_ns=2),
            Verdict(label="unknown", verifier="goal_state", decided_ns=8),
        ],
    )

    assert find_decision([run], "crm") is False
    assert find_decision([run], "goal_state") is True
    assert find_decision([run], "goal_state(checks:ok)") is True
    assert find_decision([run], "nobody") is None
    assert find_decision([run], None) is None


def test_guards_look_at_errors_tokens_and_latency_of_the_whole_thread():
    call = ModelCall(
        span_id="s", parent_id=None, messages=[], tools=[], usage=Usage(input_tokens=60)
    )
    runs = [
        Trajectory(
            id=str(number),
            agent="a",
            status=status,
            model_calls=[call],
            started_ns=0,
            ended_ns=2 * 10**9,
        )
        for number, status in enumerate(("completed", "failed"))
    ]
    guards = GuardsConfig(max_tokens=100, max_latency_s=3.0)

    assert find_breaches(runs, guards) == {"errors": True, "tokens": True, "latency": False}
    assert find_breaches(runs[:1], guards) == {"errors": False, "tokens": False, "latency": False}


def test_only_facts_of_this_workspace_or_of_a_trusted_source_decide(home, tmp_path, monkeypatch):
    facts = [
        Outcome(source="crm", success=True, reported_ns=at, origin=origin)
        for at, origin in enumerate(("received", "imported", "inside"), 1)
    ]
    verdict = Verdict(label="success", verifier="goal_state", decided_ns=9, origin="received")
    run = Trajectory(id="1", agent="a", status="completed", outcomes=facts, verdicts=[verdict])
    failed = replace(run, outcomes=[*facts, Outcome(source="crm", success=False, reported_ns=0)])

    assert find_decision([run], "crm") is None
    assert find_decision([run], "goal_state") is None
    assert find_decision([failed], "crm") is False
    assert find_decision([failed], "crm", ("crm",)) is True
    assert find_decision([run], "goal_state", ("goal_state",)) is True
    inside = replace(run, outcomes=facts[2:])
    assert find_decision([inside], "crm", ("crm",)) is None

    monkeypatch.chdir(tmp_path)
    assert read_trusted_sources("a") == ()
    (tmp_path / "burnish.toml").write_text('[agent.a]\ntrust_received = ["crm"]\n')
    assert (read_trusted_sources("a"), read_trusted_sources("b")) == (("crm",), ())
    (tmp_path / "burnish.toml").write_text('[agent.a]\ntrust_received = "crm"\n')
    with pytest.raises(SettingsError, match="trust_received"):
        read_trusted_sources("a")


@pytest.mark.parametrize(("trusted", "waiting"), [("", 0), ("runs", 6)])
def test_runs_that_came_from_elsewhere_are_no_evidence_unless_they_are_trusted(
    home, graph, tmp_path, monkeypatch, trusted, waiting
):
    """Runs that claim the canary's version and failed would roll it back, or promote it once verified."""
    from burnish.journal.writer import JournalWriter
    from burnish.telemetry.intake.request_intake import Intake
    from burnish.telemetry.otlp.codec import encode_request

    other = tmp_path / "other"
    other.mkdir()
    rollout, copied = started(home), Rollout(other, "support")
    with (
        contextlib.closing(sqlite3.connect(home / "control.sqlite")) as control,
        contextlib.closing(sqlite3.connect(other / "control.sqlite")) as copy,
    ):
        control.backup(copy)
    for number in range(6):
        run(graph, f"t{number}")
    burnish.flush()
    request = encode_request(Workspace(home).spans())
    with contextlib.closing(JournalWriter(other)) as writer:
        Intake(writer).take_request(request)
    runs = list(Workspace(other).trajectories(agent="support"))

    assert sum(rollout.observe()["threads"].values()) + rollout.observe()["waiting"] == 6
    assert [found.origin for found in runs] == ["received"] * 6
    monkeypatch.chdir(tmp_path)
    (tmp_path / "burnish.toml").write_text(f'[agent.support]\ntrust_received = ["{trusted}"]\n')
    assert copied.observe()["waiting"] == waiting
