"""Forgetting a person removes content from `content_url` too, and names what it cannot remove."""

import json
import os
import subprocess
import sys

import pytest

from burnish.journal.writer import writer_for
from burnish.records import Outcome
from burnish.telemetry.delivery import shipper
from burnish.telemetry.intake.receiver import OtlpServer
from burnish.telemetry.spans.references import open_store
from burnish.testing.recording import Recording
from burnish.trajectories import assemble
from burnish.workspace import Workspace


@pytest.fixture
def shipped(tmp_path, collector, configured):
    """Two people's runs, their content shipped to a URL."""

    def ship(url, endpoint=collector.url):
        configured(content="reference", content_url=url, otlp_endpoint=endpoint)
        recording = Recording(tmp_path, writer_for(tmp_path))
        for number, name in enumerate(("anna", "bert")):
            recording.write_run(
                f"{number + 1:032x}", user=name, thread_id=name, task=f"{name.upper()}S wish"
            )
        workspace = Workspace(tmp_path)
        for name in ("anna", "bert"):
            evidence = {"letter": f"{name.upper()}S letter"}
            outcome = Outcome(source="crm", success=True, evidence=evidence)
            workspace.append_outcome(outcome, thread_id=name)
        assert shipper.flush_receivers(30) == 0
        return workspace

    return ship


def texts(url):
    files = open_store(url)._files
    return [files.cat_file(path).decode() for path in files.find(open_store(url)._root)]


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path):
    place = f"file://{tmp_path}/content"
    return place if request.param == "file" else f"memory://{tmp_path.name}"


@pytest.mark.parametrize("given", [{"user": "anna"}, {"thread_id": "anna"}])
def test_content_of_one_alone_goes_and_that_of_others_stays(shipped, collector, url, given):
    workspace = shipped(url)
    before = texts(url)
    assert any("ANNAS wish" in text for text in before)
    assert any("ANNAS letter" in text for text in before)

    report = workspace.forget(**given)

    left = texts(url)
    assert report.contents == len(before) - len(left) >= 2
    assert report.contents_left == []
    assert not any("ANNA" in text for text in left)
    bert = next(run for run in assemble(collector.spans()) if run.user == "bert")
    assert (bert.losses, bert.answer) == ({}, "done")
    assert "BERTS wish" in repr(bert)
    assert bert.outcomes[0].evidence == {"letter": "BERTS letter"}


def test_what_cannot_be_removed_is_named_by_its_url(shipped, tmp_path, command_line):
    url = f"file://{tmp_path}/content"
    shipped(url)
    files = (tmp_path / "content").rglob("*.json")
    path = next(path for path in files if "ANNAS wish" in path.read_text())
    path.unlink()
    (path / "in the way").mkdir(parents=True)

    code, printed, _ = command_line("forget", "--user", "anna", "--home", tmp_path, "--json")

    assert code == 0
    assert json.loads(printed)["contents_left"] == [f"file://{path}"]
    assert json.loads(printed)["contents"] >= 1


def test_a_workspace_behind_a_receiver_removes_what_its_spans_name(shipped, tmp_path):
    server = OtlpServer(tmp_path / "central", http_port=0)
    server.start()
    url = f"file://{tmp_path}/content"
    shipped(url, f"http://127.0.0.1:{server.http_port}")
    server.stop()

    report = Workspace(tmp_path / "central").forget(user="anna")

    assert report.contents >= 2
    assert not any("ANNA" in text for text in texts(url))
    (bert,) = Workspace(tmp_path / "central").trajectories()
    assert bert.losses == {}
    assert "BERTS wish" in repr(bert)


def test_what_another_process_removed_is_put_again_where_somebody_says_it_later(
    shipped, collector, tmp_path
):
    url = f"file://{tmp_path}/content"
    shipped(url)
    env = os.environ | {"BURNISH_CONTENT_URL": url}
    command = [sys.executable, "-m", "burnish.cli", "forget", "--user", "anna", "--home", tmp_path]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    assert not any("ANNA" in text for text in texts(url))

    Recording(tmp_path, writer_for(tmp_path)).write_run("9" * 32, user="carl", task="ANNAS wish")
    assert shipper.flush_receivers(30) == 0

    carl = next(run for run in assemble(collector.spans()) if run.user == "carl")
    assert carl.losses == {}
    assert "ANNAS wish" in repr(carl)
