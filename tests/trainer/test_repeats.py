"""The current version runs again at the tasks it solved, only where its own losses decide."""

from __future__ import annotations

import pytest
from gate_by_hand import attempt

from burnish.project import GateConfig
from burnish.records import Task
from burnish_trainer import decide, evaluate
from burnish_trainer.evaluation.repeats import repeat_solved
from burnish_trainer.evaluation.rollouts import RunOptions


def asked(*, lost, won=2, repeats=2, attempts=1, aim="success", family=None):
    """Return what is run again when so many of ten solved tasks are lost, and so many of ten others won."""
    pairs = [
        (
            attempt("heldout", f"t{n}", 1, n < 10),
            attempt("heldout", f"t{n}", 1, lost <= n < 10 or n >= 20 - won),
        )
        for n in range(20)
    ]
    tasks = {
        "heldout": [Task(id=f"t{n}", input=n, data={"family": family}) for n in range(20)],
        "capability": [],
    }
    rules = GateConfig(aim=aim, max_regression_rate=0.1)
    calls = []

    def run_again(wanted, options):
        calls.append((wanted, options))
        return [attempt("heldout", "t0", options.first, True)]

    found = repeat_solved(pairs, tasks, RunOptions(attempts=attempts), repeats, rules, run_again)
    assert len(found) == len(calls)
    return calls


def test_more_losses_than_allowed_are_repeated_at_the_solved_tasks():
    ((wanted, options),) = asked(lost=2)
    assert [task.id for task in wanted["heldout"]] == [f"t{n}" for n in range(10)]
    assert list(wanted) == ["heldout"]
    assert list(options.numbers) == [2, 3]


@pytest.mark.parametrize(
    "facts", [{"lost": 1}, {"lost": 5, "repeats": 0}, {"lost": 5, "attempts": 3}]
)
def test_nothing_is_repeated_that_decides_nothing(facts):
    assert asked(**facts) == []


def test_nothing_is_repeated_where_the_gain_alone_rejects():
    assert asked(lost=10, won=0) == []
    assert asked(lost=5, won=2) != []
    assert asked(lost=10, won=0, family="one") != [], "one family shows nothing"
    assert asked(lost=10, won=0, aim="cost") == []
    assert asked(lost=5, won=0, aim="cost") != [], "its loss may be within the margin"


def test_losses_on_the_standing_pool_alone_are_repeated():
    pairs = [
        (attempt("standing", f"t{n}", 1, True), attempt("standing", f"t{n}", 1, n > 5))
        for n in range(10)
    ]
    tasks = {"standing": [Task(id=f"t{n}", input=n) for n in range(10)]}
    found = repeat_solved(pairs, tasks, RunOptions(), 2, GateConfig(), lambda wanted, _: [wanted])
    assert [task.id for task in found[0]["standing"]] == [f"t{n}" for n in range(10)]


@pytest.mark.slow
def test_repeated_attempts_tell_how_often_the_version_before_loses_what_it_solved(shop, engine):
    """Half of the tasks succeed in turn 1 of the base and fail in 2 (as the successor); the others change places.

    The tasks solved in turn 1 run again: turn 3 succeeds and turn 4 fails.
    """
    code = (shop / "shop.py").read_text()
    code = code.replace(
        "def open(self, task): self.task = task; world.set(self)",
        "turns = {}\n"
        "    def open(self, task):\n"
        "        self.task = task; world.set(self)\n"
        "        self.turns[task['id']] = self.turns.get(task['id'], 0) + 1",
    )
    code = code.replace(
        '{"task": self.task["id"], "seen": self.seen}',
        "{'turn': self.turns[self.task['id']] + self.task['number']}",
    )
    code += "\ndef odd_turn(trajectory, state):\n    return state['turn'] % 2 == 1\n"
    (shop / "shop.py").write_text(code)
    text = (shop / "burnish.toml").read_text()
    (shop / "burnish.toml").write_text(
        text.replace("shop:even_length", "shop:odd_turn").replace(
            "max_steps = 3", "max_steps = 3\nsame_start = false"
        )
    )

    found = evaluate("shop", adapters=[None, None], fresh=True)

    counted = [task for name in ("heldout", "standing") for task in found.pools[name].tasks]
    assert [(t.solved, t.lost, t.won) for t in counted] == [(1, 1, 0), (0, 0, 1)] * 8
    assert [(t.repeats, t.lost_again) for t in counted] == [(2, 1), (0, 0)] * 8
    assert found.extras["repeated"] == 16
    regressions = [r for r in found.extras["regressions"] if r["pool"] != "capability"]
    assert {r["base"] for r in regressions} == {"2 of 3"}
    assert any("fails 8 of 16" in reason for reason in decide(found).reasons)
