"""`burnish adapters` shows each version with its origin, the gate's decision and where it serves."""

import msgspec
import pytest

from burnish.adapters import AdapterStore, Registry, Target
from burnish.canary import Rollout
from burnish.errors import UnknownAdapter, UnknownAgent
from burnish.project import CanaryConfig
from burnish.records import AdapterManifest, Evaluation


@pytest.fixture
def publish(tmp_path):
    """Publishes a version of "support" whose weights are the given bytes, and gives its id."""

    def make(weights, **facts):
        folder = tmp_path / f"trained-{weights.decode()}"
        folder.mkdir()
        (folder / "adapter_model.safetensors").write_bytes(weights)
        (folder / "adapter_config.json").write_text("{}")
        manifest = AdapterManifest(
            id="", name="support", sha256="", base_model="starter", base_sha256="0" * 64, rank=16,
            alpha=32.0, targets=["q_proj"], **facts,
        )  # fmt: skip
        return AdapterStore(tmp_path / "home").publish(folder, manifest).id

    return make


@pytest.fixture
def versions(tmp_path, publish):
    """An older version without an evaluation, and a newer one that is a canary."""
    older = publish(b"one", created_at="2026-11-20T10:00:00Z", plan={"epochs": 3})
    newer = publish(b"two", created_at="2026-11-21T10:00:00Z", plan={"epochs": 4})
    report = tmp_path / "evaluation.json"
    evaluation = Evaluation(
        agent="support", base_model="starter", before=None, after=newer, pools={}, trajectories=0
    )
    report.write_bytes(msgspec.json.encode(evaluation))
    Registry(tmp_path / "home").register("support", newer, report, "promote")
    return older, newer


def test_versions_are_listed_newest_first_with_the_decision_and_where_they_serve(
    versions, burnish, tmp_path
):
    older, newer = versions
    home = ("--home", tmp_path / "home")
    before = burnish("adapters", "list", *home, "--json")
    assert [fact["id"] for fact in before] == [newer, older]
    assert [fact["serves"] for fact in before] == [[], []]

    target = Target(base_model="starter", adapter=newer)
    Rollout(tmp_path / "home", "support").start(target, CanaryConfig(min_threads=5))

    listed = burnish("adapters", "list", "support", *home, "--json")
    assert [fact["serves"] for fact in listed] == [["canary of support"], []]
    assert [[line["decision"] for line in fact["candidates"]] for fact in listed] == [
        ["promote"],
        [],
    ]
    shown = burnish("adapters", "list", *home)
    assert "canary of support" in " ".join(shown.split())
    assert "not evaluated" in " ".join(shown.split())
    with pytest.raises(UnknownAgent, match="'billing'"):
        burnish("adapters", "list", "billing", *home)


def test_a_version_is_shown_with_the_state_of_its_files(versions, burnish, tmp_path):
    older, _ = versions
    home = ("--home", tmp_path / "home")
    assert burnish("adapters", "show", older, *home, "--json")["files"] == "as published"

    weights = tmp_path / "home" / "adapters" / older / "adapter_model.safetensors"
    weights.chmod(0o600)
    weights.write_bytes(b"other")
    assert "was altered" in burnish("adapters", "show", older, *home, "--json")["files"]


def test_two_versions_are_compared_fact_by_fact(versions, burnish, tmp_path):
    lines = burnish("adapters", "diff", *versions, "--home", tmp_path / "home", "--json")

    changed = {line["fact"]: (line["before"], line["after"]) for line in lines}
    assert changed["plan.epochs"] == (3, 4)
    assert changed.keys() == {"id", "sha256", "created_at", "plan.epochs"}


def test_an_unknown_version_names_the_versions_that_exist(versions, burnish, tmp_path):
    with pytest.raises(UnknownAdapter, match="no adapter 'support@000000000000'"):
        burnish("adapters", "show", "support@000000000000", "--home", tmp_path / "home")
