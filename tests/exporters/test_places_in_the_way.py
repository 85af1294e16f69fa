"""A file in the place of a folder or version that a build makes is one clear error, and stays."""

import os

import pytest
from runs_by_hand import build_run

from burnish.errors import ExportError, VerificationError
from burnish_exporters import BuildOptions, build_dataset
from burnish_exporters.verify.trust.verifier_quality import QualityStore


def build(home):
    runs = [build_run(n) for n in range(3)]
    return build_dataset(runs, agent="support", verify=["outcome"], options=BuildOptions(home=home))


@pytest.mark.parametrize(
    "put",
    [
        lambda place: place.write_text("x"),
        lambda place: place.symlink_to(place),
        lambda place: place.symlink_to(place.parent / "nothing"),
    ],
    ids=["file", "circle", "link to nothing"],
)
def test_a_folder_of_versions_that_is_none_is_named(tmp_path, put):
    put(tmp_path / "datasets")

    with pytest.raises(ExportError, match="datasets is not a folder"):
        build(tmp_path / "datasets")


@pytest.mark.parametrize(
    "put",
    [
        lambda place: place.write_text("x"),
        lambda place: place.symlink_to(place),
        os.mkfifo,
        lambda place: (place / "manifest.json").mkdir(parents=True),
    ],
    ids=["file", "circle", "pipe", "folder"],
)
def test_what_has_the_name_of_a_version_is_named_and_stays(tmp_path, put):
    version = build(tmp_path / "one").id
    (tmp_path / "two").mkdir()
    place = tmp_path / "two" / version
    put(place)

    with pytest.raises(ExportError, match="is not a dataset version"):
        build(tmp_path / "two")

    assert [path.name for path in (tmp_path / "two").iterdir()] == [version]


def test_measurements_that_cannot_be_read_are_an_error_of_verification(tmp_path):
    (tmp_path / "quality").mkdir()
    os.mkfifo(tmp_path / "quality" / "support.json")

    with pytest.raises(VerificationError):
        QualityStore(tmp_path).read("support")
