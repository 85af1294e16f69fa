"""No adapter version serves without a report on it, and a forced one is on record."""

import pytest

from burnish.adapters import Registry
from burnish.errors import RegistryError, UnknownAdapter
from burnish.records import Decision


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path)


def test_a_version_that_passed_the_gate_may_serve(registry, version, report_on):
    decision = Decision(decision="promote", reasons=["better"])

    candidate = registry.register("support", version, report_on(version), decision)

    assert candidate.may_serve
    assert registry.require("support", version) == candidate
    assert [entry["action"] for entry in registry.audit("support")] == ["registered"]


@pytest.mark.parametrize("decision", ["reject", "inconclusive"])
def test_a_version_that_the_gate_stopped_may_not_serve(registry, version, report_on, decision):
    registry.register("support", version, report_on(version), decision)

    with pytest.raises(RegistryError, match=f"decision on {version} was '{decision}'"):
        registry.require("support", version)


def test_one_that_was_forced_may_serve_and_that_is_on_record(registry, version, report_on):
    registry.register("support", version, report_on(version), "reject", forced=True)

    assert registry.require("support", version).forced
    assert registry.audit()[-1]["detail"]["forced"] is True


def test_a_version_without_a_report_is_no_candidate(tmp_path, registry, version):
    with pytest.raises(RegistryError, match="no evaluation report at"):
        registry.register("support", version, tmp_path / "none.json", "promote")
    with pytest.raises(RegistryError, match="has no evaluation report"):
        registry.require("support", version)


def test_a_report_on_another_version_is_refused(registry, version, report_on):
    with pytest.raises(RegistryError, match=r"is a report on other@.*expected one on support@"):
        registry.register("support", version, report_on("other@" + "0" * 12), "promote")


def test_a_version_that_was_never_published_is_unknown(tmp_path, registry):
    with pytest.raises(UnknownAdapter):
        registry.register("support", "support@000000000000", tmp_path / "e.json", "promote")


def test_an_altered_version_is_refused(registry, version, report_on):
    path = registry.adapters.path(version) / "adapter_model.safetensors"
    path.chmod(0o644)
    path.write_bytes(b"other")

    with pytest.raises(RegistryError, match="was altered"):
        registry.register("support", version, report_on(version), "promote")
