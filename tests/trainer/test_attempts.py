"""Attempts have limits, start in clean environments, and survive a killed evaluation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import burnish
from burnish import settings
from burnish_trainer import evaluate
from burnish_trainer.evaluation import RunOptions
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.evaluation.attempts.attempt_log import AttemptLog
from burnish_trainer.evaluation.attempts.ended import EndedAttempt
from burnish_trainer.evaluation.attempts.shared import EvaluationState
from burnish_trainer.evaluation.notes import evaluation_notes
from burnish_trainer.evaluation.runner import read_options
from burnish_trainer.gate import decide


def orders(*numbers):
    return [
        {"id": f"heldout-{i}", "number": i, "input": {"messages": [("user", f"order {i}")]}}
        for i in numbers
    ]


def edit(shop: Path, name: str, old: str, new: str) -> None:
    path = shop / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


_KILLED = """
import burnish
from burnish_trainer import evaluate
from burnish_trainer.evaluation import RunOptions
burnish.configure(home={home!r}, config={config!r})
tasks = [{{"id": f"heldout-{{i}}", "number": i, "input": {{"messages": [("user", f"order {{i}}")]}}}} for i in range(20, 36)]
evaluate("shop", adapters=[None], tasks=tasks, options=RunOptions(concurrency=2))
"""


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_without_repeating_an_attempt_that_ended(shop, home, engine):
    edit(shop, "shop.py", "def note(state):", "def note(state):\n    import time; time.sleep(0.3)")
    script = _KILLED.format(home=str(home), config=str(shop / "burnish.toml"))
    process = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    log = _wait_for_log(home, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    ended, results = AttemptLog(log).read()
    assert 4 <= len(ended) < 16

    found = evaluate(
        "shop",
        adapters=[None],
        tasks=orders(*range(20, 36)),
        options=RunOptions(concurrency=2),
    )
    assert found.pools["heldout"].before.total == 16
    runs = Counter(t.task_id for t in burnish.Workspace().trajectories(agent="shop"))
    assert {task: runs[task] for _, task, _ in ended} == {task: 1 for _, task, _ in ended}
    assert found.extras["remembered"]["before"] == len(results)
    assert not log.exists()


def _wait_for_log(home: Path, process: subprocess.Popen[bytes]) -> Path:
    """Wait until four attempts of the other process have ended."""
    for _ in range(1200):
        for log in (home / "evaluations" / "arms").glob("*.jsonl"):
            if len(AttemptLog(log).read()[0]) >= 4:
                return log
        assert process.poll() is None, "the evaluation ended before it could be killed"
        time.sleep(0.05)
    raise AssertionError("no attempt ended within a minute")


def test_an_incomplete_line_of_the_log_is_skipped(tmp_path):
    log = AttemptLog(tmp_path / "arms" / "a.jsonl")
    log.add_ended(EndedAttempt(task_id="t1", pool="heldout", kind="k", attempt=1))
    with (tmp_path / "arms" / "a.jsonl").open("ab") as file:
        file.write(b'\n{"ended": {"task_id": "t2", "po')
    log.add_ended(EndedAttempt(task_id="t3", pool="heldout", kind="k", attempt=1))
    assert [task for _, task, _ in log.read()[0]] == ["t1", "t3"]


@pytest.mark.slow
def test_an_attempt_that_never_ends_fails_at_its_time_limit_and_holds_up_nothing(shop, engine):
    edit(
        shop,
        "shop.py",
        "def note(state):",
        "def note(state):\n    import time\n"
        "    while world.get().task['number'] == 21: time.sleep(0.05)",
    )
    edit(shop, "burnish.toml", "max_steps = 3", "max_steps = 3\ntime_limit_s = 8")
    options = read_options(load_agent("shop"))
    assert options.time_limit_s == 8
    found = evaluate("shop", adapters=[None], tasks=orders(20, 21, 22), options=options)
    labels = {one["task_id"]: one for one in found.extras["attempts"]["before"]}
    assert labels["heldout-21"]["label"] == "fail"
    assert labels["heldout-21"]["reason"] == "the attempt took longer than 8 s"
    assert labels["heldout-21"]["infrastructure"] is False
    assert {one["status"] for one in labels.values()} == {"completed", "cancelled"}
    told = "base: 1 of 3 attempts did not finish and failed: the attempt took longer than 8 s"
    assert told in evaluation_notes(found)


@pytest.mark.slow
def test_no_attempt_starts_after_the_limit_of_tokens_and_the_gate_says_so(shop, engine):
    options = RunOptions(concurrency=1, token_limit=60)
    found = evaluate("shop", adapters=[None], tasks=orders(*range(20, 30)), options=options)
    skipped = found.extras["skipped"]
    made = sum(one["cost"] != {} for one in found.extras["attempts"]["before"])
    assert 1 <= made < 10
    assert skipped == 10 - made + 10 - len(found.pools["heldout"].tasks)
    decision = decide(found)
    assert decision.decision != "promote"
    assert any("limit of 60 tokens was reached" in reason for reason in decision.reasons)
    # A larger limit continues where the last call stopped.
    more = RunOptions(concurrency=1)
    again = evaluate("shop", adapters=[None], tasks=orders(*range(20, 30)), options=more)
    assert again.extras["remembered"]["before"] == made
    assert again.extras["skipped"] == 0


@pytest.mark.slow
def test_an_environment_that_leaks_or_does_not_open_is_named_and_fails_no_attempt(shop, engine):
    edit(shop, "shop.py", "class Environment:", "LEFT = []\n\nclass Environment:")
    edit(
        shop,
        "shop.py",
        "    def open(self, task): self.task = task; world.set(self)",
        "    def open(self, task):\n"
        "        if task['number'] == 22: raise OSError('no such container')\n"
        "        self.task = task; world.set(self)\n"
        "        if task['number'] == 21:\n"
        "            LEFT.append(1); self.seen = LEFT[1:]",
    )
    options = RunOptions(concurrency=1, attempts=2)
    found = evaluate("shop", adapters=[None], tasks=orders(20, 21, 22), options=options)
    lost = [one for one in found.extras["attempts"]["before"] if one["infrastructure"]]
    assert Counter(one["task_id"] for one in lost) == {"heldout-21": 1, "heldout-22": 2}
    reasons = {one["task_id"]: one["reason"] for one in lost}
    assert "starts in another state than at an earlier attempt" in reasons["heldout-21"]
    assert reasons["heldout-22"] == "the environment did not open: OSError: no such container"
    assert found.pools["heldout"].lost == 0
    assert any("did not open" in note for note in evaluation_notes(found))
    assert any("of the infrastructure" in reason for reason in decide(found).reasons)


@pytest.mark.slow
def test_a_verifier_that_is_not_deterministic_is_named(shop, engine):
    edit(
        shop,
        "shop.py",
        "    return len(trajectory.answer) % 2 == 0",
        "    import pathlib\n"
        f"    path = pathlib.Path({str(shop)!r}, trajectory.id + '.seen')\n"
        "    path.write_text(path.read_text() + 'x' if path.exists() else 'x')\n"
        "    return len(path.read_text()) % 2 == 0",
    )
    found = evaluate("shop", adapters=[None], tasks=orders(20, 21))
    unstable = found.extras["unstable_verdicts"]
    assert {one["verifier"] for one in unstable} == {"goal_state"}
    assert {one["of"] for one in unstable} == {2}
    decision = decide(found)
    assert any(
        "goal_state gave different verdicts on the same run 2 times; of each arm 2 runs" in reason
        for reason in decision.reasons
    )


@pytest.mark.slow
def test_an_async_environment_is_awaited_and_its_variables_reach_the_agent(shop, engine):
    edit(shop, "shop.py", "    def open(self, task):", "    async def open(self, task):")
    edit(shop, "shop.py", "    def close(self):", "    async def close(self):")
    found = evaluate("shop", adapters=[None], tasks=orders(20))
    assert found.pools["heldout"].before.total == 1
    (run,) = burnish.Workspace().trajectories(agent="shop")
    assert run.final_state == {"task": "heldout-20", "seen": [20]}


def test_a_pause_that_a_server_asks_for_is_bounded_and_never_shortened():
    state = EvaluationState()
    state.pause(1e9)
    state.pause(1)
    left = state.paused_s
    assert 800 < left <= 900


def test_results_of_an_earlier_version_are_read(shop, home, engine):
    """Arms that were cached without the fields of today keep their results."""
    evaluate("shop", adapters=[None], tasks=orders(20, 21))
    (arm,) = (Path(settings.current().home) / "evaluations" / "arms").glob("*.json")
    old = [
        {key: value for key, value in one.items() if key != "start_sha256"}
        for one in json.loads(arm.read_text())
    ]
    arm.write_text(json.dumps(old))
    again = evaluate("shop", adapters=[None], tasks=orders(20, 21))
    assert again.extras["remembered"]["before"] == 2
