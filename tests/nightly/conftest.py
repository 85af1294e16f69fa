"""A real vLLM that serves the starter, and versions of an adapter for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from vllm_process import TOKEN, VllmProcess


@pytest.fixture(scope="session")
def starter() -> Path:
    """The folder of the bundled model."""
    from burnish.serving import resolve_model

    return resolve_model("starter")


@pytest.fixture(scope="session")
def vllm(tmp_path_factory, starter):
    """The server; a test that kills it starts it again."""
    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    with VllmProcess(starter, token=TOKEN, log=log) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, monkeypatch):
    """A workspace folder of its own, and the server's token in the environment."""
    from burnish import settings

    monkeypatch.setenv("BURNISH_TOKEN", TOKEN)
    settings.configure(home=tmp_path / "home")
    yield tmp_path / "home"
    settings.reset()


@pytest.fixture(scope="session")
def adapters(tmp_path_factory, starter) -> list[Path]:
    """Two random adapters of the starter with their fingerprints."""
    from burnish.serving.embedded.engine import Engine
    from burnish.serving.embedded.tiny import make_adapter
    from burnish.serving.fingerprint import make_fingerprint, write_fingerprint

    folder, engine = tmp_path_factory.mktemp("adapters"), Engine(starter)
    made = [make_adapter(folder / str(seed), starter, seed=seed, rank=8) for seed in (1, 2)]
    for path in made:
        engine.load(path.name, path)
        prompts = [[start, start + 1, start + 2] for start in range(10, 22)]
        write_fingerprint(path, make_fingerprint(engine, path.name, prompts))
    engine.close()
    return made


@pytest.fixture
def versions(vllm, home, starter, adapters):
    """The ids of the adapters, published in the workspace; afterwards the server holds none of them."""
    from burnish.adapters import AdapterStore
    from burnish.records import AdapterManifest
    from burnish.serving import base_sha256, open_backend

    manifest = {
        "id": "",
        "name": "support",
        "sha256": "",
        "base_model": str(starter),
        "base_sha256": base_sha256(starter),
        "rank": 8,
        "alpha": 16,
        "targets": ["q_proj"],
        "created_at": "2026-01-01",
    }
    store = AdapterStore(home)
    published = [store.publish(path, AdapterManifest(**manifest)).id for path in adapters]
    yield published
    backend = open_backend(vllm.url)
    for version in set(published) & set(backend.list()):
        backend.unload(version)
