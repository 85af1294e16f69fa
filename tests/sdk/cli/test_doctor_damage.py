"""`burnish doctor` names damaged files and files that other users may read."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from burnish.cli.app import build_app
from burnish.journal.lifecycle import tombstones
from burnish.testing.recording import Recording
from burnish.workspace import Workspace


@pytest.fixture
def home(tmp_path):
    recording = Recording(tmp_path / "home")
    recording.write_run("a" * 32)
    recording.write_run("b" * 32)
    recording.writer.close()
    return tmp_path / "home"


def findings(home):
    done = CliRunner().invoke(build_app(), ["doctor", "--home", str(home), "--json"])
    return {item["name"]: item for item in json.loads(done.stdout)}


def test_a_whole_private_workspace_has_nothing_to_mend(home):
    found = findings(home)
    assert found["journal"]["ok"]
    assert found["workspace"]["ok"]


def test_small_files_that_are_damaged_and_stray_files_are_named(home):
    tombstones.folder_of(home).mkdir()
    (tombstones.folder_of(home) / "1-a.json").write_bytes(b"")
    (home / "archive.json").write_bytes(b"")
    segments_folder = next(path for path in (home / "journal").iterdir() if path.is_dir())
    (segments_folder / "backup copy.seg").write_bytes(b"")

    journal = findings(home)["journal"]

    assert not journal["ok"]
    assert "damaged_files 2, stray 1 (1-a.json, archive.json)" in journal["detail"]
    assert len(list(Workspace(home).trajectories())) == 2


def test_a_home_that_others_may_read_is_named_and_its_parts_are_mended(home):
    home.chmod(0o755)
    (home / "journal").chmod(0o755)

    found = findings(home)["workspace"]
    assert not found["ok"]
    assert found["fix"] == f"chmod -R go-rwx {home}"
    assert str(home / "journal") in found["detail"]

    writing = Recording(home)
    writing.write_run("c" * 32)
    writing.writer.close()
    assert (home / "journal").stat().st_mode & 0o077 == 0
