"""A call with nothing new does nothing, a plan shows what a round costs, and receipts of earlier rounds are used."""

from __future__ import annotations

import json

import msgspec
import pytest
from scripted_runs import record
from typer.testing import CliRunner

import burnish
from burnish.adapters.control import SqlControlStore
from burnish.cli.app import build_app
from burnish.records import Evaluation, RetrainReport
from burnish_exporters import build_dataset
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.overrides import apply_overrides
from burnish_trainer.retrain import round_settings
from burnish_trainer.rounds.context import RoundOptions
from burnish_trainer.rounds.history import continues_from, read_rounds
from burnish_trainer.rounds.news import News, describe_unchanged, find_news, write_positions
from burnish_trainer.rounds.stages import Stages, list_runs, open_run, read_receipt


@pytest.fixture
def cli():
    runner, app = CliRunner(), build_app()

    def call(*arguments: str, given: str | None = None):
        return runner.invoke(app, list(arguments), input=given, catch_exceptions=True)

    return call


@pytest.fixture
def subject(shop):
    return load_agent("shop")


def ended_round(home, subject, dataset: str | None = None, **changes):
    """A round that ended without an adapter, as its receipts say it."""
    stages = open_run(home, "shop", round_settings(subject, RoundOptions(**changes)))
    write_positions(stages.folder, burnish.Workspace())
    report = RetrainReport(
        agent="shop",
        run_id=stages.run_id,
        path=str(stages.folder),
        status="rejected",
        dataset=dataset,
    )
    stages.end(msgspec.to_builtins(report))
    return stages.folder


def test_only_a_new_verified_success_is_something_new(home, subject):
    record(subject, [80, 81], "even")
    last = ended_round(home, subject)
    assert find_news(subject, last, None) == News()
    record(subject, [82], "odd")
    record(subject, [83], "even", source="evaluation")
    assert find_news(subject, last, None) == News(failures=1)
    assert find_news(subject, last, None) == News(failures=1), "its verdict is no new run"
    assert "1 new runs did not succeed" in describe_unchanged(subject, last, None)
    record(subject, [84, 85], "even")
    assert find_news(subject, last, None) == News(successes=2, failures=1)
    assert describe_unchanged(subject, last, None) is None


def test_failures_are_new_where_the_recipe_learns_from_them(home, shop, subject):
    last = ended_round(home, subject)
    record(subject, [82], "odd")
    assert describe_unchanged(subject, last, None) is not None
    contrast = apply_overrides(subject.project, "shop", {"dataset": {"recipe": {"contrast": True}}})
    assert describe_unchanged(contrast, last, None) is None


def test_a_late_outcome_of_an_old_run_is_something_new(home, shop, subject):
    late = apply_overrides(subject.project, "shop", {"verify": ["outcome"]})
    record(subject, [80, 81], "even")
    first, second = (entry.thread_id for entry in burnish.Workspace().entries())
    last = ended_round(home, late)
    assert find_news(late, last, None) == News()
    burnish.outcome(thread_id=first, success=True, source="crm")
    burnish.outcome(thread_id=second, success=False, source="crm")
    assert find_news(late, last, None) == News(successes=1, failures=1)


def test_runs_that_the_dataset_holds_are_not_new(home, subject):
    empty = ended_round(home, subject)
    record(subject, [80, 81, 82], "even")
    made = build_dataset(burnish.Workspace(), agent="shop", verify=subject.verifiers)
    assert find_news(subject, empty, None).successes == 3
    assert find_news(subject, empty, made.id) == News()


def test_a_round_of_an_earlier_version_of_burnish_does_not_hold_up_the_next(home, subject):
    last = ended_round(home, subject)
    (last / "positions.json").unlink()
    assert find_news(subject, last, None) is None
    assert describe_unchanged(subject, last, None) is None


def test_a_call_with_nothing_new_does_nothing_and_says_so(cli, home, subject, monkeypatch):
    monkeypatch.delenv("BURNISH_QUIET")
    record(subject, [80, 81], "even")
    ended_round(home, subject)
    before = sorted((path, path.stat().st_mtime_ns) for path in (home / "runs").rglob("*.json"))
    done = cli("retrain", "shop", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["status"], told["run_id"]) == ("unchanged", "retrain-shop-0001")
    said = cli("retrain", "shop").stderr
    assert "nothing new since round 1 (retrain-shop-0001, rejected)" in said
    assert "burnish retrain shop --again repeats it" in said
    after = sorted((path, path.stat().st_mtime_ns) for path in (home / "runs").rglob("*.json"))
    assert after == before


def test_agents_whose_names_begin_alike_have_their_own_rounds(home):
    first, second = open_run(home, "shop", {}), open_run(home, "shop-2", {})
    assert (first.run_id, second.run_id) == ("retrain-shop-0001", "retrain-shop-2-0001")
    assert list_runs(home, "shop") == [first.folder]


def test_the_output_of_an_earlier_round_is_used_for_the_same_inputs_while_it_is_valid(home):
    first = open_run(home, "shop", {"canary": 1})
    first.do("train", ["a"], lambda: {"id": "one"})
    first.end({})
    second = open_run(home, "shop", {"canary": 2})
    altered = second.do("train", ["a"], lambda: {"id": "two"}, still_valid=lambda _: False)
    assert altered == {"id": "two"}
    third = open_run(home, "shop", {"canary": 3})
    assert third.do("train", ["a"], lambda: pytest.fail("trained"), still_valid=bool)["id"] == "two"
    assert read_receipt(third.folder / "stages" / "train.json")["from"] == second.run_id
    assert third.done == [{"name": "train", "status": "done", "seconds": 0.0, "reused": True}]
    assert third.do("train", ["b"], lambda: {"id": "three"}, still_valid=bool)["id"] == "three"


def test_a_failed_stage_is_recorded_until_the_round_ends(home):
    stages = open_run(home, "shop", {})
    stages.fail("train", "no space left")
    run = read_receipt(stages.folder / "run.json")
    assert (run["failed"]["stage"], run["failed"]["error"]) == ("train", "no space left")
    assert open_run(home, "shop", {}).run_id == stages.run_id
    Stages(stages.folder).end({})
    assert "failed" not in read_receipt(stages.folder / "run.json")


@pytest.mark.parametrize(
    ("before", "adapter", "current", "expected"),
    [
        (None, "shop@1", None, True),
        (None, "shop@1", "shop@1", True),
        (None, "shop@1", "shop@2", False),
        ("shop@0", "shop@1", None, False),
    ],
)
def test_a_version_put_into_service_by_hand_is_something_new(before, adapter, current, expected):
    evaluation = Evaluation(
        agent="shop", base_model="b", before=before, after=adapter, pools={}, trajectories=0
    )
    report = RetrainReport(
        agent="shop",
        run_id="r",
        path="",
        status="rejected",
        adapter=adapter,
        evaluation=evaluation,
    )
    assert continues_from(report, current) is expected


def test_the_log_shows_what_each_round_changed_against_the_one_before(
    cli, home, subject, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "240")
    first = open_run(home, "shop", {"config": {"train": {"epochs": 3}}, "code": "a" * 40})
    first.do("readiness", [], lambda: {"current": None})
    first.do("dataset", [], lambda: {"id": "shop@000000000001", "rows": {"train": 8}})
    first.do("plan", [], lambda: {"training": {"objective": "sft"}, "prompts": ["aa"]})
    first.do("train", [], lambda: {"id": "shop@000000000002"})
    first.end({"broken": True})
    second = open_run(home, "shop", {"config": {"train": {"epochs": 4}}, "code": "a" * 40})
    second.do("readiness", [], lambda: {"current": None})
    second.do("dataset", [], lambda: {"id": "shop@000000000003", "rows": {"train": 8}})
    second.do("plan", [], lambda: {"training": {"objective": "sft"}, "prompts": ["aa", "bb"]})
    second.fail("train", "no space left")
    store = SqlControlStore(home)
    with store.transaction() as connection:
        for action in ("canary", "rolled_back"):
            store.record_action(connection, "shop", action, {"candidate": "shop@000000000002"})

    before, after = read_rounds(home, "shop")
    assert before.changes == {}
    assert after.changes == {
        "train.epochs": [3, 4],
        "dataset": ["shop@000000000001", "shop@000000000003"],
        "prompts": [["aa"], ["aa", "bb"]],
        "adapter": ["shop@000000000002", None],
    }
    assert (before.status, before.served) == ("unfinished", "rolled_back")
    assert (after.status, after.failed["stage"], after.rows) == ("failed", "train", 8)
    told = json.loads(cli("rounds", "shop", "--json").stdout)
    assert [one["number"] for one in told["rounds"]] == [1, 2]
    assert json.loads(cli("rounds", "shop", "2", "--json").stdout)["failed"]["error"]
    assert "train.epochs" in cli("rounds", "shop").stdout
    assert "no space left" in cli("rounds", "shop", "2").stdout
    assert type(cli("rounds", "shop", "7").exception).__name__ == "SettingsError"
