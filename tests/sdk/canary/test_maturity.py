"""An outcome source needs a maturity window; outcomes that come late or not at all are counted."""

import contextlib
import random
import time

import pytest
from msgspec.structs import replace
from routed_agent import NO_GUARDS, VERSION, make_graph, point_to_version, run, serve, started

import burnish
from burnish import Workspace
from burnish.adapters import Target
from burnish.canary import Rollout
from burnish.canary.document import RolloutDocument
from burnish.canary.evaluator import PhaseEvaluator
from burnish.canary.ledger import Thread
from burnish.canary.maturity import FLOOR_S, learn_window
from burnish.canary.outcomes import ThreadReader
from burnish.errors import CanaryError
from burnish.project import CanaryConfig
from burnish.records import Verdict

CONFIG = CanaryConfig(decides="crm", steps=[0.5, 1.0], min_threads=400, guards=NO_GUARDS)
SECOND = 10**9


def test_the_window_is_twice_the_time_within_which_nearly_all_outcomes_come():
    """100 delays of 1 to 100 s: 95 come within 95 s."""
    learned = learn_window([(1e6, float(delay)) for delay in range(1, 101)])

    assert learned is not None
    assert (learned.seconds, learned.outcomes) == (190.0, 100)


def test_threads_younger_than_the_window_teach_nothing_about_it():
    """Of threads of the last minute only the fast outcomes are known."""
    old = [(1e6, 600.0)] * 30
    young = [(60.0, 5.0)] * 500

    assert learn_window(old + young).seconds == 1200.0
    assert learn_window(old[:19] + young[:5]) is None


def test_outcomes_that_stay_away_are_counted_beside_the_window():
    learned = learn_window([(1e6, 10.0)] * 60 + [(1e6, None)] * 40)

    assert learned.seconds == 20.0
    assert "40% are missing" in learned.basis


def test_without_a_window_no_canary_starts_and_the_error_says_what_to_set(home):
    rollout = Rollout(home, "support")
    with pytest.raises(CanaryError) as refused:
        rollout.start(Target(base_model="m"), CONFIG)

    said = str(refused.value)
    assert "no maturity window for 'crm'" in said
    assert "maturity_s in [agent.support.canary]" in said
    assert "burnish retrain support" in said
    assert rollout.status()["state"] == "NONE"


def test_the_window_is_learnt_from_the_outcomes_of_stable_and_shown(home):
    agent = make_graph(routed=False)
    for number in range(24):
        run(agent, f"t{number}")
        burnish.outcome(thread_id=f"t{number}", success=True, source="crm")
        burnish.outcome(thread_id=f"t{number}", success=True, source="gossip")
    burnish.flush()
    rollout, deadline = Rollout(home, "support"), time.monotonic() + 60
    while rollout.status()["state"] == "NONE":  # until the threads are older than their window
        with contextlib.suppress(CanaryError):
            rollout.start(Target(base_model="m"), CONFIG)
        assert time.monotonic() < deadline

    window = rollout.status()["window"]

    assert window["seconds"] == FLOOR_S, "outcomes came within milliseconds"
    assert "outcomes of stable" in window["basis"]


def test_a_verifier_that_decides_needs_no_window(home):
    agent = make_graph(routed=False)
    run(agent, "t")
    burnish.flush()
    (found,) = Workspace(home).trajectories(agent="support")
    verdict = Verdict(label="success", verifier="crm", decided_ns=time.time_ns())
    Workspace(home).append_verdict(found.id, verdict)
    rollout = Rollout(home, "support")
    rollout.start(Target(base_model="m"), CONFIG)

    assert rollout.status()["window"]["seconds"] == 0.0


def test_the_verifier_that_reads_outcomes_needs_one(home):
    run(make_graph(routed=False), "t")
    burnish.flush()
    (found,) = Workspace(home).trajectories(agent="support")
    verdict = Verdict(label="success", verifier="outcome(crm)", decided_ns=time.time_ns())
    Workspace(home).append_verdict(found.id, verdict)
    rollout = Rollout(home, "support")

    with pytest.raises(CanaryError, match="no maturity window for 'outcome'"):
        rollout.start(Target(base_model="m"), replace(CONFIG, decides="outcome"))


def phase(**changes):
    """A rollout at half of the threads in its canary phase, as plain records."""
    config = CanaryConfig(**{"decides": "crm", "steps": [0.5, 1.0], "guards": NO_GUARDS} | changes)
    document = RolloutDocument(state="CANARY", rollout="r", phase_id="r", config=config, share=0.5)
    return document, PhaseEvaluator(document)


def thread(number, *, delay=None, success=True, arm="stable"):
    """A thread a second whose outcome came after a delay, or never."""
    assigned = number * SECOND
    return Thread(
        thread=f"t{number:05}",
        assigned_ns=assigned,
        arm=arm,
        share=0.5,
        success=None if delay is None else success,
        reported_ns=None if delay is None else assigned + int(delay * SECOND),
    )


def test_only_threads_whose_window_has_passed_are_compared_and_late_ones_are_missing():
    document, evaluator = phase(maturity_s=100.0)
    threads = [thread(0, delay=5), thread(1, delay=150), thread(2), thread(200, delay=1)]

    ready = list(evaluator.select_ready(threads, document, 250 * SECOND))

    assert [(found.thread, state) for found, state in ready] == [
        ("t00000", "judged"),
        ("t00001", "late"),
        ("t00002", "missed"),
    ]
    evidence = evaluator.analysis.evidence()
    assert evidence.missed == {"stable": 2, "canary": 0}


def test_an_outcome_that_came_in_time_and_changed_later_is_not_late(home, graph):
    """Both are found by one look after the window: judged, by the newer one."""
    rollout = started(home, maturity_s=1.0)
    run(graph, "t1")
    burnish.outcome(thread_id="t1", success=True, source="crm")
    time.sleep(1.2)
    burnish.outcome(thread_id="t1", success=False, source="crm")

    status = rollout.observe()

    assert (sum(status["threads"].values()), status["missed"]) == (1, 0)
    assert sum(status["successes"].values()) == 0


def test_the_window_is_learnt_from_first_outcomes(home):
    """A change of an outcome says nothing about the time in which outcomes come."""
    run(make_graph(routed=False), "t1")
    burnish.outcome(thread_id="t1", success=True, source="crm")
    time.sleep(1.2)
    burnish.outcome(thread_id="t1", success=False, source="crm")
    burnish.flush()

    ((_, delay),) = ThreadReader(home, "support", CONFIG).read_delays(None).threads

    assert delay < 1.0


def test_with_a_window_of_zero_a_thread_is_missing_once_later_ones_have_their_outcomes():
    """Outcomes come within 5 s; 60 s is the shortest wait that is learnt."""
    document, evaluator = phase(maturity_s=0.0)
    answered = [thread(number, delay=5) for number in range(30, 100)]
    opened = [thread(0), thread(35), thread(50), thread(99)]
    now = 104 * SECOND

    assert list(evaluator.select_ready(opened, document, now)) == []
    found = list(evaluator.select_ready(opened, document, now, answered))
    assert [(one.thread, state) for one, state in found] == [("t00000", "missed"), ("t00035", "missed")]  # fmt: skip
    assert evaluator.analysis.evidence().missed == {"stable": 2, "canary": 0}

    hours = now + 10 * 3600 * SECOND
    assert list(evaluator.select_ready(opened[2:], document, hours, answered)) == [], "it pauses"
    days = now + 30 * 3600 * SECOND
    assert len(list(evaluator.select_ready(opened[2:], document, days, answered))) == 2


def test_during_a_rollout_without_a_window_it_is_learnt_before_anything_is_judged():
    document, evaluator = phase()
    threads = [thread(number, delay=30) for number in range(200)]

    assert list(evaluator.select_ready(threads[:10], document, 10 * SECOND)) == []
    assert evaluator.find_window(threads, document, 220 * SECOND) == 60.0
    judged = list(evaluator.select_ready(threads, document, 220 * SECOND))
    assert len(judged) == 161
    restored = PhaseEvaluator(document, evaluator.state())
    assert restored.find_window([], document, 0) == 60.0


def drive(document, evaluator, draw, *, threads=3000):
    """Judge threads one by one, each when its window ends, until the canary leaves its share."""
    for number in range(threads):
        found = draw(number)
        for ready, state in evaluator.select_ready([found], document, (number + 10**6) * SECOND):
            if state == "judged":
                document = evaluator.take_outcome(ready, document)
        document = evaluator.decide_move(document, number * SECOND)
        if document.state != "CANARY":
            break
    return document


def draw_threads(seed, *, stable, canary, missing):
    chance = random.Random(seed)

    def draw(number):
        arm = chance.choice(("stable", "canary"))
        success = chance.random() < (canary if arm == "canary" else stable)
        away = chance.random() < missing(arm, success)
        return thread(number, delay=None if away else 1, success=success, arm=arm)

    return draw


def test_a_canary_whose_failures_stay_away_is_paused_with_a_reason():
    ended = []
    for seed in range(20):
        document, evaluator = phase(maturity_s=60.0)
        draw = draw_threads(
            seed,
            stable=0.8,
            canary=0.6,
            missing=lambda arm, success: 0.8 * (arm == "canary" and not success),
        )
        ended.append(drive(document, evaluator, draw))

    assert [document.state for document in ended] == ["PAUSED"] * 20
    assert "outcomes are missing unequally" in ended[0].reason


def test_a_stable_arm_whose_outcomes_stay_away_pauses_too():
    document, evaluator = phase(maturity_s=60.0)
    draw = draw_threads(1, stable=0.8, canary=0.8, missing=lambda arm, _: 0.5 * (arm == "stable"))

    assert drive(document, evaluator, draw).state == "PAUSED"


def test_equal_arms_with_outcomes_missing_at_random_are_seldom_stopped():
    """60 rollouts: with 5 % for each alarm, more than 11 stopped have a chance below 1 in 100."""
    stopped = 0
    for seed in range(60):
        document, evaluator = phase(maturity_s=60.0, min_threads=50)
        draw = draw_threads(seed, stable=0.8, canary=0.8, missing=lambda *_: 0.3)
        stopped += drive(document, evaluator, draw, threads=400).state in ("PAUSED", "ROLLED_BACK")

    assert stopped <= 11


def test_no_success_alone_rolls_a_canary_back():
    """100 against 100 %: 900 threads of stable and a few of the canary, none fails."""
    document, evaluator = phase(maturity_s=0.0, alpha=0.4)
    for number in range(900):
        arm = "canary" if number in (0, 400) else "stable"
        document = evaluator.take_outcome(thread(number, delay=0, arm=arm), document)

    assert document.state in ("CANARY", "PROMOTED", "PAUSED")


def test_after_a_pause_for_missing_outcomes_the_evidence_begins_anew(home, graph):
    rollout = started(home, maturity_s=0.0)
    salt = rollout.document().salt
    store = rollout.store
    with store.transaction() as connection:
        document = rollout.document()
        evaluator = rollout._load_evaluator(connection, document)
        for number in range(60):
            arm = "canary" if number % 2 else "stable"
            if arm == "canary":
                evaluator.analysis.add_missing(arm, 0.5)
            else:
                evaluator.analysis.add(arm, True, 0.5)
        from burnish.canary.ledger import ThreadLedger

        ThreadLedger(connection, document.phase_id).write_evaluator_state(evaluator.state())
    assert rollout.observe()["state"] == "PAUSED"

    status = rollout.advance()

    assert status["state"] == "CANARY"
    assert status["threads"] == {"stable": 0, "canary": 0}
    assert rollout.document().salt != salt
    assert rollout.document().phase_id == rollout.document().salt
    point_to_version(home, VERSION)
    serve(graph, "fresh")
    assert sum(rollout.observe()["threads"].values()) == 1
    assert [point["thread"] for point in rollout.trail()] == ["fresh"]
    rollout.promote(force=True)
    assert [point["thread"] for point in rollout.trail()] == ["fresh"]


def test_the_status_counts_assigned_judged_late_missing_and_waiting_by_arm(home, graph):
    rollout = started(home, maturity_s=0.4)
    arms = {name: run(graph, name).response_metadata["burnish"]["arm"] for name in ("t1", "t2")}
    burnish.outcome(thread_id="t1", success=True, source="crm")
    deadline = time.monotonic() + 30
    while rollout.observe()["waiting"] and time.monotonic() < deadline:
        time.sleep(0.05)
    burnish.outcome(thread_id="t2", success=True, source="crm")
    arms["t3"] = run(graph, "t3").response_metadata["burnish"]["arm"]

    status = rollout.observe()

    states = {"t1": "judged", "t2": "late", "t3": "waiting"}
    for arm in ("stable", "canary"):
        counted = {name: state for name, state in states.items() if arms[name] == arm}
        found = status["arms"][arm]
        assert found["assigned"] == len(counted)
        assert all(found[state] == 1 for state in counted.values())
