"""A rollout goes from its first step to promotion or rollback, from any process and after any kill."""

import multiprocessing
import os
import random
import signal

import pytest

from burnish.adapters import PointerReader, SqlControlStore, Target
from burnish.canary import Rollout, assign
from burnish.errors import BaseModelMismatch, CanaryError, RegistryError, ServingError
from burnish.project import CanaryConfig, GuardsConfig

CANDIDATE = Target(base_model="starter")
OTHER = Target(base_model="other")
DEMO = CanaryConfig(steps=[0.25, 0.5, 1.0], min_threads=20)


@pytest.fixture
def rollout(tmp_path):
    return Rollout(tmp_path, "support")


def threads_until_the_end(rollout, *, stable, canary, seed, most=900):
    """Assign threads one by one as the pointer says; return the last status."""
    chance, status = random.Random(seed), rollout.status()
    reader = PointerReader(rollout.home, "support")
    for number in range(most):
        pointer, thread = reader.read(), f"{seed}-{number}"
        share = pointer.share
        arm = "canary" if assign(thread, pointer.salt, share) else "stable"
        rate = canary if arm == "canary" else stable
        status = rollout.record(thread, chance.random() < rate, arm=arm)
        if status["state"] != "CANARY":
            break
    return status


def states(rollout):
    return [event.state for event in rollout.document().events]


def test_before_the_first_rollout_there_is_nothing_to_see_or_move(rollout):
    assert rollout.status()["state"] == "NONE"
    assert rollout.observe()["state"] == "NONE"
    assert rollout.trail() == []
    for move in (rollout.promote, rollout.pause, rollout.advance, lambda: rollout.rollback("x")):
        with pytest.raises(CanaryError, match="the rollout of 'support' is NONE"):
            move()


def test_a_better_canary_is_promoted_step_by_step_with_a_hold_back(rollout, tmp_path):
    rollout.start(CANDIDATE, DEMO)
    status = threads_until_the_end(rollout, stable=0.6, canary=0.95, seed=1)

    document = rollout.document()
    assert states(rollout) == ["STAGED", "CANARY", "CANARY", "PROMOTED"]
    assert [event.share for event in document.events] == [0.0, 0.25, 0.5, 0.95]
    assert (document.stable, document.previous, document.canary) == (CANDIDATE, None, None)
    assert "not worse by more than 5%" in status["reason"]
    assert PointerReader(tmp_path, "support").read().stable == CANDIDATE


def test_a_worse_canary_is_rolled_back_by_itself_within_forty_of_its_threads(tmp_path):
    """Check 80 against 50 % at the demo's steps: the median of nine rollouts counts."""
    needed = []
    for seed in range(9):
        rollout = Rollout(tmp_path / str(seed), "support")
        rollout.start(CANDIDATE, DEMO)
        status = threads_until_the_end(rollout, stable=0.8, canary=0.5, seed=seed)
        assert status["state"] == "ROLLED_BACK"
        assert PointerReader(tmp_path / str(seed), "support").read().canary is None
        needed.append(status["threads"]["canary"])

    assert sorted(needed)[4] <= 40


def test_the_trail_shows_the_evidence_after_each_thread(rollout):
    rollout.start(CANDIDATE, DEMO)
    status = threads_until_the_end(rollout, stable=0.9, canary=0.1, seed=3)
    trail = rollout.trail()

    assert len(trail) == sum(status["threads"].values())
    assert trail[-1]["worse"] == pytest.approx(status["evidence"]["worse"])
    assert trail[-1]["worse"] >= status["needed"]["rollback"] > trail[-2]["worse"]


def test_only_the_first_word_about_a_thread_counts(rollout):
    rollout.start(CANDIDATE, DEMO)
    for success in (True, False, False):
        status = rollout.record("t-1", success, arm="canary")

    assert status["threads"] == {"stable": 0, "canary": 1}
    assert status["successes"]["canary"] == 1


def test_every_move_is_in_the_audit_trail_with_its_reason(rollout):
    rollout.start(CANDIDATE, DEMO)
    rollout.pause("looks odd")
    rollout.advance()
    rollout.rollback("customers complain")

    trail = rollout.registry.audit("support")
    assert [entry["action"] for entry in trail] == [
        "staged",
        "canary",
        "paused",
        "canary",
        "rolled_back",
    ]
    assert [entry["detail"]["reason"] for entry in trail][2:] == [
        "looks odd",
        "continued manually",
        "customers complain",
    ]
    assert all(f":{os.getpid()}" in entry["actor"] for entry in trail)


def test_a_pause_stops_canary_traffic_and_going_on_restores_the_step(rollout, tmp_path):
    rollout.start(CANDIDATE, DEMO)
    rollout.advance()
    rollout.pause()
    reader = PointerReader(tmp_path, "support")
    assert (reader.read().canary, reader.read().share) == (None, 0.0)

    status = rollout.advance()

    assert (status["state"], status["share"]) == ("CANARY", 0.5)
    assert reader.read().canary == CANDIDATE
    with pytest.raises(CanaryError, match="a canary before its last step"):
        rollout.advance()


def test_a_promotion_by_hand_needs_evidence_or_force_and_force_is_on_record(rollout):
    rollout.start(CANDIDATE, DEMO)
    with pytest.raises(CanaryError, match="burnish canary promote support --force"):
        rollout.promote()

    status = rollout.promote(force=True)

    assert (status["state"], status["forced"]) == ("PROMOTED", True)
    assert rollout.registry.audit("support")[-1]["detail"]["forced"] is True


def test_after_a_promotion_a_worse_version_still_goes_back(rollout, tmp_path):
    """The hold-back of 20 % is the control; then the previous version serves again."""
    config = CanaryConfig(steps=[0.5, 1.0], min_threads=20, holdback=0.2)
    rollout.start(OTHER, config)
    rollout.promote(force=True)
    rollout.start(CANDIDATE, config)
    rollout.promote(force=True)
    assert PointerReader(tmp_path, "support").read().previous == OTHER

    chance, status = random.Random(4), rollout.status()
    salt = rollout.document().salt
    for number in range(900):
        thread = f"t{number}"
        held = not assign(thread, salt, 0.8)
        status = rollout.record(thread, chance.random() < (0.9 if held else 0.4))
        if status["state"] != "PROMOTED":
            break

    assert status["state"] == "ROLLED_BACK"
    assert rollout.document().stable == OTHER


def test_a_promotion_can_be_taken_back_by_hand(rollout):
    rollout.start(CANDIDATE, DEMO)
    rollout.promote(force=True)

    assert rollout.rollback("by hand")["state"] == "ROLLED_BACK"
    assert rollout.document().stable is None


def test_a_second_rollout_waits_for_the_first(rollout):
    rollout.start(CANDIDATE, DEMO)

    with pytest.raises(CanaryError, match="a rollout of starter is CANARY"):
        rollout.start(OTHER, DEMO)


def test_what_serves_already_is_not_rolled_out_again(rollout):
    rollout.start(CANDIDATE, DEMO)
    rollout.promote(force=True)

    with pytest.raises(CanaryError, match="already serves"):
        rollout.start(CANDIDATE, DEMO)


def test_each_rollout_draws_its_threads_anew(rollout):
    salts = []
    for _ in range(2):
        rollout.start(CANDIDATE, DEMO)
        salts.append(rollout.document().salt)
        rollout.rollback("again")

    assert len(set(salts)) == 2


def test_an_adapter_without_a_report_is_not_rolled_out(rollout):
    with pytest.raises(RegistryError):
        rollout.start(Target(base_model="starter", adapter="support@" + "0" * 12), DEMO)
    assert rollout.status()["state"] == "NONE"


def test_a_guard_rolls_back_what_success_does_not_see(rollout):
    rollout.start(CANDIDATE, DEMO)
    status = rollout.status()
    for number in range(200):
        arm = "canary" if number % 3 == 0 else "stable"
        breaches = {"errors": arm == "canary" and number % 2 == 0}
        status = rollout.record(f"t{number}", True, arm=arm, breaches=breaches)
        if status["state"] != "CANARY":
            break

    assert status["state"] == "ROLLED_BACK"
    assert "guard 'errors'" in status["reason"]


def test_what_stays_unclear_pauses(tmp_path):
    rollout = Rollout(tmp_path, "support")
    config = CanaryConfig(steps=[0.5, 1.0], min_threads=5, max_threads=40, guards=NO_GUARDS)
    rollout.start(CANDIDATE, config)
    status = threads_until_the_end(rollout, stable=0.7, canary=0.7, seed=2)

    assert status["state"] == "PAUSED"
    assert status["reason"] == "inconclusive after 40 threads"


NO_GUARDS = GuardsConfig(errors=False)


class Backend:
    """A server that loads versions and may fail to serve them."""

    def __init__(self, problem=None):
        self.problem, self.loaded = problem, []

    def load(self, version, path):
        self.loaded.append((version, path))

    def probe(self, version):
        if self.problem:
            raise self.problem
        return {}


@pytest.fixture
def registered(rollout, version, report_on):
    rollout.registry.register("support", version, report_on(version), "promote")
    return version


def test_a_version_is_loaded_and_proven_before_any_traffic(rollout, registered):
    backend = Backend()
    rollout.start(registered, DEMO, backend=backend)

    assert backend.loaded == [(registered, rollout.registry.adapters.path(registered))]
    assert states(rollout) == ["STAGED", "LOADED", "CANARY"]
    assert rollout.document().canary == Target(
        backend="embedded", base_model="starter", adapter=registered
    )
    assert rollout.in_service() == [registered]


@pytest.mark.parametrize("kind", [ServingError, BaseModelMismatch])
def test_a_version_that_cannot_be_proven_gets_no_traffic(rollout, registered, kind):
    problem = kind("another base", "this one", "")

    with pytest.raises(kind):
        rollout.start(registered, DEMO, backend=Backend(problem))

    assert states(rollout) == ["STAGED", "ROLLED_BACK"]
    assert rollout.status()["reason"] == "could not be served: another base"


class Died(BaseException):
    """The process is gone."""


def test_a_start_that_was_killed_before_its_first_step_is_followed_by_the_next(rollout, registered):
    with pytest.raises(Died):
        rollout.start(registered, DEMO, backend=Backend(Died()))
    assert states(rollout) == ["STAGED"]

    rollout.start(registered, DEMO, backend=Backend())

    assert states(rollout) == ["STAGED", "LOADED", "CANARY"]


def _records_until_killed(home, started):
    rollout, chance = Rollout(home, "support"), random.Random(9)
    for number in range(10_000):
        rollout.record(f"t{number}", chance.random() < 0.7)
        if number == 5:
            started.set()


def test_a_process_that_is_killed_between_threads_is_followed_by_the_next(tmp_path):
    rollout = Rollout(tmp_path, "support")
    rollout.start(CANDIDATE, CanaryConfig(min_threads=400, steps=[0.5, 1.0]))
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_records_until_killed, args=(tmp_path, started))
    process.start()
    assert started.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    before = sum(rollout.status()["threads"].values())
    after = rollout.record("another", True)

    assert before >= 6
    assert sum(after["threads"].values()) == before + 1
    assert len(rollout.trail()) == before + 1


def test_two_lookers_at_once_judge_each_thread_once(tmp_path):
    import threading

    rollout = Rollout(tmp_path, "support")
    rollout.start(CANDIDATE, CanaryConfig(min_threads=400, steps=[0.5, 1.0]))

    def look():
        own = Rollout(tmp_path, "support", store=SqlControlStore(tmp_path))
        for number in range(10):
            own.record(f"t{number}", True, arm="canary")

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()

    assert rollout.status()["threads"] == {"stable": 0, "canary": 10}
