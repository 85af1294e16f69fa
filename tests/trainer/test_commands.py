"""The commands of the trainer: their output and exit codes."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from burnish.cli.app import build_app
from burnish.errors import SettingsError
from burnish_trainer.round_commands import parse_settings

ROLLOUTS = ["--set", "evaluate.rollouts=24"]


@pytest.fixture
def cli():
    runner, app = CliRunner(), build_app()

    def call(*arguments: str):
        return runner.invoke(app, list(arguments), catch_exceptions=True)

    return call


@pytest.mark.parametrize("command", ["retrain", "plan", "eval", "demo"])
def test_help_shows_an_example(cli, command):
    shown = cli(command, "--help")
    assert shown.exit_code == 0
    assert f"burnish {command}" in shown.stdout.split("Options")[0].split("Usage")[1]


def test_wrong_usage_ends_with_two(cli):
    assert cli("retrain").exit_code == 2
    assert cli("demo", "--rounds", "0").exit_code == 2
    assert cli("demo", "--verify", "hope").exit_code == 2


def test_an_unknown_agent_is_an_error_of_ours(cli, shop):
    done = cli("retrain", "shp")
    assert type(done.exception).__name__ == "UnknownAgent"


def test_settings_are_read_as_json_or_text():
    given = [
        "train.epochs=4",
        "train.start=base",
        "verify=[]",
        "gate.min_gain=0.5",
        "backend=embedded",
    ]
    assert parse_settings(given) == {
        "train": {"epochs": 4, "start": "base"},
        "verify": [],
        "gate": {"min_gain": 0.5},
        "backend": "embedded",
    }
    for wrong in ("train.epochs", "=3", "a.b.c=1"):
        with pytest.raises(SettingsError, match=r"table\.key=value"):
            parse_settings([wrong])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_eval_and_retrain_print_json_and_say_by_their_exit_code_whether_it_was_promoted(
    cli, shop, home, engine
):
    same = cli("eval", "shop", "--json")
    assert same.exit_code == 3, same.output
    told = json.loads(same.stdout)
    assert told["pools"]["heldout"]["gain"] == 0
    assert told["decision"]["decision"] == "inconclusive"

    stopped = cli("retrain", "shop", *ROLLOUTS, "--set", "gate.min_gain=0.99", "--json")
    assert stopped.exit_code == 3, stopped.output
    report = json.loads(stopped.stdout)
    assert report["status"] in ("rejected", "inconclusive")

    measured = cli("eval", "shop", "--adapter", report["adapter"], "--pool", "standing", "--json")
    assert measured.exit_code == 0, measured.output
    assert set(json.loads(measured.stdout)["pools"]) == {"standing"}

    released = cli("retrain", "shop", "--force", "--json", "--set", "gate.min_gain=0.99")
    assert released.exit_code == 0, released.output
    assert json.loads(released.stdout)["canary"]["state"] == "CANARY"
