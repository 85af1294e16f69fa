"""Several processes look at one canary: each thread is judged once, and a changed outcome is seen."""

import multiprocessing
import random

from routed_agent import run, serve, started

import burnish
from burnish.adapters import Target
from burnish.canary import Rollout
from burnish.canary.ledger import ThreadLedger
from burnish.project import CanaryConfig


def look_often(home, begin, times):
    begin.wait(60)
    rollout = Rollout(home, "support")
    for _ in range(times):
        rollout.observe()


def look_from_processes(home, processes=2, times=6):
    context = multiprocessing.get_context("spawn")
    begin = context.Event()
    lookers = [
        context.Process(target=look_often, args=(home, begin, times)) for _ in range(processes)
    ]
    for looker in lookers:
        looker.start()
    begin.set()
    for looker in lookers:
        looker.join(90)
    assert [looker.exitcode for looker in lookers] == [0] * processes


def count_judged(rollout, phase):
    with rollout.store.transaction(write=False) as connection:
        ledger = ThreadLedger(connection, phase)
        threads = [thread.thread for thread in ledger.list_threads("judged")]
        return threads, ledger.read_evaluator_state()["judged"]


def test_two_processes_judge_each_thread_once_also_after_the_promotion(home, graph):
    rollout = started(home, steps=[0.5, 1.0], min_threads=400, holdback=0.4)
    first = [f"t{number}" for number in range(30)]
    for thread in first:
        serve(graph, thread)
    burnish.flush()
    look_from_processes(home)
    judged, counted = count_judged(rollout, rollout.document().rollout)
    assert sorted(judged) == sorted(first)
    assert counted == 30

    rollout.promote(force=True)
    for thread in [*first[:10], "n1", "n2", "n3"]:  # ten conversations continue
        serve(graph, thread)
    burnish.flush()
    look_from_processes(home)

    judged, counted = count_judged(rollout, rollout.document().phase_id)
    assert sorted(judged) == ["n1", "n2", "n3"]
    assert counted == 3


def test_an_outcome_that_changes_after_it_was_judged_is_seen(home, graph):
    rollout = started(home)
    arm = serve(graph, "t1")
    serve(graph, "t2")
    before = rollout.observe()
    assert before["successes"][arm] >= 1

    burnish.outcome(thread_id="t1", success=False, source="crm")  # the customer's money came back
    after = rollout.observe()

    assert after["successes"][arm] == before["successes"][arm] - 1
    assert after["threads"] == before["threads"]
    assert after["corrected"] == 1
    assert rollout.observe()["corrected"] == 1


def test_a_canary_whose_successes_are_charged_back_is_rolled_back(home, graph):
    rollout = started(home)
    threads = [f"t{number}" for number in range(50)]
    arms = {thread: serve(graph, thread) for thread in threads}
    assert rollout.observe()["state"] == "CANARY"
    for thread in threads:
        if arms[thread] == "canary":
            burnish.outcome(thread_id=thread, success=False, source="crm")

    status = rollout.observe()

    assert status["state"] == "ROLLED_BACK"
    assert "success 0% against 100%" in status["reason"]


def test_successes_that_are_charged_back_after_the_promotion_put_the_old_version_back(home, graph):
    rollout = started(home)
    threads = [f"t{number}" for number in range(50)]
    arms = {thread: serve(graph, thread) for thread in threads}
    rollout.observe()
    assert rollout.promote(force=True)["state"] == "PROMOTED"
    for thread in threads[:4]:
        if arms[thread] == "canary":
            burnish.outcome(thread_id=thread, success=False, source="crm")
    followed = rollout.observe()
    assert followed["state"] == "PROMOTED"
    assert followed["canary"]["corrected"] == sum(arms[t] == "canary" for t in threads[:4])
    assert followed["threads"] == {"stable": 0, "canary": 0}, "those of the hold-back"

    for thread in threads:
        if arms[thread] == "canary":
            burnish.outcome(thread_id=thread, success=False, source="crm")
    status = rollout.observe()

    assert status["state"] == "ROLLED_BACK"
    assert "success 0% against 100%" in status["reason"]
    assert rollout.document().previous is None


def test_threads_that_wait_at_the_promotion_are_judged_after_it(home, graph):
    rollout = started(home)
    arms = {f"t{n}": run(graph, f"t{n}").response_metadata["burnish"]["arm"] for n in range(40)}
    assert rollout.observe()["waiting"] == 40
    assert rollout.promote(force=True)["canary"]["waiting"] == 40
    for thread, arm in arms.items():
        burnish.outcome(thread_id=thread, success=arm == "stable", source="crm")

    status = rollout.observe()

    assert status["state"] == "ROLLED_BACK"
    assert status["threads"]["canary"] >= 3
    assert "success 0% against 100%" in status["reason"]


def test_the_evidence_after_corrections_is_that_of_the_newest_outcomes(home, graph):
    chance = random.Random(3)
    rollout = started(home, min_threads=400)
    threads = [f"t{number}" for number in range(20)]
    for thread in threads:
        run(graph, thread)
        burnish.outcome(thread_id=thread, success=chance.random() < 0.5, source="crm")
    rollout.observe()
    for thread in threads[:7]:
        burnish.outcome(thread_id=thread, success=chance.random() < 0.5, source="crm")
    status = rollout.observe()

    trail = rollout.trail()
    assert len(trail) == 20
    assert trail[-1]["not_worse"] == status["evidence"]["not_worse"]
    assert trail[-1]["worse"] == status["evidence"]["worse"]


def test_breaches_of_guards_are_counted_before_the_outcome_is_due(home, graph):
    """With a window of a day a version that fails is still rolled back at the first look."""
    rollout = Rollout(home, "guarded")
    config = CanaryConfig(steps=[0.5, 1.0], min_threads=400, maturity_s=86400.0, decides="crm")
    rollout.start(Target(base_model="m"), config)
    status = rollout.status()
    for number in range(200):
        arm = "canary" if number % 2 else "stable"
        breaches = {"errors": arm == "canary"}
        status = rollout.record(f"t{number}", True, arm=arm, breaches=breaches)
        if status["state"] != "CANARY":
            break

    assert status["state"] == "ROLLED_BACK"
    assert "guard 'errors'" in status["reason"]
    assert status["threads"] == {"stable": 0, "canary": 0}
