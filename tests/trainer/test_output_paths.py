"""A place that cannot be written is one clear error, at each option that names an output, before any work is done."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from burnish.cli.app import build_app
from burnish.errors import SettingsError
from burnish.files.output_files import explain_unwritable, write_output

WRITTEN = {
    "compare markdown": ["compare", "r.jsonl", "r.jsonl", "--markdown", "PLACE"],
    "report html": ["report", "shop", "--html", "PLACE"],
    "report markdown": ["report", "shop", "--markdown", "PLACE"],
    "demo json_path": ["demo", "--json", "PLACE"],
    "demo html": ["demo", "--html", "PLACE"],
    "label export file": ["label", "export", "PLACE"],
    "dataset export to": ["dataset", "export", "x", "--format", "trl-sft", "--to", "PLACE"],
}
READ = ["dataset export template", "dataset check template", "serve token_file", "receive token_file",
        "label import file", "prompts add file", "prompts add replaces"]  # fmt: skip
FOLDERS = {
    "init folder": ["init", "PLACE"],
    "adapters merge out": ["adapters", "merge", "x@1", "PLACE"],
}


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.jsonl").write_text(json.dumps({"task": "a", "success": True}))
    (tmp_path / "folder").mkdir()
    return {
        "a folder": "folder",
        "in a file": "r.jsonl/out",
        "far in a file": "r.jsonl/more/out",
    }


@pytest.mark.parametrize("place", ["a folder", "in a file", "far in a file"])
@pytest.mark.parametrize("option", WRITTEN)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(places, option, place):
    path = places[place]
    done = CliRunner().invoke(build_app(), [path if w == "PLACE" else w for w in WRITTEN[option]])
    assert isinstance(done.exception, SettingsError), done.output
    assert f"{path} cannot be written: " in done.exception.found
    assert done.exception.expected
    assert done.exception.fix
    assert sorted(p.name for p in Path().iterdir()) == ["folder", "r.jsonl"], "nothing is left"


def list_paths(app: typer.Typer, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Each parameter of the command line that takes a path, with its command."""
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        for parameter, hint in typing.get_type_hints(command.callback).items():
            if Path in (hint, *typing.get_args(hint)) and parameter != "home":
                yield " ".join((*words, name, parameter))
    for group in app.registered_groups:
        yield from list_paths(group.typer_instance, (*words, group.name))


def test_each_path_of_the_command_line_is_known_as_written_or_read():
    """A new option that names an output belongs into WRITTEN."""
    assert sorted(list_paths(build_app())) == sorted([*WRITTEN, *READ, *FOLDERS])


@pytest.mark.parametrize("option", FOLDERS)
def test_a_folder_inside_a_file_is_refused(places, option):
    done = CliRunner().invoke(
        build_app(), ["r.jsonl/new" if w == "PLACE" else w for w in FOLDERS[option]]
    )
    assert isinstance(done.exception, SettingsError), done.output


def test_a_home_of_demos_inside_a_file_is_refused(places):
    done = CliRunner().invoke(build_app(), ["demo", "--home", "r.jsonl/demos"])
    assert isinstance(done.exception, SettingsError)
    assert "r.jsonl is a file" in done.exception.found


def test_missing_folders_are_made_and_odd_characters_are_written(tmp_path):
    path = tmp_path / "new" / "more" / "out.md"
    write_output(path, "half \ud800 ü", "--markdown")
    assert path.read_text(encoding="utf-8").startswith("half ? ü\n")
    write_output(path, "again", "--markdown")
    assert path.read_text().startswith("again\n")


def test_a_device_is_written_in_place():
    write_output(Path("/dev/null"), "gone", "--markdown")


def test_the_systems_own_reason_is_told(tmp_path):
    with pytest.raises(SettingsError, match="File name too long"):
        write_output(tmp_path / ("x" * 300), "text", "--html")
    with (
        pytest.raises(SettingsError, match="No space left on device"),
        explain_unwritable(Path("/dev/full"), "--html"),
    ):
        Path("/dev/full").write_text("x")
