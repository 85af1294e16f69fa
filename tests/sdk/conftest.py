"""Shared fixtures of the SDK's tests: a journal in memory, switched redaction, an adapter version."""

import gc

import msgspec
import pytest

import burnish
from burnish import settings
from burnish.adapters import AdapterStore
from burnish.capture.recorder.runs import registry
from burnish.records import AdapterManifest, Evaluation
from burnish.testing import capturing


@pytest.fixture
def journal():
    if (
        registry.runs
    ):  # streams that an earlier test left end when they are collected: not in this journal
        gc.collect()
    with capturing() as memory:
        yield memory


@pytest.fixture
def redacting(tmp_path):
    """Set `redact`, with `tmp_path` as home, until the test ends."""

    def switch(value):
        burnish.configure(redact=value, home=tmp_path)

    yield switch
    settings.reset()


@pytest.fixture
def everything():
    """Return all content of a journal in memory, as one text."""

    def text(journal):
        return repr(journal.events) + " ".join(
            blob.decode("utf-8", "surrogatepass") for blob in journal.blobs.values()
        )

    return text


@pytest.fixture
def version(tmp_path):
    """An adapter version of the workspace at `tmp_path`, published and not registered."""
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
def report_on(tmp_path):
    """Write an evaluation report on an adapter version and return its path."""

    def write(version):
        path = tmp_path / "evaluation.json"
        evaluation = Evaluation(
            agent="support",
            base_model="starter",
            before=None,
            after=version,
            pools={},
            trajectories=0,
        )
        path.write_bytes(msgspec.json.encode(evaluation))
        return path

    return write
