"""A version is named by its content: altered or hostile files are refused."""

import json
import os
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from burnish.errors import ExportError, VersionConflict
from burnish_exporters import DatasetVersion, build_dataset
from burnish_exporters.dataset.store import DatasetStore


@pytest.fixture
def version(make_run):
    return build_dataset([make_run(1), make_run(2)], agent="support", verify=["outcome"])


def put_in(version: DatasetVersion, url: str) -> fsspec.AbstractFileSystem:
    files, place = fsspec.url_to_fs(url)
    for path in version.path.rglob("*"):
        if path.is_file():
            files.pipe(f"{place}/{path.relative_to(version.path).as_posix()}", path.read_bytes())
    return files


def change_a_row(version: DatasetVersion) -> None:
    file = version.path / "rows" / "train.parquet"
    table = pq.read_table(file)
    place = table.schema.get_field_index("messages")
    texts = [text.replace("order", "parcel") for text in table.column("messages").to_pylist()]
    pq.write_table(table.set_column(place, table.schema.field(place), [texts]), file)


def change_manifest(version: DatasetVersion, **facts: object) -> None:
    file = version.path / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_bytes()), **facts}))


def test_rows_that_were_changed_are_not_handed_out(version):
    assert len(list(version.rows())) == 2

    change_a_row(version)

    with pytest.raises(VersionConflict, match="was altered: its rows and recipe hash to"):
        next(version.rows())
    with pytest.raises(VersionConflict):
        list(DatasetVersion.open(version.path).export("openai"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-9]),
        lambda file: file.write_bytes(os.urandom(4096)),
        lambda file: file.unlink(),
    ],
    ids=["empty", "cut", "garbage", "gone"],
)
def test_a_damaged_file_is_an_error_of_the_tree(version, damage):
    damage(version.path / "rows" / "train.parquet")

    with pytest.raises(VersionConflict, match="was altered"):
        list(version.rows())


@pytest.mark.parametrize(
    "facts",
    [
        {"rows": {"train": 3}},
        {"agent": "other"},
        {"name": "other"},
        {"id": "other@0123456789ab"},
        {"recipe": {}},
        {"sha256": "0" * 64},
    ],
)
def test_a_manifest_that_does_not_fit_its_rows_is_refused(version, facts):
    change_manifest(version, **facts)

    with pytest.raises(VersionConflict, match="was altered"):
        list(DatasetVersion.open(version.path).rows())


def test_training_refuses_rows_that_were_changed(version):
    from burnish_trainer.run import train

    change_a_row(version)

    with pytest.raises(VersionConflict, match="was altered"):
        train(DatasetVersion.open(version.path), base_model="starter")


def test_a_split_is_no_path(version):
    with pytest.raises(ExportError, match="no split"):
        list(version.rows("../../elsewhere/train"))


@pytest.mark.parametrize("key", ["../escaped", "rows/../../escaped", "rows/..\\..\\escaped"])
def test_pull_refuses_keys_that_lead_out_of_the_version(version, tmp_path: Path, key: str):
    files = put_in(version, "memory://keys")
    files.store[f"/keys/{key}"] = files.store["/keys/card.md"]
    shelf = DatasetStore(tmp_path / "other" / "datasets")
    try:
        with pytest.raises(ExportError, match="key"):
            shelf.pull("memory://keys")
    finally:
        files.store.clear()

    assert not list(tmp_path.rglob("*escaped"))
    assert not list(shelf.folder.glob("*"))


def test_pull_takes_the_files_of_a_version_and_no_others(version, tmp_path: Path):
    files = put_in(version, "memory://more")
    files.pipe("/more/run.sh", b"#!/bin/sh")
    files.pipe("/more/rows/other.parquet", b"")

    pulled = DatasetStore(tmp_path / "other").pull("memory://more")
    files.store.clear()

    assert sorted(p.name for p in pulled.path.rglob("*") if p.is_file()) == [
        "card.md", "dropped.parquet", "manifest.json", "train.parquet"
    ]  # fmt: skip
    assert pulled.id == version.id


def test_pull_follows_no_symbolic_link(version, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("private")
    (version.path / "card.md").unlink()
    (version.path / "card.md").symlink_to(secret)

    with pytest.raises(ExportError, match="symbolic link"):
        DatasetStore(tmp_path / "other").pull(f"file://{version.path}")

    assert not list((tmp_path / "other").glob("*"))


@pytest.mark.parametrize(
    "claimed", ["../escaped@{}", "/tmp/x@{}", "other@{}", "support@000000000000"]
)
def test_pull_refuses_an_id_that_is_not_the_rows(version, tmp_path: Path, claimed: str):
    change_manifest(version, id=claimed.format(version.manifest.sha256[:12]))

    with pytest.raises(VersionConflict, match="was altered"):
        DatasetStore(tmp_path / "other").pull(f"file://{version.path}")

    assert not list((tmp_path / "other").glob("*"))


def test_pull_does_not_believe_what_is_on_the_shelf_already(version, tmp_path: Path):
    shelf = DatasetStore(tmp_path / "other")
    change_a_row(shelf.pull(f"file://{version.path}"))

    with pytest.raises(VersionConflict, match="was altered"):
        shelf.pull(f"file://{version.path}")


def test_push_refuses_a_version_that_was_changed(version, tmp_path: Path):
    change_a_row(version)

    with pytest.raises(VersionConflict, match="was altered"):
        DatasetStore(version.path.parent).push(version, f"file://{tmp_path}/there")


def test_one_manifest_that_cannot_be_read_hides_no_other_version(version):
    broken = version.path.parent / "broken@0123456789ab"
    broken.mkdir()
    (broken / "manifest.json").write_bytes(b"")

    found, unreadable = DatasetStore(version.path.parent).scan_versions()

    assert [known.id for known in found] == [version.id]
    assert len(unreadable) == 1
    assert "broken@0123456789ab" in unreadable[0]
