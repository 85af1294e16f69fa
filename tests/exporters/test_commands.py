"""`burnish dataset` builds and shows versions of a real workspace."""

import json

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from typer.testing import CliRunner

import burnish
from burnish.errors import EmptyDataset, ExportError, NoVerifier, UnknownAgent, VersionConflict
from burnish.testing import ScriptedChatModel
from burnish_exporters.commands.dataset import app

CHECKS = """
def reached(run, state):
    return state == {"cancelled": [3]}
"""
CONFIG = """
[agent.support]
build = "agent:build"
verify = [{ goal_state = "desk_checks:reached" }]
base_model = "starter"
"""


class Desk:
    """A world with one action."""

    def __init__(self):
        self.cancelled = []

    def state(self):
        return {"cancelled": self.cancelled}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with burnish.toml, a check, and two captured runs: one reached its goal, one did not."""
    from langchain.agents import create_agent

    (tmp_path / "burnish.toml").write_text(CONFIG)
    (tmp_path / "desk_checks.py").write_text(CHECKS)
    monkeypatch.chdir(tmp_path)
    for order in (3, 4):
        desk = Desk()

        @tool
        def cancel(order: int) -> str:
            """Cancel an order."""
            desk.cancelled.append(order)  # noqa: B023 - used before the loop continues
            return "done"

        call = {"name": "cancel", "args": {"order": order}, "id": f"c{order}"}
        model = ScriptedChatModel(script=[AIMessage("", tool_calls=[call]), "Cancelled."])
        graph = burnish.wrap(create_agent(model, [cancel]), agent="support")
        with burnish.task(id=f"cancel-{order}", environment=desk):
            graph.invoke({"messages": [("user", f"Cancel order {order}.")]})
    burnish.flush(5)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_build_verifies_by_final_state_and_prints_the_manifest(project):
    shown = json.loads(run("build", "support", "--json").stdout)

    assert shown["rows"] == {"train": 1}
    assert shown["verifiers"][0]["name"] == "goal_state"
    dropped = {r: n for stage in shown["funnel"] for r, n in stage["dropped"].items()}
    assert dropped == {"failed": 1}


def test_show_finds_a_version_by_name_and_prints_rows(project):
    built = json.loads(run("build", "support", "--json").stdout)

    shown = json.loads(run("show", "support", "--rows", "1", "--json").stdout)

    assert shown["id"] == built["id"]
    assert shown["first_rows"][0]["task_id"] == "cancel-3"


def test_tables_tell_rows_funnel_and_verifiers(project):
    run("build", "support")

    output = run("show", "support").stdout

    for text in ("support@", "train 1", "goal_state", "failed 1"):
        assert text in output


def test_list_has_every_version_and_verify_accepts_it(project):
    built = json.loads(run("build", "support", "--json").stdout)
    run("build", "support", "--name", "other")

    names = [entry["name"] for entry in json.loads(run("list", "--json").stdout)]

    assert sorted(names) == ["other", "support"]
    assert "is unaltered" in run("verify", built["id"]).stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["build", "suport"], UnknownAgent),
        (["show", "nothing"], ExportError),
    ],
)
def test_what_is_not_there_is_one_clear_error(project, arguments, error):
    with pytest.raises(error):
        run(*arguments)


def test_an_agent_without_verifier_or_without_runs_cannot_be_built(project):
    config = project / "burnish.toml"
    config.write_text(CONFIG.replace('[{ goal_state = "desk_checks:reached" }]', "[]"))
    with pytest.raises(NoVerifier):
        run("build", "support")
    config.write_text(CONFIG.replace("agent.support", "agent.idle"))
    with pytest.raises(EmptyDataset, match="0 runs came in"):
        run("build", "idle")


def test_an_altered_version_is_refused(project):
    built = json.loads(run("build", "support", "--json").stdout)
    manifest = project / "home" / "datasets" / built["id"] / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"max_per_task": 4', '"max_per_task": 5'))

    with pytest.raises(VersionConflict):
        run("verify", built["id"])


def test_rebuilding_gives_the_same_version(project):
    built = json.loads(run("build", "support", "--set", "max_per_task=3", "--json").stdout)

    assert f"{built['id']}: the same version" in run("rebuild", "support").stdout


def test_a_version_travels_and_is_checked_on_arrival(project, tmp_path):
    built = json.loads(run("build", "support", "--json").stdout)
    target = run("push", "support", f"file://{tmp_path}/store").stdout.strip()

    assert run("pull", target, "--home", str(tmp_path / "elsewhere")).stdout.strip() == built["id"]
    with pytest.raises(VersionConflict, match="exists"):
        run("push", "support", f"file://{tmp_path}/store")
    manifest = tmp_path / "store" / built["id"] / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"min_rows": 1', '"min_rows": 2'))
    with pytest.raises(VersionConflict, match="was altered"):
        run("pull", target, "--home", str(tmp_path / "third"))
    assert not list((tmp_path / "third" / "datasets").iterdir())


def test_diff_tells_what_came_and_went_and_why(make_run):
    from burnish_exporters import build_dataset
    from burnish_exporters.dataset import compare_versions

    old, new = (
        build_dataset(runs, agent="support", verify=["outcome"], recipe=recipe)
        for runs, recipe in (
            ([make_run(1), make_run(2)], {}),
            ([make_run(2, calls=3), make_run(3), make_run(4, success=False)], {"max_per_task": 2}),
        )
    )

    found = compare_versions(old, new)

    one, two, three = (make_run(n).id for n in (1, 2, 3))
    assert (found.added, found.removed, found.changed) == (
        {"train": [three]}, {"train": [one]}, {"train": [two]}
    )  # fmt: skip
    assert found.recipe == {"max_per_task": [4, 2]}
    assert found.dropped == {"failed": [0, 1]}


def test_gc_lists_and_then_removes_what_nothing_refers_to(project, home):
    for most in ("1", "2", "3"):
        run("build", "support", "--set", f"max_per_task={most}")
    ids = [entry["id"] for entry in json.loads(run("list", "--json").stdout)]
    adapter = home / "adapters" / "a@1"
    adapter.mkdir(parents=True)
    (adapter / "burnish.json").write_text(json.dumps({"dataset": ids[2]}))

    listed = run("gc", "--keep", "1").stdout
    run("gc", "--keep", "1", "--yes")

    assert listed.strip() == f"would remove: {ids[1]}"
    left = [entry["id"] for entry in json.loads(run("list", "--json").stdout)]
    assert sorted(left) == sorted([ids[0], ids[2]])


def test_choices_of_the_recipe_are_typed_or_read_from_a_file(project):
    (project / "recipe.toml").write_text('kinds = ["refund"]\nrights = ["internal"]\n')

    output = run(
        "build", "support", "--set", "heldout=0.0", "--set", "weigh=task", "--set", "@recipe.toml"
    ).stdout
    shown = json.loads(run("show", "support", "--json").stdout)

    assert (shown["recipe"]["weigh"], shown["recipe"]["kinds"]) == ("task", ["refund"])
    assert shown["extras"]["rights"] == ["internal"]
    assert "warning: no run of kind 'refund' was recorded" in output


def test_burnish_toml_adds_any_choice_of_the_recipe(project):
    table = '[agent.support.dataset]\nrecipe = { kinds = ["refund"], weigh = "task" }\n'
    (project / "burnish.toml").write_text(CONFIG + table)

    shown = json.loads(run("build", "support", "--json").stdout)

    assert (shown["recipe"]["weigh"], shown["recipe"]["kinds"]) == ("task", ["refund"])
    (project / "burnish.toml").write_text(CONFIG + table.replace("weigh", "wiegh"))
    with pytest.raises(ExportError, match="expected 'weigh'"):
        run("build", "support")


@pytest.mark.parametrize("choice", ["weigh", "=3", "@missing.toml", "max_per_tusk=3"])
def test_a_choice_that_is_none_is_refused(project, choice):
    with pytest.raises(ExportError):
        run("build", "support", "--set", choice)


def test_a_version_goes_on_from_the_newest_one_unless_told_otherwise(project):
    first = json.loads(run("build", "support", "--json").stdout)

    second = json.loads(run("build", "support", "--set", "weigh=task", "--json").stdout)
    third = json.loads(
        run("build", "support", "--set", "max_per_task=9", "--from", "none", "--json").stdout
    )

    assert (first["parents"], second["parents"], third["parents"]) == ([], [first["id"]], [])
    assert "is not there any more" not in run("diff", first["id"], second["id"]).stdout


def test_what_was_dropped_is_listed_with_its_reason(project):
    run("build", "support")

    listed = json.loads(run("dropped", "support", "--json").stdout)

    assert list(listed.values()) == [["verify", "failed"]]
    assert "failed" in run("dropped", "support").stdout
    assert "coverage" in run("show", "support").stdout


def test_progress_is_told_with_the_commonest_reasons():
    from burnish_exporters.commands.choices import format_progress
    from burnish_exporters.funnel import Funnel

    funnel = Funnel()
    funnel.keep("source", 1500)
    for reason, count in (("failed", 400), ("a", 2), ("b", 3), ("c", 1)):
        for _ in range(count):
            funnel.drop("verify", reason)
    funnel.keep("rows", 1094)

    assert format_progress(funnel) == "1,500 runs, 1,094 kept, 400 failed, 3 b, 2 a"
