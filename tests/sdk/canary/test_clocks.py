"""No clock decides which rollout a thread belongs to, which arm it had, or whether it is judged."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from routed_agent import VERSION, run, serve, started

import burnish
from burnish import trace
from burnish.adapters import SqlControlStore
from burnish.canary.outcomes import Look, ReadingPosition, ThreadReader, find_assignment
from burnish.workspace import Workspace

AGENT = Path(__file__).with_name("routed_agent.py")
MINUTE = 60 * 10**9


def serve_on_a_host(home, *, seconds, name, number):
    """Serve threads in another process whose clock is off; every canary thread fails."""
    given = [str(home), str(seconds), name, str(number)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, str(AGENT), *given], check=True, env=environment, timeout=100)


@pytest.mark.parametrize("seconds", [-3600, -300, 300])
def test_threads_of_a_host_with_a_wrong_clock_are_judged(home, seconds):
    rollout = started(home, min_threads=20)
    serve_on_a_host(home, seconds=seconds, name="far", number=16)

    status = rollout.observe()

    assert sum(arm["assigned"] for arm in status["arms"].values()) == 16
    assert status["successes"] == {"stable": status["threads"]["stable"], "canary": 0}
    assert status["threads"]["canary"] > 0


def test_a_version_that_fails_on_a_host_that_is_behind_is_rolled_back(home):
    rollout = started(home, min_threads=20)
    serve_on_a_host(home, seconds=-300, name="far", number=40)

    assert rollout.observe()["state"] == "ROLLED_BACK"


def test_calls_are_recorded_with_their_rollout_share_and_arm(home, graph):
    rollout = started(home)
    arm = serve(graph, "t")
    (found,) = Workspace(home).trajectories(agent="support")

    policy = found.model_calls[0].policy
    assert (policy.rollout, policy.share, policy.arm) == (rollout.document().rollout, 0.5, arm)


def test_a_call_that_fails_is_recorded_with_its_rollout(home, graph):
    rollout = started(home, adapter="broken@" + "c" * 12, steps=[0.9999, 1.0])
    with pytest.raises(RuntimeError):
        run(graph, "t")
    (found,) = Workspace(home).trajectories(agent="support")

    policy = found.model_calls[0].policy
    assert (policy.rollout, policy.arm) == (rollout.document().rollout, "canary")


def test_the_first_call_is_that_of_the_smallest_share_whatever_the_clocks_say(home, graph):
    document = started(home).document()
    run(graph, "t")
    (found,) = Workspace(home).trajectories(agent="support")
    (call,) = found.model_calls
    stamp = {"rollout": document.phase_id, "arm": "canary", "share": 0.05}
    earlier = replace(
        call, policy=replace(call.policy, **stamp), started_ns=call.started_ns + 9**20
    )
    later = replace(call, policy=replace(call.policy, **stamp | {"arm": "stable", "share": 0.5}))

    found = find_assignment(replace(found, model_calls=[later, earlier]), document)

    assert (found.arm, found.share) == ("canary", 0.05)


def test_calls_of_another_rollout_are_no_part_of_this_one(home, graph):
    first = started(home)
    serve(graph, "old")
    first.rollback("again")
    second = started(home)
    serve(graph, "new")

    assert sum(second.observe()["threads"].values()) == 1


def test_a_rollout_that_an_earlier_version_began_counts_calls_without_a_stamp(home):
    """Such a version recorded adapter and arm alone, and the time of the call determined its rollout."""
    rollout = started(home)
    store = SqlControlStore(home)
    document, version = store.read("support")
    store.write("support", {**document, "stamped": False}, expected_version=version)

    for thread, adapter in (("t1", VERSION), ("t2", None)):
        asked = [{"role": "user", "content": "hi"}]
        with (
            trace(agent="support", thread_id=thread),
            trace.model_call(asked, model="m") as call,
        ):
            call.reply("done", adapter=adapter, arm="canary" if adapter else "stable")
        burnish.outcome(thread_id=thread, success=bool(adapter), source="crm")

    assert rollout.observe()["successes"] == {"stable": 0, "canary": 1}
    assert rollout.observe()["threads"] == {"stable": 1, "canary": 1}


def test_times_are_moved_between_the_looks_that_found_them():
    look = Look([], ReadingPosition(looked_ns=10 * MINUTE), 12 * MINUTE)

    assert [look.clamp(minute * MINUTE) for minute in (0, 11, 99)] == [
        10 * MINUTE,
        11 * MINUTE,
        12 * MINUTE,
    ]
    assert Look([], ReadingPosition(looked_ns=10 * MINUTE), 5 * MINUTE).clamp(3) == 3


def test_threads_that_a_clock_ahead_found_missing_are_waited_for_again(home, graph, monkeypatch):
    rollout = started(home, maturity_s=3600.0)
    for number in range(6):
        run(graph, f"t{number}")
    assert rollout.observe()["waiting"] == 6
    now = time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: now() + 2 * 86400 * 10**9)
        assert rollout.observe()["missed"] == 6

    status = rollout.observe()

    assert (status["missed"], status["waiting"]) == (0, 6)


def test_what_was_read_is_not_read_again_and_a_lost_position_loses_nothing(home, graph):
    rollout = started(home)
    reader = ThreadReader(home, "support", rollout.document().config)
    serve(graph, "t1")
    burnish.flush()
    changed, position = reader.find_changed_threads({})
    assert changed == {"t1"}
    assert reader.find_changed_threads(position)[0] == set()
    burnish.outcome(thread_id="t1", success=False, source="crm")
    burnish.flush()
    assert reader.find_changed_threads(position)[0] == {"t1"}

    before = rollout.observe()["threads"]
    for file in (home / "control" / "canary").iterdir():
        file.unlink()
    assert rollout.observe()["threads"] == before
