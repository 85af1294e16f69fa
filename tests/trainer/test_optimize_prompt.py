"""GEPA finds a better prompt on training tasks; held-out tasks prove it; a killed optimisation continues.

The chat model that proposes prompts is scripted, in place of a hosted one; GEPA, the agent, its runs, their verification,
the gate and the registry are the real ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest
from prompted_agent import write_project
from typer.testing import CliRunner

import burnish
from burnish import settings
from burnish.adapters import Registry
from burnish.adapters.prompt_store import PromptStore
from burnish.cli.app import build_app
from burnish.errors import EvaluationError, ImportPathError, MissingExtra, SettingsError
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.prompts.optimization import (
    OptimizationOptions,
    choose_tasks,
    optimize_prompt,
    read_own_prompts,
)
from burnish_trainer.release import choose_version

BUDGET = OptimizationOptions(budget=24)
DOUBLE = "You are a clerk. Always double the price."


@pytest.fixture
def project(base, home, tmp_path):
    folder = tmp_path / "project"
    settings.configure(config=write_project(folder, base))
    return folder


def recorded_prompts():
    """Return how often each system prompt was run on each task, and the pools of each prompt."""
    runs, pools = Counter(), {}
    for run in burnish.Workspace().trajectories(source="evaluation"):
        text = run.model_calls[0].messages[0]["parts"][0]["content"]
        runs[run.task_id, text] += 1
        pools.setdefault(text, set()).add(run.metadata["pool"])
    return runs, pools


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_better_prompt_is_found_on_training_tasks_and_proven_on_held_out_ones(project):
    report = optimize_prompt("clerk", "proposals:good", BUDGET)

    shown = str(sys.modules["proposals"].seen[0])  # the reflection model reads runs and verdicts
    assert "please tell me the price of 1" in shown
    assert "goal_state: fail" in shown
    assert report["score"] == {"before": 0.0, "best": 1.0}
    assert report["texts"] == {"system": DOUBLE}
    assert report["status"] == "promote"
    assert report["heldout"]["after"]["rate"] == 1.0
    assert report["reflection"]["failures"] == {}
    made = report["made_with"]
    assert made["verifiers"][0][0].startswith("goal_state")
    assert made["optimizer"].startswith("gepa ")
    runs, pools = recorded_prompts()
    assert pools["You are a clerk. Be polite."] == {"train"}
    assert set(runs.values()) == {1}

    home = burnish.Workspace().home
    version = PromptStore(home).get(report["prompt"])
    assert version.defaults == {"system": "You are a clerk of the shop."}
    assert PromptStore(home).report(version.id)["evaluation"] == report["evaluation"]
    assert Registry(home).require("clerk", None, prompt=version.id).may_serve


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_optimisation_continues_without_repeating_a_run(project):
    """The process dies inside the reflection model's second call."""
    (project / "proposals.py").write_text(
        (project / "proposals.py").read_text()
        + """
import os, pathlib, signal

def die_once(messages):
    marker = pathlib.Path(__file__).with_name("died")
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return propose("You are a clerk. Always double the price.")(messages)

mortal = make(propose("You are a clerk. Be polite."), die_once)
"""
    )
    home = settings.current().home
    command = [
        sys.executable, "-m", "burnish.cli", "optimize-prompt", "clerk",
        "--reflection", "proposals:mortal", "--budget", "24", "--home", str(home), "--json",
    ]  # fmt: skip
    first = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert first.returncode == -9, first.stderr
    assert len(recorded_prompts()[0]) >= 7

    second = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["status"] == "promote"
    assert set(recorded_prompts()[0].values()) == {1}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("broken", "[3-9] times ConnectionError: the proxy is down"),
        ("empty", "[3-9] times an empty reply"),
    ],
)
def test_a_reflection_model_that_always_fails_ends_it_with_its_errors(project, model, error):
    with pytest.raises(EvaluationError, match=f"proposals:{model} failed [3-9] times.*{error}"):
        optimize_prompt("clerk", f"proposals:{model}", BUDGET)
    assert PromptStore(burnish.Workspace().home).list() == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_without_a_better_prompt_nothing_is_stored_or_spent(project):
    (project / "proposals.py").write_text(
        (project / "proposals.py").read_text() + '\npolite = make(propose("Be polite."))\n'
    )
    report = optimize_prompt("clerk", "proposals:polite", OptimizationOptions(budget=14))
    assert (report["status"], report["prompt"]) == ("unchanged", None)
    home = burnish.Workspace().home
    assert PromptStore(home).list() == []
    assert Registry(home).audit() == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_attempts_without_a_verdict_are_counted_apart_and_leave_no_answer(project, capsys):
    """The verifier cannot decide the even numbers; the better prompt solves the others."""
    with (project / "clerk.py").open("a") as file:
        file.write(
            "\ndef sometimes(trajectory, state):\n"
            "    return doubled(trajectory, state) if state['number'] % 2 else None\n"
        )
    toml = project / "burnish.toml"
    toml.write_text(toml.read_text().replace("clerk:doubled", "clerk:sometimes"))

    report = optimize_prompt("clerk", "proposals:good", BUDGET)
    assert report["status"] == "inconclusive"
    assert report["unknown"] > 0
    assert "without a verdict" in report["reasons"][0]
    assert "more than 2%; burnish traces show " in report["reasons"][0]
    home = burnish.Workspace().home
    assert not (home / "evaluations").exists()  # the held-out tasks keep their level
    assert Registry(home).audit() == []
    shown = CliRunner().invoke(
        build_app(),
        ["optimize-prompt", "clerk", "--reflection", "proposals:good", "--budget", "24"],
    )
    assert shown.exit_code == 3
    assert "inconclusive" in shown.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("attempts", [1, 2])
def test_no_more_attempts_are_made_than_the_budget_holds(project, attempts, capsys, monkeypatch):
    """Every budget ends between two batches; the costs and the power of the proof are printed."""
    monkeypatch.delenv("BURNISH_QUIET")
    toml = project / "burnish.toml"
    toml.write_text(
        toml.read_text().replace("concurrency = 4", f"concurrency = 4\nattempts = {attempts}")
    )
    (project / "proposals.py").write_text(
        (project / "proposals.py").read_text() + '\npolite = make(propose("Be polite."))\n'
    )
    budget = 22 * attempts
    report = optimize_prompt("clerk", "proposals:polite", OptimizationOptions(budget=budget))
    made = sum(recorded_prompts()[0].values())
    assert report["attempts"] == made <= budget
    told = " ".join(capsys.readouterr().err.split())
    assert f"at most {budget} attempts: GEPA learns from 4 training tasks" in told
    assert "12 held-out tasks, a new result is decision 1 on them" in told
    assert "proven by" in told

    more = OptimizationOptions(budget=budget + 10 * attempts)
    again = optimize_prompt("clerk", "proposals:polite", more)
    assert again["attempts"] == sum(recorded_prompts()[0].values()) <= more.budget
    assert f"{made} of them made before" in " ".join(capsys.readouterr().err.split())


def test_a_budget_without_room_for_a_proposal_is_refused_first(project):
    with pytest.raises(EvaluationError, match="at least 14: the first prompt"):
        optimize_prompt("clerk", "proposals:good", OptimizationOptions(budget=13))
    assert not recorded_prompts()[0]


def test_a_search_that_no_held_out_task_can_prove_is_refused_first(project):
    path = project / "clerk.py"
    path.write_text(path.read_text().replace('"heldout": (100, 12)', '"heldout": (100, 0)'))
    with pytest.raises(EvaluationError, match="no held-out tasks, so that no prompt"):
        optimize_prompt("clerk", "proposals:good", BUDGET)
    assert not recorded_prompts()[0]


def test_training_tasks_that_also_measure_are_dropped_and_too_few_are_named(project):
    path = project / "clerk.py"
    given = path.read_text()
    path.write_text(given.replace('"train": (10, 8)', '"train": (96, 8)'))
    tasks, dropped = choose_tasks(load_agent("clerk"), OptimizationOptions())
    assert (len(tasks), dropped) == (4, 4)


def test_training_tasks_that_ask_the_same_in_other_words_are_dropped_too(project):
    path = project / "clerk.py"
    given = path.read_text().replace('"train": (10, 8)', '"train": (96, 8)')
    greeting = "{'Hello! ' if pool == 'train' else ''}please tell me"
    path.write_text(
        given.replace("please tell me the price of {i}", f"{greeting} the PRICE of {{i}}")
    )
    tasks, dropped = choose_tasks(load_agent("clerk"), OptimizationOptions())
    assert (len(tasks), dropped) == (4, 4)


def test_too_few_training_tasks_are_named(project):
    with pytest.raises(EvaluationError, match="has 3 training tasks"):
        choose_tasks(load_agent("clerk"), OptimizationOptions(tasks=3))


def test_prompts_come_from_a_file_or_a_module_and_are_named_if_missing(project):
    toml = project / "burnish.toml"
    (project / "system.md").write_text("You are a clerk from a file.")
    given = toml.read_text()

    def read(place):
        toml.write_text(given.replace('"clerk:SYSTEM"', place))
        return read_own_prompts(load_agent("clerk"))

    assert read('"clerk:SYSTEM"') == {"system": "You are a clerk of the shop."}
    assert read('"system.md"') == {"system": "You are a clerk from a file."}
    with pytest.raises(SettingsError, match="is function"):
        read('"clerk:build"')
    with pytest.raises(ImportPathError):
        read('"none.md"')
    toml.write_text(given.replace('prompts = { system = "clerk:SYSTEM" }', ""))
    with pytest.raises(SettingsError, match="names no prompts"):
        optimize_prompt("clerk", "proposals:good")


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("proposals:no_model", "proposals:no_model is str"),
        ("http://localhost:1", "has no name"),
    ],
)
def test_a_reflection_model_of_another_kind_is_refused(project, spec, found):
    with pytest.raises(SettingsError, match=found):
        optimize_prompt("clerk", spec)


def test_without_gepa_the_extra_is_named(project, monkeypatch):
    monkeypatch.setitem(sys.modules, "gepa", None)
    with pytest.raises(MissingExtra, match=r"pip install 'burnish\[optimize\]'"):
        optimize_prompt("clerk", "proposals:good")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_commands_find_a_prompt_count_failures_and_start_a_canary(project):
    def call(*words, code=0):
        done = CliRunner().invoke(build_app(), [*words, "--json"])
        assert done.exit_code == code, (done.output, done.exception)
        return json.loads(done.stdout)

    made = ["optimize-prompt", "clerk", "--reflection", "proposals:flaky", "--budget", "24"]
    report = call(*made)
    model = report["reflection"]
    assert list(model["failures"]) == ["ConnectionError: the proxy is down"]
    assert model["calls"] > model["failures"]["ConnectionError: the proxy is down"]
    status = call("canary", "start", "clerk", "--prompt", report["prompt"])
    assert (status["state"], status["candidate_prompt"]) == ("CANARY", report["prompt"])
    rollout = load_agent("clerk").workspace.canary("clerk")
    rollout.promote(force=True)
    assert choose_version(load_agent("clerk")).prompt == report["prompt"]


def test_help_names_the_options_and_an_example():
    shown = CliRunner().invoke(build_app(), ["optimize-prompt", "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    for word in ("--reflection", "--budget", "--fresh", "burnish optimize-prompt support"):
        assert word in shown.stdout
