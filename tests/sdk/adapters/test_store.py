"""Adapter versions are named by content, published whole, and never changed."""

import json
import multiprocessing
from pathlib import Path

import pytest

from burnish.adapters import AdapterStore, adapter_id
from burnish.errors import RegistryError, UnknownAdapter
from burnish.records import AdapterManifest


def made(folder: Path, *, weights: bytes = b"weights", config: dict | None = None) -> Path:
    """A finished adapter as a trainer leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(weights)
    (folder / "adapter_config.json").write_text(json.dumps(config or {"r": 16, "lora_alpha": 32}))
    (folder / "card.md").write_text("# support\n")
    return folder


def manifest(**changes) -> AdapterManifest:
    given = {
        "id": "",
        "name": "support",
        "sha256": "",
        "base_model": "starter",
        "base_sha256": "0" * 64,
        "rank": 16,
        "alpha": 32.0,
        "targets": ["q_proj"],
        "created_at": "2026-11-21T10:00:00Z",
    }
    return AdapterManifest(**given | changes)


def test_a_published_version_is_named_by_its_weights_and_config(tmp_path):
    store = AdapterStore(tmp_path / "home")
    folder = made(tmp_path / "a")

    published = store.publish(folder, manifest())

    version, sha256 = adapter_id(folder, "support")
    assert (published.id, published.sha256) == (version, sha256)
    assert version == f"support@{sha256[:12]}"
    assert store.path(version) == tmp_path / "home" / "adapters" / version
    assert store.get(version) == published
    assert (store.path(version) / "card.md").read_text() == "# support\n"
    store.verify(version)


def test_the_name_changes_with_weights_and_settings_but_not_with_layout(tmp_path):
    one = adapter_id(made(tmp_path / "1", config={"r": 8, "a": 1}), "support")
    same = adapter_id(made(tmp_path / "2", config={"a": 1, "r": 8}), "support")
    other_config = adapter_id(made(tmp_path / "3", config={"r": 9, "a": 1}), "support")
    other_weights = adapter_id(
        made(tmp_path / "4", config={"r": 8, "a": 1}, weights=b"x"), "support"
    )

    assert one == same
    assert len({one[0], other_config[0], other_weights[0]}) == 3


def test_publishing_the_same_content_again_gives_back_what_is_there(tmp_path):
    store = AdapterStore(tmp_path / "home")
    first = store.publish(made(tmp_path / "a"), manifest())

    again = store.publish(made(tmp_path / "b"), manifest(created_at="2027-01-01T00:00:00Z"))

    assert again == first
    assert [version.id for version in store.list()] == [first.id]


def test_versions_are_listed_oldest_first(tmp_path):
    store = AdapterStore(tmp_path / "home")
    days = [3, 1, 2]
    for day in days:
        store.publish(
            made(tmp_path / str(day), weights=bytes([day])),
            manifest(created_at=f"2026-11-0{day}T00:00:00Z"),
        )

    assert [version.created_at[9] for version in store.list()] == ["1", "2", "3"]


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "card.md", "burnish.json"])
def test_an_altered_file_is_found_and_the_version_is_not_published_over(tmp_path, file):
    store = AdapterStore(tmp_path / "home")
    version = store.publish(made(tmp_path / "a"), manifest()).id
    path = store.path(version) / file
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")

    with pytest.raises(RegistryError, match=rf"{version} was altered: .*{file}"):
        store.verify(version)
    with pytest.raises(RegistryError, match="was altered"):
        store.publish(made(tmp_path / "b"), manifest())


def test_a_file_that_was_added_is_found(tmp_path):
    store = AdapterStore(tmp_path / "home")
    version = store.publish(made(tmp_path / "a"), manifest()).id
    (store.path(version) / "more.bin").write_bytes(b"x")

    with pytest.raises(RegistryError, match=r"altered: more\.bin"):
        store.verify(version)


def test_files_of_a_version_are_read_only(tmp_path):
    store = AdapterStore(tmp_path / "home")
    version = store.publish(made(tmp_path / "a"), manifest()).id

    assert {path.stat().st_mode & 0o222 for path in store.path(version).iterdir()} == {0}


@pytest.mark.parametrize("missing", ["adapter_model.safetensors", "adapter_config.json"])
def test_an_adapter_without_its_files_is_refused_and_leaves_nothing(tmp_path, missing):
    store = AdapterStore(tmp_path / "home")
    folder = made(tmp_path / "a")
    (folder / missing).unlink()

    with pytest.raises(RegistryError, match=f"has no {missing}"):
        store.publish(folder, manifest())
    assert list(store.list()) == []


def test_a_manifest_of_another_version_is_refused(tmp_path):
    with pytest.raises(RegistryError, match="manifest names support@000000000000"):
        AdapterStore(tmp_path / "home").publish(
            made(tmp_path / "a"), manifest(id="support@000000000000")
        )


def test_an_unknown_version_is_answered_with_the_nearest(tmp_path):
    store = AdapterStore(tmp_path / "home")
    version = store.publish(made(tmp_path / "a"), manifest()).id

    with pytest.raises(UnknownAdapter, match=rf"no adapter 'suport@.*one like {version}"):
        store.path(version.replace("support", "suport"))


@pytest.mark.parametrize("name", ["../etc", "a/b", "", ".hidden", "a b"])
def test_a_name_that_is_no_name_is_refused(tmp_path, name):
    with pytest.raises(RegistryError, match="adapter name"):
        adapter_id(made(tmp_path / "a"), name)
    with pytest.raises(UnknownAdapter):
        AdapterStore(tmp_path / "home").path(f"{name}@{'0' * 12}")


def test_a_publication_that_fails_half_way_leaves_no_version(tmp_path):
    store = AdapterStore(tmp_path / "home")
    folder = made(tmp_path / "a")
    (folder / "loop").symlink_to(folder / "nowhere")

    with pytest.raises(Exception, match=r"nowhere|loop"):
        store.publish(folder, manifest())
    assert [path.name for path in store.folder.iterdir()] == []


def _publish(home, folder, start, results):
    start.wait()
    results.put(AdapterStore(home).publish(folder, manifest()).id)


def test_two_processes_that_publish_the_same_content_agree(tmp_path):
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    folders = [made(tmp_path / name) for name in "ab"]
    processes = [
        context.Process(target=_publish, args=(tmp_path / "home", folder, start, results))
        for folder in folders
    ]
    for process in processes:
        process.start()
    start.set()
    published = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()

    assert len(published) == 1
    store = AdapterStore(tmp_path / "home")
    store.verify(published.pop())
    assert not list(store.folder.glob(".incoming-*"))
