"""Every command explains itself, and every command that reads has JSON."""

import msgspec
import pytest
import typer

from burnish.adapters import Target
from burnish.canary import Rollout
from burnish.cli.app import build_app
from burnish.errors import CanaryError
from burnish.journal import cursor
from burnish.journal.events import Dropped
from burnish.journal.reader import process_folders
from burnish.journal.writer import JournalWriter
from burnish.project import CanaryConfig, describe_keys


def leaves(command, path=()):
    """Each command with the words that lead to it."""
    inner = getattr(command, "commands", None)
    if not inner:
        return [path]
    return [leaf for name, one in inner.items() for leaf in leaves(one, (*path, name))]


COMMANDS = leaves(typer.main.get_command(build_app()))


def test_the_tree_holds_the_commands_of_all_packages():
    assert {
        ("traces", "list"),
        ("canary", "promote"),
        ("dataset", "build"),
        ("retrain",),
        ("demo",),
        ("doctor",),
        ("serve",),
    } <= set(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_shows_an_example_of_the_command(words, burnish):
    shown = " ".join(burnish(*words, "--help").split())

    assert "Example" in shown
    assert f"burnish {' '.join(words)}" in shown.partition("Example")[2]


def test_traces_are_listed_and_shown_as_json(project, burnish):
    listed = burnish("traces", "list", "--json")

    assert sorted(one["task_id"] for one in listed) == ["task-0", "task-1"]
    shown = burnish("traces", "show", listed[0]["id"][:6], "--json")
    assert shown["id"] == listed[0]["id"]
    assert len(shown["model_calls"]) == listed[0]["model_calls"] == 2


def test_a_dataset_is_built_listed_and_shown_as_json(project, burnish):
    assert burnish("dataset", "list", "--json") == []
    built = burnish("dataset", "build", "support", "--json")

    assert built["rows"]["train"] == 2
    assert [one["id"] for one in burnish("dataset", "list", "--json")] == [built["id"]]
    assert burnish("dataset", "show", built["id"], "--json")["rows"] == built["rows"]


def test_the_status_of_a_canary_is_json_where_there_is_none(project, burnish):
    assert burnish("canary", "status", "support", "--json")["state"] == "NONE"


def test_what_the_doctor_found_is_json(project, burnish):
    found = {one["name"]: one for one in burnish("doctor", "--json")}

    assert found["burnish.toml"]["detail"].startswith(f"{project}/burnish.toml: support")
    assert found["journal"]["ok"]


def test_the_doctor_lists_every_key_of_the_project_file(burnish):
    keys = burnish("doctor", "--keys", "--json")

    assert [(key["table"], key["key"]) for key in keys] == [row[:2] for row in describe_keys()]
    required = {key["key"] for key in keys if key["required"]}
    assert required == {"build", "base_model"}
    assert "min_gain" in burnish("doctor", "--keys")


def test_the_doctor_says_what_mends_a_damaged_journal(project, burnish):
    [segment] = (project / ".burnish/journal").glob("*/*.seg")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)

    found = {one["name"]: one for one in burnish("doctor", "--json", code=1)}

    assert not found["journal"]["ok"]
    assert "corrupt" in found["journal"]["detail"]
    assert "from a backup" in found["journal"]["fix"]


def test_the_doctor_names_an_exporter_that_is_stuck_and_faults_of_any_process(project, burnish):
    home = project / ".burnish"
    (folder,) = process_folders(home)
    claim = cursor.Claim(cursor.path_of(home, "otlp", folder.name))
    claim.save()
    claim.release()
    JournalWriter(home).append(Dropped(at=1, counts={"fault on_llm_end: KeyError": 3, "queue": 2}))

    found = {item["name"]: item for item in burnish("doctor", "--json", code=1)}
    assert found["shipping"]["ok"]
    assert found["faults"]["detail"] == "on_llm_end: KeyError 3"
    assert found["losses"]["detail"] == "queue 2"
    stuck = cursor.Cursor(moved_ns=1)
    claim.path.write_bytes(msgspec.json.encode(stuck))
    found = {item["name"]: item for item in burnish("doctor", "--json", code=1)}
    assert not found["shipping"]["ok"]
    assert "not moved for over an hour: otlp" in found["shipping"]["detail"]


@pytest.mark.parametrize("move", ["promote", "rollback", "pause", "advance"])
def test_a_move_without_a_rollout_is_one_error_that_says_what_to_do(move, project, burnish):
    with pytest.raises(CanaryError) as caught:
        burnish("canary", move, "support")

    error = caught.value
    assert "support" in str(error)
    assert error.found
    assert error.expected
    assert error.fix.startswith("burnish ")


def test_the_status_of_a_canary_says_who_is_waited_for_and_how_sure_it_is(
    project, burnish, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "160")
    rollout = Rollout(project / ".burnish", "support")
    config = CanaryConfig(decides="crm", maturity_s=0.0, steps=[0.5, 1.0])
    rollout.start(Target(base_model="starter"), config)
    for number in range(4):
        arm = "canary" if number else "stable"
        rollout.record(f"t{number}", True, arm=arm)

    told = " ".join(burnish("canary", "status", "support").split())

    for words in ("3 assigned, 3 judged, 0 late, 0 missing, 0 waiting", "0 s (set as maturity_s)"):
        assert words in told, told
    assert "3 of 3 (100.0%)" in told
    assert "decides at 25" in told
    assert "CANARY at 50%: first step" in told
    assert "{" not in told
