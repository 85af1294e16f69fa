"""Every evaluation is stored and has a report, also that of a version without another one to compare with."""

import json

import msgspec
import pytest
from typer.testing import CliRunner

import burnish
from burnish.cli.app import build_app
from burnish.compare import compare_files, read_results
from burnish.errors import EvaluationError
from burnish.records import Decision
from burnish_trainer import evaluate
from burnish_trainer.evaluation.history.store import (
    list_evaluations,
    save_evaluation,
)
from burnish_trainer.report import assemble_report, find_report, list_reports, render_page


def by_number(given):
    return [
        {"id": f"heldout-{i}", "number": i, "input": {"messages": [("user", f"order {i}")]}}
        for i in given
    ]


@pytest.mark.slow
def test_an_evaluation_of_one_version_has_a_report_of_this_version_alone(shop, home, engine):
    done = CliRunner().invoke(build_app(), ["eval", "shop", "--json"])
    assert done.exit_code == 3, done.output
    (stored,), damaged = list_evaluations(home, "shop")
    assert damaged == []
    printed = json.loads(done.stdout)
    assert msgspec.to_builtins(stored.decision) == printed["decision"]
    assert json.loads(msgspec.json.encode(stored.evaluation.pools)) == printed["pools"]

    shown = CliRunner().invoke(build_app(), ["report", "shop", "--json"])
    facts = json.loads(shown.stdout)
    assert (facts["run"], facts["sides"]) == (stored.name, ["after"])
    assert facts["attempts"]["after"]["all"] == 24
    assert set(facts["measures"]) == {"after"}
    page = render_page(facts)
    assert "base alone" in page
    assert "→" not in page
    printed = CliRunner().invoke(build_app(), ["report", "shop"])
    assert printed.exit_code == 0, printed.output
    assert "gain, points" not in printed.stdout
    priced = CliRunner().invoke(build_app(), ["report", "shop", "--prices", "1", "2", "--json"])
    cost = json.loads(priced.stdout)["measures"]["after"]
    assert cost["usd_per_run"] == pytest.approx(
        (cost["input_tokens"] + 2 * cost["output_tokens"]) / 1e6
    )
    assert ("usd_per_success" in cost) == (facts["attempts"]["after"]["success"] > 0)


@pytest.mark.slow
def test_the_same_results_are_stored_once_and_keep_their_decision(shop, home, engine):
    tasks = by_number([20, 21, 22])
    found = evaluate("shop", adapters=[None], tasks=tasks)
    save_evaluation(home, found, Decision(decision="inconclusive", reasons=["too few"]))
    evaluate("shop", adapters=[None], tasks=tasks)  # all from the cache
    (only,), _ = list_evaluations(home, "shop")
    assert only.decision.reasons == ["too few"]

    evaluate("shop", adapters=[None], tasks=tasks[:2])
    newest, older = list_reports(home, "shop")
    assert (newest.evaluation.pools["heldout"].before.total, older.name) == (2, only.name)
    assert find_report(home, "shop").name == newest.name
    assert find_report(home, "shop", older.name).evaluation == only.evaluation
    listed = CliRunner().invoke(build_app(), ["report", "shop", "--list", "--json"])
    assert [row["report"] for row in json.loads(listed.stdout)] == [newest.name, older.name]


@pytest.mark.slow
def test_a_damaged_evaluation_is_named_and_the_others_are_shown(shop, home, engine):
    found = evaluate("shop", adapters=[None], tasks=by_number([20]))
    stored = save_evaluation(home, found)
    folder = home / "evaluations" / "results"
    name = "eval-shop-0123456789ab"
    (folder / f"{name}.json").write_bytes(b"{cut")
    (folder / "eval-shop-front-0123456789ab.json").write_bytes(b"{of another agent")

    assert list_evaluations(home, "shop")[1] == [name]
    assert find_report(home, "shop").name == stored.name
    with pytest.raises(EvaluationError, match=f"{name} cannot be read"):
        find_report(home, "shop", name)


@pytest.mark.slow
def test_a_prompt_version_makes_another_side_of_the_same_adapter(shop, home, engine):
    found = evaluate("shop", adapters=[None], tasks=by_number([20, 21]))
    assert (found.before_prompt, found.after_prompt) == (None, None)
    other = msgspec.structs.replace(found, after_prompt="shop-prompt@0123456789ab")
    assert save_evaluation(home, other).name != save_evaluation(home, found).name
    facts = assemble_report(other, burnish.Workspace())
    assert facts["sides"] == ["before", "after"]
    assert facts["names"]["after"] == "base with prompt shop-prompt@0123456789ab"


@pytest.mark.slow
def test_what_is_stored_and_cached_can_be_compared(shop, home, engine):
    """The file of an evaluation, and the two arms, hold the same results."""
    prompt = "shop-prompt@0123456789ab"
    evaluate("shop", adapters=[None], tasks=by_number([20, 21, 22]))
    (stored,), _ = list_evaluations(home, "shop")
    path = home / "evaluations" / "results" / f"{stored.name}.json"
    (arm,) = (home / "evaluations" / "arms").glob("*.json")
    from_store, from_arm = read_results(path), read_results(arm)
    assert {o.task: o.value for o in from_store.outcomes} == {
        o.task: o.value for o in from_arm.outcomes
    }
    assert len(from_store.outcomes) == 3
    report = compare_files(f"{path}#before", arm)
    assert (report.tasks, report.gain, report.verdict) == (3, 0.0, "not_shown")
    other = msgspec.structs.replace(stored.evaluation, after_prompt=prompt)
    again = home / "evaluations" / "results" / f"{save_evaluation(home, other).name}.json"
    assert compare_files(path, again).gain == 0.0
