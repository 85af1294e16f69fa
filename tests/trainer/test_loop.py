"""A loop begins a round when it is due, continues after a failed one, excludes a second loop, and ends cleanly."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from scripted_runs import record

import burnish
from burnish.adapters import Target
from burnish.errors import SettingsError, TrainingError
from burnish.files.storage import make_private_folder
from burnish.project import CanaryConfig
from burnish.records import RetrainReport
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.loop import (
    RetrainLoop,
    apply_schedule,
    make_cron_line,
    parse_interval,
)
from burnish_trainer.retrain import round_settings
from burnish_trainer.rounds.context import RoundOptions
from burnish_trainer.rounds.verifying import VerifyingProcess
from burnish_trainer.run.storage import lock_folder, write_json


class Rounds:
    """Stands for `retrain`: notes that it was called, and does what the test says."""

    def __init__(self, *acts) -> None:
        self.acts, self.count = list(acts), 0

    def __call__(self) -> RetrainReport:
        self.count += 1
        if self.acts:
            self.acts.pop(0)()
        return RetrainReport(agent="shop", run_id="r", path="", status="unchanged")


def make_loop(rounds, every=None, successes=None) -> RetrainLoop:
    subject = apply_schedule(load_agent("shop"), every, successes)
    return RetrainLoop(subject, rounds, round_settings(subject, RoundOptions()))


def stop() -> None:
    raise KeyboardInterrupt


def test_a_loop_without_a_schedule_is_refused(shop, home):
    rounds = Rounds()
    with pytest.raises(SettingsError, match="says not when a round is due"):
        make_loop(rounds).run()
    with pytest.raises(SettingsError, match="every"):
        make_loop(rounds, every="sometimes")
    assert rounds.count == 0


def test_a_second_loop_of_the_same_agent_is_refused(shop, home):
    with (
        lock_folder(home / "runs" / ".loop-shop", "a loop of 'shop'"),
        pytest.raises(TrainingError, match=r"a loop of 'shop' in .* is already running"),
    ):
        make_loop(Rounds(), every="1h").run(once=True)


def test_a_round_waits_for_enough_new_verified_successes(shop, home):
    rounds = Rounds()
    loop = make_loop(rounds, successes=3)
    subject = load_agent("shop")
    record(subject, [80, 81], "even")
    record(subject, [82, 83], "odd")
    assert loop.find_reason_to_wait() == "waiting: 2 of 3 new verified successes"
    loop.run(once=True)
    assert rounds.count == 0
    record(subject, [84], "even")
    assert loop.find_reason_to_wait() is None
    loop.run(once=True)
    assert rounds.count == 1


def test_an_interval_counts_from_the_last_round_and_both_conditions_may_be_set(shop, home):
    loop = make_loop(Rounds(), every="6h", successes=1)
    assert loop.find_reason_to_wait() == "waiting: 0 of 1 new verified successes"
    record(load_agent("shop"), [80], "even")
    assert loop.find_reason_to_wait() is None
    make_private_folder(home / "runs" / ".loop-shop")
    write_json(home / "runs" / ".loop-shop" / "loop.json", {"began": time.time() - 5 * 3600})
    assert loop.find_reason_to_wait() == "waiting for the interval of 6h"
    assert loop.find_reason_to_wait(ignore_interval=True) is None
    write_json(home / "runs" / ".loop-shop" / "loop.json", {"began": time.time() - 7 * 3600})
    assert loop.find_reason_to_wait() is None


def test_no_round_begins_while_a_canary_runs(shop, home):
    burnish.Workspace().canary("shop").start(Target(base_model="m"), CanaryConfig())
    assert "is CANARY" in make_loop(Rounds(), every="1m").find_reason_to_wait()


def test_the_loop_continues_after_a_failed_round_and_its_hooks_hear_of_it(shop, home):
    def fail() -> None:
        (home / "runs" / ".loop-shop" / "loop.json").unlink()  # the interval is over at once
        raise TrainingError("no space left", "more", "free some")

    (shop / "listening.py").write_text(
        "heard = []\ndef note(facts): heard.append((facts['event'], facts.get('error')))\n"
    )
    toml = shop / "burnish.toml"
    loop = '[agent.shop.loop]\non_transition = ["listening:note"]\ncheck_every_s = 0.01\n'
    toml.write_text(toml.read_text().replace("[agent.quiet]", f"{loop}[agent.quiet]"))
    rounds = Rounds(fail, stop)
    with pytest.raises(KeyboardInterrupt):
        make_loop(rounds, every="1h").run()
    assert rounds.count == 2
    import listening

    ((event, error),) = listening.heard
    assert event == "round_failed"
    assert "no space left" in error
    with pytest.raises(TrainingError):
        make_loop(Rounds(fail), every="1h").run(once=True)


def set_check_every(shop, seconds: float) -> None:
    toml = shop / "burnish.toml"
    table = f"[agent.shop.loop]\ncheck_every_s = {seconds}\n"
    toml.write_text(toml.read_text().replace("[agent.quiet]", f"{table}[agent.quiet]"))


def test_rounds_that_fail_in_a_row_come_at_growing_pauses(shop, home, capsys, monkeypatch):
    monkeypatch.setenv("BURNISH_QUIET", "")
    set_check_every(shop, 0.05)
    record(load_agent("shop"), [80], "even")
    began: list[float] = []

    def fail() -> None:
        began.append(time.monotonic())
        raise RuntimeError("a fault that is no error of burnish")

    def end() -> None:
        began.append(time.monotonic())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_loop(Rounds(fail, fail, fail, end), successes=1).run()
    pauses = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert [pause >= least for pause, least in zip(pauses, (0.05, 0.1, 0.2), strict=True)] == [
        True
    ] * 3
    assert "RuntimeError: a fault that is no error of burnish" in capsys.readouterr().err


def test_a_clock_that_was_set_back_delays_a_round_by_one_interval(shop, home):
    loop, path = make_loop(Rounds(), every="6h"), home / "runs" / ".loop-shop" / "loop.json"
    make_private_folder(path.parent)
    write_json(path, {"began": time.time() + 1e6})
    assert loop.find_reason_to_wait() == "waiting for the interval of 6h"
    assert json.loads(path.read_text())["began"] <= time.time()


@pytest.mark.parametrize("content", ['{"began": "yesterday"}', '{"began": [1]}', "[]", "{", ""])
def test_a_damaged_note_of_the_last_round_delays_nothing(shop, home, content):
    path = home / "runs" / ".loop-shop" / "loop.json"
    make_private_folder(path.parent)
    path.write_text(content)
    assert make_loop(Rounds(), every="6h").find_reason_to_wait() is None


@pytest.mark.slow
def test_the_verifying_process_is_started_again_and_ends_with_its_loop(shop, home, tmp_path):
    with VerifyingProcess(load_agent("shop"), tmp_path) as verifying:
        assert verifying.restart_ended() is None
        first = verifying._process
        first.kill()
        first.wait()
        assert verifying.restart_ended() == -signal.SIGKILL
        second = verifying._process
        assert second.pid != first.pid
        second.stdin.close()  # as the kernel does for a loop that was killed
        assert second.wait(60) == 0, verifying.log.read_text()
        second.stdin = None


def test_the_loop_tells_that_the_verifying_process_ended(shop, home, capsys, monkeypatch):
    monkeypatch.setenv("BURNISH_QUIET", "")
    set_check_every(shop, 0.01)
    monkeypatch.setattr(VerifyingProcess, "restart_ended", lambda _: 3)
    with pytest.raises(KeyboardInterrupt):
        make_loop(Rounds(stop), every="1h").run()
    assert "ended with status 3 and was started again" in capsys.readouterr().err


def test_a_round_never_runs_code_that_has_changed_since_it_was_imported(shop, home):
    rounds = Rounds(stop)
    subject = apply_schedule(load_agent("shop"), "1h", None)
    settings = round_settings(subject, RoundOptions())
    program = shop / "shop.py"
    loop = RetrainLoop(subject, rounds, settings, program.read_text)
    program.write_text(program.read_text() + "\n# another agent now\n")
    assert loop.run() is True
    assert rounds.count == 0
    with pytest.raises(KeyboardInterrupt):
        RetrainLoop(subject, rounds, settings, program.read_text).run()
    assert rounds.count == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "added"),
    [("shop.py", "\nCHANGED = True\n"), ("burnish.toml", "[agent.shop.gate]\nmin_effect = 0.02\n")],
)
def test_the_command_starts_again_where_its_sources_have_changed(shop, home, name, added):
    set_check_every(shop, 0.2)
    environ = {**os.environ, "BURNISH_CONFIG": str(shop / "burnish.toml"), "BURNISH_QUIET": ""}
    process = subprocess.Popen(
        [sys.executable, "-m", "burnish.cli", "loop", "shop", "--min-new-successes", "1"],
        env={**environ, "BURNISH_HOME": str(home)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        said = [process.stderr.readline()]  # its first look is over
        with (shop / name).open("a") as file:
            file.write(added)
        record(load_agent("shop"), [80], "even")
        said += [process.stderr.readline(), process.stderr.readline()]
    finally:
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=60)[1]
    assert "waiting: 0 of 1 new verified successes" in said[0]
    assert "has changed: the loop starts again" in said[1]
    assert said[2], "the round begins in the new life of the process"
    assert process.returncode == 0, rest
    assert "the loop ended" in rest


@pytest.mark.parametrize(
    ("every", "fields"),
    [("15m", "*/15 * * * *"), ("6h", "0 */6 * * *"), ("1d", "0 3 * * *")],
)
def test_a_cron_line_states_the_interval_and_the_command(shop, home, every, fields):
    line = make_cron_line(apply_schedule(load_agent("shop"), every, None))
    assert line.startswith(f"{fields} cd {shop} && ")
    assert line.endswith(f"-m burnish.cli loop shop --once --home {home}")


@pytest.mark.parametrize("every", ["7m", "60m", "5h", "2d", None])
def test_what_cron_cannot_state_is_refused(shop, home, every):
    with pytest.raises(SettingsError):
        make_cron_line(apply_schedule(load_agent("shop"), every, None))


def test_intervals_are_minutes_hours_or_days():
    assert [parse_interval(text) for text in ("90m", "6h", "2d")] == [5400, 21600, 172800]


@pytest.mark.slow
def test_a_loop_verifies_beside_its_rounds_and_ends_cleanly_at_sigterm(shop, home):
    record(load_agent("shop"), [80, 81], "even")
    arguments = ["loop", "shop", "--min-new-successes", "1000", "--home", str(home)]
    environ = {**os.environ, "BURNISH_CONFIG": str(shop / "burnish.toml"), "BURNISH_QUIET": ""}
    process = subprocess.Popen(
        [sys.executable, "-m", "burnish.cli", *arguments],
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = home / "runs" / ".loop-shop" / "verify.log"
    ends = time.monotonic() + 100
    try:
        said = process.stderr.readline()  # its first look is over
        record(load_agent("shop"), [82], "even")
        while not (log.exists() and "success" in log.read_text()):
            assert time.monotonic() < ends, log.read_text() if log.exists() else "no log"
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        verdicts = [run.verdicts for run in burnish.Workspace(home).trajectories()]
        assert all(given[-1].label == "success" for given in verdicts)
    finally:
        process.send_signal(signal.SIGTERM)
        said += process.communicate(timeout=60)[1]
    assert process.returncode == 0, said
    assert "waiting: 2 of 1000 new verified successes" in said
    assert "the loop ended" in said
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(home) not in left, "the verifying process ended with the loop"
    assert not (home / "runs" / ".loop-shop" / "loop.json").exists(), "no round began"
