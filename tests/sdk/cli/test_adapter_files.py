"""`burnish adapters push | pull | gc`: what travels is whole and checked, and what is needed stays."""

import json
import shutil
import struct

import pytest

from burnish.adapters import AdapterStore, Registry, Target
from burnish.canary import Rollout
from burnish.errors import RegistryError, UnknownAdapter
from burnish.project import CanaryConfig
from burnish.records import AdapterManifest, Evaluation


def weights_of(value: int) -> bytes:
    """A safetensors file with one number."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes([value])


@pytest.fixture
def publish(tmp_path):
    """Publishes a version, the number being its weights and its minute, and gives its id."""

    def make(number, name="support", **facts):
        folder = tmp_path / f"trained-{name}-{number}"
        folder.mkdir()
        (folder / "adapter_model.safetensors").write_bytes(weights_of(number))
        (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
        (folder / "card.md").write_text(f"# {name}\n")
        manifest = AdapterManifest(
            id="", name=name, sha256="", base_model="starter", base_sha256="0" * 64, rank=16,
            alpha=32.0, targets=["q_proj"], created_at=f"2026-11-20T10:{number:02}:00Z", **facts,
        )  # fmt: skip
        return AdapterStore(tmp_path / "home").publish(folder, manifest).id

    return make


def test_a_version_goes_through_a_folder_into_another_workspace(publish, burnish, tmp_path):
    version = publish(1, plan={"epochs": 3})
    told = burnish(
        "adapters", "push", version, str(tmp_path / "out"), "--home", tmp_path / "home", "--json"
    )
    assert told["address"] == str(tmp_path / "out" / version)
    again = burnish(
        "adapters", "push", version, str(tmp_path / "out"), "--home", tmp_path / "home", "--json"
    )
    assert again == told
    there = ("--home", tmp_path / "other", "--json")
    assert burnish("adapters", "pull", told["address"], *there) == {
        "adapter": version,
        "base_model": "starter",
    }
    store = AdapterStore(tmp_path / "other")
    store.verify(version)
    assert store.get(version).plan == {"epochs": 3}
    assert (store.path(version) / "card.md").read_text() == "# support\n"
    assert not Registry(tmp_path / "other").list()  # it serves nothing yet


@pytest.fixture
def pushed(publish, burnish, tmp_path):
    """The folder of a version that left its workspace."""
    version = publish(1)
    burnish("adapters", "push", version, str(tmp_path / "out"), "--home", tmp_path / "home")
    return tmp_path / "out" / version


def pickle_as_weights(folder):
    shutil.copyfile(folder / "adapter_model.safetensors", folder / "kept")
    (folder / "adapter_model.safetensors").write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    rename_manifest(folder)


def cut_off_weights(folder):
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    rename_manifest(folder)


def rename_manifest(folder):
    """Make the manifest name the files as they are now, as an attacker would."""
    from burnish.adapters import adapter_id

    path = folder / "burnish.json"
    manifest = json.loads(path.read_text())
    manifest["id"], manifest["sha256"] = adapter_id(folder, manifest["name"])
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda f: (f / "burnish.json").unlink(), "no burnish.json came"),
        (lambda f: (f / "burnish.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), "has no adapter_model.safetensors"),
        (lambda f: (f / "adapter_config.json").write_text('{"r": 8}'), "their manifest names"),
        (pickle_as_weights, "not a whole safetensors file"),
        (cut_off_weights, "not a whole safetensors file"),
    ],
    ids=["no_manifest", "torn_manifest", "no_weights", "other_config", "pickle", "cut_off"],
)
def test_what_is_no_whole_version_is_refused_at_the_door(pushed, tmp_path, damage, reason):
    from burnish.adapters.exchange import pull_adapter

    damage(pushed)
    store = AdapterStore(tmp_path / "other")
    with pytest.raises(RegistryError, match=reason):
        pull_adapter(store, str(pushed))
    assert not store.list()


def test_files_that_are_no_part_of_a_version_do_not_travel(pushed, tmp_path):
    from burnish.adapters.exchange import pull_adapter

    (pushed / "adapter_model.bin").write_bytes(b"\x80\x04.")
    (pushed / "modeling.py").write_text("raise SystemExit")
    store = AdapterStore(tmp_path / "other")
    version = pull_adapter(store, str(pushed)).id
    assert not list(store.path(version).glob("*.bin"))
    assert not list(store.path(version).glob("*.py"))


def test_an_unknown_version_or_place_is_told(publish, tmp_path):
    from burnish.adapters.exchange import pull_adapter, push_adapter

    store = AdapterStore(tmp_path / "home")
    with pytest.raises(UnknownAdapter):
        push_adapter(store, "support@000000000000", str(tmp_path / "out"))
    with pytest.raises(RegistryError, match="there is no folder"):
        pull_adapter(store, str(tmp_path / "nothing"))
    with pytest.raises(RegistryError, match="hf://OWNER/NAME"):
        pull_adapter(store, "hf://name-alone")


def test_what_serves_its_ancestors_and_the_newest_stay(publish, burnish, tmp_path):
    import msgspec

    home = tmp_path / "home"
    oldest = publish(1)
    parent = publish(2, parents=[oldest])
    unused = publish(3)
    serving = publish(4, parents=[parent])
    failed, newest = publish(5), publish(6)
    other = publish(7, name="billing")
    report = tmp_path / "evaluation.json"
    evaluation = Evaluation(
        agent="support", base_model="starter", before=None, after=serving, pools={}, trajectories=0
    )
    report.write_bytes(msgspec.json.encode(evaluation))
    Registry(home).register("support", serving, report, "promote")
    target = Target(base_model="starter", adapter=serving)
    Rollout(home, "support").start(target, CanaryConfig(min_threads=5))

    command = ("adapters", "gc", "--keep", "1", "--home", home, "--json")
    planned = burnish(*command)
    assert planned["versions"] == [unused, failed]
    assert not planned["removed"]
    assert planned["bytes"] > 0
    assert len(AdapterStore(home).list()) == 7
    assert planned["kept"] == {
        oldest: [f"ancestor of {parent}"],
        parent: [f"ancestor of {serving}"],
        serving: ["canary of support"],
        newest: ["among the newest"],
        other: ["among the newest"],
    }
    shutil.copytree(home / "adapters" / unused, home / "adapters" / ".removed-half")  # a kill's
    assert burnish(*command, "--yes")["removed"]
    assert not list((home / "adapters").glob(".removed*"))
    held = [manifest.id for manifest in AdapterStore(home).list()]
    assert held == [oldest, parent, serving, newest, other]
    assert burnish(*command)["versions"] == []
