"""Keys of other parties cannot lead out of their folder."""

from pathlib import Path

import pytest

from burnish.errors import ExportError, SettingsError, WorkspaceError
from burnish.files.paths import is_component, is_plain_name, is_version_id, path_inside
from burnish.project import load_project


@pytest.mark.parametrize(
    "key",
    [
        "", ".", "..", "../x", "a/../../x", "a/..", "/etc/passwd", "a//b", "a/./b", "a\\..\\b",
        "C:/x", "c:x", "a\x00b", "a/\n", "x/" + "\x7f",
    ],
)  # fmt: skip
def test_a_key_that_could_lead_elsewhere_is_refused(tmp_path: Path, key: str):
    with pytest.raises(ExportError, match="key"):
        path_inside(tmp_path, key, ExportError)


def test_a_key_may_not_pass_a_link_out_of_the_folder(tmp_path: Path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)

    with pytest.raises(WorkspaceError, match="leads to"):
        path_inside(inside, "link/file")


def test_ordinary_keys_become_paths(tmp_path: Path):
    assert path_inside(tmp_path, "rows/train.parquet") == tmp_path / "rows" / "train.parquet"
    assert path_inside(tmp_path, "a@0123456789ab") == tmp_path / "a@0123456789ab"
    assert path_inside(tmp_path, "..hidden") == tmp_path / "..hidden"


def test_names_and_ids_have_one_form():
    assert is_plain_name("support-desk_2.1")
    assert not is_plain_name(".hidden")
    assert not is_plain_name("a/b")
    assert is_version_id("support@0123456789ab")
    assert not is_version_id("../support@0123456789ab")
    assert not is_version_id("support@0123456789ab\n")
    assert not is_component("..")


def test_an_agent_whose_name_is_a_path_is_refused_by_name(tmp_path: Path):
    file = tmp_path / "burnish.toml"
    file.write_text('[agent."../../x"]\nbuild = "m:f"\n')

    with pytest.raises(SettingsError, match=r"agent name '\.\./\.\./x'"):
        load_project(file)
