"""No adapter version serves without a report on it, and who forced one is on record."""

import msgspec
import pytest

from burnish.adapters import AdapterStore, Registry
from burnish.errors import RegistryError, UnknownAdapter
from burnish.records import AdapterManifest, Decision, Evaluation


@pytest.fixture
def version(tmp_path):
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "adapter_config.json").write_text("{}")
    manifest = AdapterManifest(
        id="",
        name="support",
        sha256="",
        base_model="starter",
        base_sha256="0" * 64,
        rank=16,
        alpha=32.0,
        targets=[],
        created_at="2026-11-21T10:00:00Z",
    )
    return AdapterStore(tmp_path).publish(folder, manifest).id


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path)


def report(folder, version):
    path = folder / "evaluation.json"
    path.write_bytes(
        msgspec.json.encode(
            Evaluation(
                agent="support",
                base_model="starter",
                before=None,
                after=version,
                pools={},
                trajectories=0,
            )
        )
    )
    return path


def test_a_version_that_passed_the_gate_may_serve(tmp_path, registry, version):
    decision = Decision(decision="promote", reasons=["better"])

    candidate = registry.register("support", version, report(tmp_path, version), decision)

    assert candidate.may_serve
    assert registry.require("support", version) == candidate
    assert [entry["action"] for entry in registry.audit("support")] == ["registered"]


@pytest.mark.parametrize("decision", ["reject", "inconclusive"])
def test_a_version_that_the_gate_stopped_may_not_serve(tmp_path, registry, version, decision):
    registry.register("support", version, report(tmp_path, version), decision)

    with pytest.raises(RegistryError, match=f"decision on {version} was '{decision}'"):
        registry.require("support", version)


def test_one_that_was_forced_may_serve_and_that_is_on_record(tmp_path, registry, version):
    registry.register("support", version, report(tmp_path, version), "reject", forced=True)

    assert registry.require("support", version).forced
    assert registry.audit()[-1]["detail"]["forced"] is True


def test_a_version_without_a_report_is_no_candidate(tmp_path, registry, version):
    with pytest.raises(RegistryError, match="no evaluation report at"):
        registry.register("support", version, tmp_path / "none.json", "promote")
    with pytest.raises(RegistryError, match="has no evaluation report"):
        registry.require("support", version)


def test_a_report_on_another_version_is_refused(tmp_path, registry, version):
    with pytest.raises(RegistryError, match=r"is a report on other@.*expected one on support@"):
        registry.register("support", version, report(tmp_path, "other@" + "0" * 12), "promote")


def test_a_version_that_was_never_published_is_unknown(tmp_path, registry):
    with pytest.raises(UnknownAdapter):
        registry.register("support", "support@000000000000", tmp_path / "e.json", "promote")


def test_an_altered_version_is_refused(tmp_path, registry, version):
    path = AdapterStore(tmp_path).path(version) / "adapter_model.safetensors"
    path.chmod(0o644)
    path.write_bytes(b"other")

    with pytest.raises(RegistryError, match="was altered"):
        registry.register("support", version, report(tmp_path, version), "promote")
