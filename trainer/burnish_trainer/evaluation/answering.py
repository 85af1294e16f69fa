"""The chat model that answers for an agent with a given adapter.

Knows: the embedded engine and OpenAI-compatible servers. Does not know: what is asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from burnish import settings
from burnish.adapters import AdapterStore
from burnish.errors import BaseModelMismatch
from burnish.project import AgentConfig


@contextlib.contextmanager
def served(config: AgentConfig, adapter: str | None) -> Iterator[None]:
    """An adapter version is loaded inside; a version that was not loaded before is not loaded afterwards.

    Args:
        config: The agent's table.
        adapter: An adapter version of the workspace; None is the base model.

    Raises:
        UnknownAdapter: The workspace holds no such version.
        BaseModelMismatch: It was trained on another base model.
    """
    from burnish.serving import open_backend

    if adapter is None:
        yield
        return
    check_base(config, adapter)
    backend = open_backend(config.backend, base_model=config.base_model)
    if adapter in set(backend.list()):
        yield
        return
    backend.load(adapter, AdapterStore(settings.current().home).path(adapter))
    try:
        yield
    finally:
        backend.unload(adapter)


def chat_model(
    config: AgentConfig, adapter: str | None, *, temperature: float = 0.0, seed: int | None = None
) -> Any:
    """A LangChain chat model of the agent's base model, with or without an adapter that is served.

    Args:
        config: The agent's table.
        adapter: An adapter version; None is the base model.
        temperature: 0 takes the likeliest token.
        seed: Of sampling.
    """
    if config.backend == "embedded":
        from burnish.serving import EmbeddedChat

        return EmbeddedChat(
            base_model=config.base_model, adapter=adapter, temperature=temperature, seed=seed
        )
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    url = config.backend.rstrip("/")
    return ChatOpenAI(
        base_url=url if url.endswith("/v1") else f"{url}/v1",
        api_key=SecretStr("none"),
        model=adapter or config.base_model,
        temperature=temperature,
        seed=seed,
    )


def check_base(config: AgentConfig, adapter: str) -> None:
    """Refuse an adapter of another base model.

    Raises:
        UnknownAdapter: The workspace holds no such version.
        BaseModelMismatch: It was trained on another base model.
    """
    from burnish.serving.models import base_sha256, resolve_model

    manifest = AdapterStore(settings.current().home).get(adapter)
    if config.backend != "embedded":
        right = manifest.base_model == config.base_model
    else:
        right = manifest.base_sha256 == base_sha256(resolve_model(config.base_model))
    if not right:
        raise BaseModelMismatch(
            f"adapter {adapter} was trained on {manifest.base_model} ({manifest.base_sha256[:12]})",
            f"an adapter of {config.base_model}",
            f"burnish retrain {config.name}",
        )
