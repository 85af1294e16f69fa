"""The toy world of the benchmarks: credit that knows more needs fewer rollouts, and a verifier's errors cost success."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from burnish_trainer.credit import curriculum, mc_step_values

FOLDER = Path(__file__).parents[2] / "benchmarks" / "credit"


def load_script(name, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"credit_{name}", FOLDER / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, found)
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def toolchain(monkeypatch):
    return load_script("toolchain", monkeypatch)


@pytest.fixture
def verification(monkeypatch):
    return load_script("verification", monkeypatch)


def test_turn_rewards_and_states_need_fewer_rollouts_than_grpo_at_equal_step_size(toolchain):
    table = toolchain.measure(3, {"long": (2.0,)}, ["grpo", "turn_level", "gigpo", "empg"])
    figures = toolchain.compare(table)
    assert figures["turn_level"] <= 0.65
    assert figures["gigpo"] <= 0.95
    assert figures["empg"] <= 1.25


def test_exact_success_is_what_rollouts_show(toolchain):
    world, start = toolchain.WORLDS["short"]
    logits = world.start_policy(start)
    assert world.success(logits) == pytest.approx(start)
    chains = world.roll_out(logits, np.repeat(np.arange(4), 2_000), np.random.default_rng(0))
    assert chains.solved.mean() == pytest.approx(start, abs=0.01)
    assert chains.claimed.mean() > 3 * start  # poison looks like a success


def test_false_positives_of_the_verifier_cost_more_than_anything_else(verification):
    def end(name):
        return np.mean(
            [verification.run_rounds(verification.FILTERS[name], s)[0][-1] for s in (0, 1)]
        )

    assert end("perfect") >= 0.90
    assert end("false_positive_20") <= 0.70
    assert end("claims") <= 0.25
    assert end("none") == pytest.approx(0.126, abs=0.02)


def test_confidence_repeats_a_systematic_mistake_and_a_verifier_removes_it(verification):
    chances = {
        name: verification.run_rounds(verification.FILTERS[name], 0, mistake=True)[2]
        for name in ("perfect", "confidence")
    }
    assert chances["perfect"] < 0.15 < verification.MISTAKE < chances["confidence"]


def test_poison_has_the_lowest_value_in_most_failed_runs(toolchain):
    world, _ = toolchain.WORLDS["short"]
    logits = world.start_policy(0.4)
    chains = world.roll_out(logits, np.repeat(np.arange(4), 64), np.random.default_rng(1))
    runs = chains.as_runs(logits)
    values = mc_step_values(runs)
    found = []
    for run in runs:
        poisoned = [t for t, step in enumerate(run.steps) if step.action == 4]
        if poisoned:
            own = [values[run.id, t] for t in range(len(run.steps))]
            found.append(own[poisoned[0]] == min(own))
    assert len(found) > 50
    assert np.mean(found) >= 0.8


def test_the_curriculum_spends_rollouts_where_attempts_differ():
    rng = np.random.default_rng(0)
    rates = {f"t{i}": (0.02, 0.98, 0.02, 0.98, 0.5)[i % 5] for i in range(50)}
    history = {task: [] for task in rates}
    spent = dict.fromkeys(rates, 0)
    for round_number in range(20):
        for task in curriculum(history, 10, seed=round_number):
            history[task].append((int(rng.binomial(8, rates[task])), 8))
            spent[task] += 8
    useful = sum(n for task, n in spent.items() if rates[task] == 0.5) / sum(spent.values())
    assert useful >= 2 * 0.2
