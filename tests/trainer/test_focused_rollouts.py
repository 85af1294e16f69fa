"""Fresh runs of a round go to the kinds of task that fail, and a killed round chooses the same ones again."""

from __future__ import annotations

from collections import Counter

import burnish
from burnish.journal.index.trajectory_index import Query
from burnish_trainer.retrain import retrain

ODD_FAILS = """
def even_task(trajectory, state):
    return int(trajectory.task_id.split("-")[-1]) % 2 == 0
"""
SETTINGS = {"rollouts": 16, "rollout_focus": 0.5, "max_steps": 3, "concurrency": 4}


def kinds_of_runs() -> Counter[str]:
    """Count the recorded fresh runs by the parity of their task."""
    workspace = burnish.Workspace()
    runs = workspace.read(workspace.entries(Query(agent="shop", source="rollout")))
    numbers = [int(str(run.task_id).split("-")[-1]) for run in runs]
    assert len(set(numbers)) == len(numbers), "no task is attempted twice"
    return Counter("odd" if number % 2 else "even" for number in numbers)


def only_even_tasks_succeed(shop) -> None:
    (shop / "shop.py").write_text((shop / "shop.py").read_text() + ODD_FAILS)
    toml = (shop / "burnish.toml").read_text()
    (shop / "burnish.toml").write_text(toml.replace("even_length", "even_task"))


def test_the_second_half_of_the_runs_goes_to_kinds_by_their_failures(shop, home, engine):
    only_even_tasks_succeed(shop)

    report = retrain("shop", dry_run=True, evaluate=SETTINGS)

    assert report.status == "planned"
    # Eight evenly, of which four even ones succeed: expected failure 1/6 and 5/6, so 8 more are 1 and 7.
    assert kinds_of_runs() == {"even": 5, "odd": 11}

    again = retrain("shop", dry_run=True, evaluate=SETTINGS)
    assert again.run_id == report.run_id
    assert kinds_of_runs().total() == 16


def test_without_a_focus_all_runs_go_evenly(shop, home, engine):
    only_even_tasks_succeed(shop)

    retrain("shop", dry_run=True, evaluate={**SETTINGS, "rollout_focus": 0.0})

    assert kinds_of_runs() == {"even": 8, "odd": 8}
