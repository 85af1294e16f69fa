"""The figures of a report are those of the attempts and runs of a real evaluation, counted here in another way."""

from __future__ import annotations

import itertools
import json
import random
import statistics
from collections import defaultdict
from types import SimpleNamespace

import msgspec
import pytest
from typer.testing import CliRunner

import burnish
from burnish import settings
from burnish.cli.app import build_app
from burnish.records import Evaluation
from burnish.statistics.multiplicity import holm_adjust
from burnish_trainer import evaluate
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.evaluation.history.store import save_evaluation
from burnish_trainer.gate import decide
from burnish_trainer.report import assemble_report, find_report, render_markdown, render_page
from burnish_trainer.report.tables import list_tables

ATTEMPTS = 3
OPTIONS = f"[agent.shop.evaluate]\nattempts = {ATTEMPTS}\ntemperature = 1.0\ntrain_sample = 4\n"


def make_tasks(pool, numbers, tags=lambda i: []):
    return [
        {"id": f"{pool}-{i}", "number": i, "kind": "even" if i % 2 == 0 else "odd", "tags": tags(i),
         "input": {"messages": [("user", f"total of order {i}")]}}
        for i in numbers
    ]  # fmt: skip


@pytest.fixture(scope="module")
def measured(base, made, tmp_path_factory):
    """The tiny model and an adapter of it, each three times at 16 tasks, with slices and tasks of training."""
    from burnish.serving.embedded.engine import Engine
    from burnish_trainer import Recipe, train

    folder, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("home")
    (folder / "shop.py").write_text(made.SHOP)
    toml = made.TOML.format(base=base, predicate="even_length")
    (folder / "burnish.toml").write_text(toml.replace("[agent.shop.evaluate]\n", OPTIONS))
    settings.configure(home=home, config=folder / "burnish.toml")
    rng = random.Random(0)
    numbers = [(rng.randint(1000, 9999), rng.randint(1000, 9999)) for _ in range(16)]
    rows = [
        made.row(made.conversation(*pair), row_id=str(i), trajectory_id=f"{i:032x}")
        for i, pair in enumerate(numbers)
    ]
    recipe = Recipe(name="shop", rank=4, epochs=2, learning_rate=3e-2, batch_size=4)
    adapter = train(made.Rows(found=rows), base_model=base, recipe=recipe).id
    pools = {
        "heldout": make_tasks("heldout", range(20, 32), lambda i: ["should-abstain"] * (i < 24)),
        "standing": make_tasks("standing", range(40, 44)),
    }
    found = evaluate("shop", adapters=[None, adapter], tasks=pools)
    yield SimpleNamespace(found=found, home=home, adapter=adapter, pools=pools, folder=folder)
    Engine.close_shared()
    settings.reset()


@pytest.fixture
def facts(measured):
    return assemble_report(measured.found, burnish.Workspace(measured.home))


def labels_of(found: Evaluation, side, pool="heldout"):
    by_task = defaultdict(list)
    for one in found.extras["attempts"][side]:
        if one["pool"] == pool:
            by_task[one["task_id"]].append(one["label"] == "success")
    return by_task


@pytest.mark.slow
def test_pass_at_k_is_the_share_of_all_choices_of_k_attempts_that_hold_a_success(measured, facts):
    rows = facts["pass_at"]["heldout"]
    assert [row["k"] for row in rows] == [1, 2, ATTEMPTS]
    for row in rows:
        for side in ("before", "after"):
            shares = [
                statistics.fmean(any(chosen) for chosen in itertools.combinations(labels, row["k"]))
                for labels in labels_of(measured.found, side).values()
            ]
            assert len(shares) == row["tasks"] == row["families"] == 12
            assert row[side]["rate"] == pytest.approx(statistics.fmean(shares))
            assert row[side]["low"] < row[side]["high"], "12 tasks leave doubt at 0 and 1 too"
            assert row[side]["low"] <= row[side]["rate"] <= row[side]["high"]
        assert row["gain"] == pytest.approx(row["after"]["rate"] - row["before"]["rate"])
        assert row["ci95"][0] <= row["gain"] <= row["ci95"][1]


@pytest.mark.slow
def test_slices_and_kinds_have_their_own_success_and_gain(measured, facts):
    rows = {row["name"]: row for row in facts["slices"]["heldout"]}
    assert list(rows) == ["kind even", "kind odd", "should_abstain"]
    tagged = {f"heldout-{i}" for i in range(20, 24)}
    for side in ("before", "after"):
        solved = [
            ok
            for task, labels in labels_of(measured.found, side).items()
            for ok in labels
            if task in tagged
        ]
        rate = rows["should_abstain"][side]
        assert (rate["successes"], rate["total"]) == (sum(solved), 4 * ATTEMPTS)
    assert holm_adjust({name: row["p_value"] for name, row in rows.items()}) == {
        name: row["p_adjusted"] for name, row in rows.items()
    }
    kinds = [rows["kind even"], rows["kind odd"]]
    heldout = measured.found.pools["heldout"]
    assert sum(row["after"]["successes"] for row in kinds) == heldout.after.successes


@pytest.mark.slow
def test_a_figure_without_data_says_why(measured, facts):
    for side in ("before", "after"):
        conduct = facts["calls"][side]
        assert conduct["instruction_hierarchy"] == {
            "missing": "no task carries the tag instruction_hierarchy"
        }
        assert conduct["failed_calls"] == {"missing": "no run called a tool"}
        assert conduct["abstention"]["whole"] == 4 * ATTEMPTS
    (capability,) = [one for one in facts["limits"] if one["name"] == "capability"]
    assert capability["missing"] == "no task of the pool capability was evaluated"
    assert facts["missing_slices"]["edge"] == "no task carries the tag edge"
    assert "should_abstain" not in facts["missing_slices"]
    assert facts["learning"]["before"] == {"missing": "the base model was not trained here"}
    for text in (render_page(facts), render_markdown(facts).replace("\\", "")):
        assert "no task carries the tag instruction_hierarchy" in text
        assert "no task of the pool capability was evaluated" in text


@pytest.mark.slow
def test_the_gap_compares_tasks_of_training_with_heldout_ones(measured, facts):
    for side in ("before", "after"):
        rates = {
            pool: statistics.fmean(itertools.chain(*labels_of(measured.found, side, pool).values()))
            for pool in ("train", "heldout")
        }
        gap = facts["gap"][side]
        assert gap["gap"] == pytest.approx(rates["train"] - rates["heldout"])
        assert gap["low"] <= gap["gap"] <= gap["high"]
    alone = msgspec.structs.replace(
        measured.found,
        extras={
            **measured.found.extras,
            "attempts": {
                side: [one for one in several if one["pool"] != "train"]
                for side, several in measured.found.extras["attempts"].items()
            },
        },
    )
    missing = assemble_report(alone, burnish.Workspace(measured.home))["gap"]["after"]["missing"]
    assert "set train_sample in [agent.shop.evaluate]" in missing


@pytest.mark.slow
def test_rounds_tell_diversity_entropy_and_pass_at_k(measured, facts):
    base, adapted = facts["rounds"]
    assert (base["adapter"], adapted["adapter"]) == (None, measured.adapter)
    assert (base["objective"], adapted["objective"]) == (None, "sft")
    (table,) = (table for table in list_tables(facts) if table.title == "Rounds")
    assert [row[0] for row in table.rows] == ["base", f"{measured.adapter} (sft)"]
    for one, side in ((base, "before"), (adapted, "after")):
        ids = [
            r["trajectory_id"]
            for r in measured.found.extras["attempts"][side]
            if r["pool"] == "heldout"
        ]
        runs = [burnish.Workspace(measured.home).trajectory(name) for name in ids]
        values = [v for run in runs for call in run.model_calls for v in call.logprobs]
        assert one["entropy"] == pytest.approx(-statistics.fmean(values))
        answers = {run.answer for run in runs}
        assert one["distinct_of_a_run"]["sequences"] == pytest.approx(len(answers) / len(runs))
        shown = facts["pass_at"]["heldout"][1][side]
        assert one["pass_at"]["2"] == pytest.approx(shown)


@pytest.mark.slow
def test_the_learning_curve_is_that_of_the_trainings_metrics(measured, facts):
    curve = facts["learning"]["after"]
    path = measured.home / "runs" / curve["run"] / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [point["loss"] for point in curve["points"]] == [line["loss"] for line in lines]
    assert (curve["first_loss"], curve["last_loss"]) == (lines[0]["loss"], lines[-1]["loss"])
    assert curve["steps"] == lines[-1]["step"] == 8


@pytest.mark.slow
def test_limits_are_those_of_the_gate_with_the_correction_over_all_of_them(measured, facts):
    tested = {one["name"]: one for one in facts["limits"] if one.get("p_worse") is not None}
    assert {"standing", "output_tokens", "steps"} <= set(tested)
    raw = {name: one["p_worse"] for name, one in tested.items()}
    assert {name: one["p_adjusted"] for name, one in tested.items()} == holm_adjust(raw)
    decision = decide(measured.found)
    told = [one["statement"] for one in tested.values() if one["verdict"]]
    assert set(told) <= set(decision.reasons)


@pytest.mark.slow
def test_the_power_is_that_of_the_level_at_which_the_set_was_used(measured):
    workspace = burnish.Workspace(measured.home)
    first = decide(measured.found, number=1)
    tenth = decide(measured.found, number=10)
    source = find_report(measured.home, "shop")
    early, late = (
        assemble_report(source._replace(decision=one), workspace)["power"] for one in (first, tenth)
    )
    assert (early["tasks"], early["families"]) == (12, 12)
    assert (early["decision_on_set"], late["decision_on_set"]) == (1, 10)
    assert late["level"] < early["level"]
    assert late["tasks_for_5_points"] > early["tasks_for_5_points"] > 12
    assert (early["fresh_tasks_due"], late["fresh_tasks_due"]) == (False, True)


@pytest.mark.slow
def test_every_share_in_a_table_has_an_interval(facts):
    for table in list_tables(facts):
        for cell in itertools.chain(*table.rows):
            if " % [" in cell or not cell.endswith(" %"):
                continue
            assert table.title in ("Rounds", "Training and held-out"), (table.title, cell)


@pytest.mark.slow
def test_the_terminal_shows_each_figure_and_each_reason(measured):
    shown = CliRunner().invoke(
        build_app(), ["report", "shop", "--home", str(measured.home)], env={"COLUMNS": "300"}
    )
    assert shown.exit_code == 0, shown.output
    for word in ("Slices", "pass@3", "Conduct", "Limits", "Power", "Rounds", "Learning curve"):
        assert word in shown.stdout
    assert load_agent("shop").config.evaluate.attempts == ATTEMPTS


@pytest.mark.slow
def test_each_stored_evaluation_of_the_same_tasks_is_an_arm_paired_with_the_base(measured, facts):
    heldout = measured.found.pools["heldout"]
    base, adapted = facts["arms"]["arms"]
    assert (base["kind"], adapted["kind"]) == ("base", "adapter")
    assert "gain" not in base
    assert (adapted["gain"], adapted["ci95"]) == (heldout.gain, heldout.ci95)
    assert adapted["p_value"] == adapted["p_adjusted"] == heldout.p_value
    assert list(facts["arms"]["missing_arms"]) == [
        "base with a better prompt",
        "adapter with a better prompt",
    ]


@pytest.mark.slow
def test_prompt_versions_complete_the_four_arms(measured):
    """Runs of the adapter stand for runs under other prompts: this tests how arms are named and paired."""
    workspace, found = burnish.Workspace(measured.home), measured.found
    prompts = {"before_prompt": "tidy@0123456789ab", "after_prompt": "tidy@0123456789ab"}
    options = {**found.extras["options"], "temperature": 0.5}
    extras = {**found.extras, "options": options}
    other = save_evaluation(measured.home, msgspec.structs.replace(found, extras=extras, **prompts))
    hashes = {**found.extras["tasks_sha256"], "heldout": "0" * 64}
    elsewhere = {"extras": {**extras, "tasks_sha256": hashes}, "after_prompt": "x@0123456789ab"}
    foreign = save_evaluation(measured.home, msgspec.structs.replace(found, **elsewhere))
    try:
        facts = assemble_report(found, workspace)
        arms = facts["arms"]["arms"]
        assert [arm["kind"] for arm in arms] == [
            "base",
            "base with a better prompt",
            "adapter",
            "adapter with a better prompt",
        ]
        assert [arm["from"] for arm in arms[1::2]] == [other.name] * 2
        assert arms[1]["gain"] == 0.0, "the same attempts as the base"
        assert arms[3]["gain"] == arms[2]["gain"] == found.pools["heldout"].gain
        raw = {arm["name"]: arm["p_value"] for arm in arms[1:]}
        assert {arm["name"]: arm["p_adjusted"] for arm in arms[1:]} == holm_adjust(raw)
        assert arms[1]["differs"] == ["temperature 1.0 for the base, 0.5 here"]
        assert facts["arms"]["missing_arms"] == {}
        assert "tidy@0123456789ab" in render_page(facts)
    finally:
        for one in (other, foreign):
            (measured.home / "evaluations" / "results" / f"{one.name}.json").unlink()


@pytest.mark.slow
def test_costs_and_regressions_have_intervals_of_their_own(measured, facts):
    by_side = {side: defaultdict(list) for side in ("before", "after")}
    for side, by_task in by_side.items():
        for one in measured.found.extras["attempts"][side]:
            if one["pool"] == "heldout":
                by_task[one["task_id"]].append(one["cost"]["output_tokens"])
    differences = [
        statistics.fmean(by_side["after"][task]) - statistics.fmean(costs)
        for task, costs in by_side["before"].items()
    ]
    change = facts["cost_changes"]["output_tokens"]
    assert change["change"] == pytest.approx(statistics.fmean(differences))
    half = 2.201 * statistics.stdev(differences) / 12**0.5  # Student's t of 11 degrees of freedom
    assert change["ci95"][1] - change["change"] == pytest.approx(half, rel=1e-3)
    pool = measured.found.pools["heldout"]
    lost = facts["pools"]["heldout"]["regressions"]
    assert (lost["part"], lost["whole"]) == (pool.lost, pool.before.successes)
    assert lost["low"] <= pool.lost / pool.before.successes <= lost["high"]
    (cost,) = [table for table in list_tables(facts) if table.title == "Cost"]
    assert cost.columns[-1] == "more of a held-out run [95 %]"
