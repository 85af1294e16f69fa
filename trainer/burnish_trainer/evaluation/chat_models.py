"""Make the chat model that answers for an agent with a given adapter: embedded engine or OpenAI-compatible server."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator
from typing import Any

from burnish.adapters.store import AdapterStore
from burnish.errors import BackendUnavailable, BaseModelMismatch, UnknownAdapter
from burnish.project import AgentConfig
from burnish.protocols import Backend
from burnish_trainer.evaluation.agent_project import AgentProject

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def load_adapter(subject: AgentProject, adapter: str | None) -> Generator[None]:
    """Load an adapter version for the duration of a block; a version that was loaded before stays loaded.

    Args:
        subject: The agent.
        adapter: An adapter version of its workspace; None is the base model.

    Raises:
        UnknownAdapter: The workspace holds no such version.
        BaseModelMismatch: It was trained on another base model.
    """
    from burnish.serving import open_backend

    if adapter is None:
        yield
        return
    config, store = subject.config, AdapterStore(subject.workspace.home)
    check_base_model(config, store, adapter)
    backend = open_backend(config.backend, base_model=config.base_model)
    if adapter in set(backend.list()):
        yield
        return
    backend.load(adapter, store.path(adapter))
    try:
        yield
    finally:
        _give_back(backend, adapter)


def _give_back(backend: Backend, adapter: str) -> None:
    """Unload a version; a server that forgot it or is gone ends no evaluation whose attempts are made."""
    try:
        backend.unload(adapter)
    except UnknownAdapter:
        return  # the server was restarted
    except BackendUnavailable as problem:
        logger.warning("burnish: %s stays loaded: %s", adapter, problem)


def make_chat_model(
    config: AgentConfig,
    adapter: str | None,
    *,
    temperature: float = 0.0,
    seed: int | None = None,
    next_seed: Callable[[], int | None] | None = None,
) -> Any:
    """Return a LangChain chat model of the agent's base model, with or without a served adapter.

    Args:
        config: The agent's table.
        adapter: An adapter version; None is the base model.
        temperature: Sampling temperature; 0 takes the likeliest token.
        seed: Sampling seed.
        next_seed: Returns the seed of each call, in place of one seed for all.
    """
    sampling: dict[str, Any] = {"temperature": temperature, "seed": seed, "next_seed": next_seed}
    if config.backend == "embedded":
        from burnish.serving import EmbeddedChat

        return EmbeddedChat(base_model=config.base_model, adapter=adapter, **sampling)
    from burnish.serving.remote.chat_model import make_remote_chat

    return make_remote_chat(config.backend, config.base_model, adapter, **sampling)


def backend_facts(config: AgentConfig) -> dict[str, Any]:
    """Return the facts of the backend: its name of the base model, and the hash of the weights if it reports one.

    Args:
        config: The agent's table.

    Raises:
        ServingError: The server does not serve the base model, or does not answer.
    """
    from burnish.serving.contract.base_models import base_sha256, resolve_model

    if config.backend == "embedded":
        return {
            "backend": "embedded",
            "base_sha256": base_sha256(resolve_model(config.base_model)),
        }
    from burnish.serving.remote.endpoint import Endpoint

    endpoint = Endpoint.shared(config.backend)
    name = endpoint.served_name(config.base_model)
    card = next((model for model in endpoint.models() if model["id"] == name), {})
    told = {key: card.get(key) for key in ("root", "sha256", "max_model_len", "dtype")}
    return {"backend": endpoint.address, "model": name, **told}


def check_backend(config: AgentConfig) -> None:
    """Refuse before training what a server would refuse after it: another base model, a rank over its limit.

    Args:
        config: The agent's table.

    Raises:
        ServingError: The server serves another model or refuses the rank.
        BackendUnavailable: The server does not answer.
    """
    if config.backend == "embedded":
        return
    from burnish.serving.contract.base_models import resolve_model
    from burnish.serving.remote.backend import OpenAIBackend

    backend = OpenAIBackend(config.backend, config.base_model)
    try:
        _ = backend.base_model
        backend.check_rank(config.train.rank, resolve_model(config.base_model))
    finally:
        backend.close()


def check_base_model(config: AgentConfig, store: AdapterStore, adapter: str) -> None:
    """Refuse an adapter of another base model.

    The weights decide if the files of the base model are local, else its name.

    Raises:
        UnknownAdapter: The workspace holds no such version.
        BaseModelMismatch: It was trained on another base model.
    """
    from burnish.errors import ServingError
    from burnish.serving.contract.base_models import base_sha256, resolve_model

    manifest = store.get(adapter)
    try:
        right = manifest.base_sha256 == base_sha256(resolve_model(config.base_model))
    except ServingError:
        if config.backend == "embedded":
            raise
        right = manifest.base_model == config.base_model
    if not right:
        raise BaseModelMismatch(
            f"adapter {adapter} was trained on {manifest.base_model} ({manifest.base_sha256[:12]})",
            f"an adapter of {config.base_model}",
            f"burnish retrain {config.name}",
        )
