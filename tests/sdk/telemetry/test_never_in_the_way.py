"""A fault inside burnish changes nothing for the agent, and doctor shows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.cli.doctor import check_all
from burnish.workspace import Workspace

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.timeout(300)]

HERE = Path(__file__).parent
FAULTS = (
    "handler raises", "disk full", "read-only folder", "exporters hang and raise",
    "clock goes back", "clock jumps", "unserialisable", "100 MB message",
)  # fmt: skip
EXIT_S = 90  # generous: an exit that waits for a hanging exporter would never come


@pytest.fixture(scope="module")
def injected(tmp_path_factory):
    """The folder in which every fault was injected."""
    folder = tmp_path_factory.mktemp("faults")
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("BURNISH_", "PYTEST_"))
    }
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, str(HERE / "faulty_agent.py"), str(folder)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_the_agent_says_streams_and_raises_what_it_did_without(injected, fault):
    bare, *wrapped = json.loads((injected / f"{fault}.json").read_text())["said"]

    assert bare["invoke"][-1][1] == "it is three"
    assert bare.get("exception", "ValueError").startswith("ValueError")
    for each in wrapped:
        assert each == bare


@pytest.mark.parametrize("fault", FAULTS)
def test_the_process_ends_by_itself_and_in_time(injected, fault):
    code, seconds = json.loads((injected / "took.json").read_text())[fault]

    assert code == 0
    assert seconds < EXIT_S


@pytest.mark.parametrize(
    ("fault", "finding", "detail"),
    [
        ("handler raises", "faults", "on_chain_start: LookupError"),
        ("disk full", "faults", "journal refused: JournalFull"),
        ("exporters hang and raise", "shipping", "Hanging-0: "),
        ("exporters hang and raise", "shipping", "Raising-1: "),
        ("unserialisable", "losses", "beside_unserialisable"),
    ],
)
def test_doctor_shows_what_went_wrong(injected, fault, finding, detail):
    found = {item.name: item for item in check_all(injected / fault)}

    assert detail in found[finding].detail
    assert found[finding].ok == (finding == "shipping")


def test_doctor_names_a_folder_that_cannot_be_written():
    found = {item.name: item for item in check_all(Path("/sys/burnish"))}

    assert not found["workspace"].ok
    assert "/sys cannot be written" in found["workspace"].detail


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("handler raises", "capture failed in on_chain_start"),
        ("disk full", "the journal takes no events"),
        ("read-only folder", "the journal takes no events"),
        ("exporters hang and raise", "Raising-1: spans wait in the journal"),
    ],
)
def test_each_kind_of_fault_is_logged_once(injected, fault, words):
    logged = (injected / f"{fault}.log").read_text()

    assert logged.count(words) == 1


@pytest.mark.parametrize("fault", ["clock goes back", "clock jumps", "unserialisable"])
def test_every_run_is_whole_all_the_same(injected, fault):
    runs = list(Workspace(injected / fault).trajectories())

    assert len(runs) == 9
    assert [run.status for run in runs].count("failed") == 1
    whole = [run for run in runs if run.status == "completed"]
    assert {(len(run.model_calls), len(run.tool_runs)) for run in whole} == {(3, 3)}


def test_what_was_recorded_before_and_after_a_full_disk_is_there(injected):
    runs = list(Workspace(injected / "disk full").trajectories())
    whole = [run.status in ("completed", "failed") and not run.losses for run in runs]

    assert whole[-9:] == [True] * 9  # there was room again
    assert 0 < len(runs) - 9 <= 9
    assert not all(whole)


def test_a_message_of_100_megabytes_is_kept_whole(injected):
    (run,) = Workspace(injected / "100 MB message").trajectories()
    texts = [
        part["content"] for message in run.model_calls[0].messages for part in message["parts"]
    ]

    assert len(texts[-1]) == 100_000_000


def test_spans_that_an_exporter_did_not_take_are_counted(injected):
    told = json.loads((injected / "exporters hang and raise.json").read_text())

    assert told["left"] > 2 * 9 * 7
