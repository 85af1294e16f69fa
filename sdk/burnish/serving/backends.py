"""Put backends behind one protocol: the engine of this process, or an OpenAI-compatible server.

A backend loads, proves, lists and unloads versions and answers requests.

    backend = open_backend("http://127.0.0.1:8765")
    backend.load("support@0a1b2c3d4e5f", folder)
    backend.probe("support@0a1b2c3d4e5f")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.errors import ServingError, SettingsError
from burnish.protocols import Backend
from burnish.records import Json, Message, Tool
from burnish.serving.fingerprint import check_fingerprint, read_fingerprint
from burnish.serving.messages import from_records, tools_from_records
from burnish.serving.remote.backend import OpenAIBackend, Served

if TYPE_CHECKING:
    from burnish.serving.embedded.engine import Engine
    from burnish.serving.embedded.session import Session

__all__ = ["EmbeddedBackend", "OpenAIBackend", "Served", "open_backend"]


_ASKED = 4  # prompts of a probe in this process: half of them, because running requests wait for it


class EmbeddedBackend:
    """The engine of this process as a backend.

    Args:
        base_model: A folder or a name, see `burnish.serving.contract.base_models.resolve_model`.
        engine: An engine other than the shared one of this process.
    """

    def __init__(self, base_model: str | Path, engine: Engine | None = None) -> None:
        from burnish.serving.embedded.session import Session

        self._session: Session = Session(base_model, engine)

    @property
    def engine(self) -> Engine:
        """Return the engine, for functions outside of the protocol."""
        return self._session.engine

    def capabilities(self) -> dict[str, Json]:
        """Return the capabilities of this backend."""
        facts = self.engine.facts
        return {
            "kind": "embedded",
            "base_model": str(facts.folder),
            "base_sha256": facts.sha256,
            "context": facts.context,
            "dtype": facts.dtype,
            "runtime_adapters": True,
            "max_rank": None,
        }

    def load(self, version: str, path: Path) -> None:
        """Load a version; loading the same folder twice is harmless."""
        self.engine.load(version, path)

    def probe(self, version: str) -> dict[str, Json]:
        """Prove by its fingerprint that the served version is the one on disk."""
        slot = self.engine.find_slot(version)
        return check_fingerprint(
            read_fingerprint(slot.path),
            lambda prompts: [*self.engine.rank_next_of_each(prompts, version)],
            version=version,
            dtype=self.engine.facts.dtype,
            limit=_ASKED,
        )

    def list(self) -> list[str]:
        """List the loaded versions."""
        return self.engine.list()

    def unload(self, version: str) -> None:
        """Unload a version after its running requests have ended."""
        self.engine.unload(version)

    def generate(
        self, messages: list[Message], tools: list[Tool], adapter: str | None, **sampling: Any
    ) -> Served:
        """Answer one request.

        Args:
            messages: In the records' form or in OpenAI chat form.
            tools: Offered tools.
            adapter: A loaded version; None is the base model.
            **sampling: `temperature`, `top_p`, `top_k`, `seed`, penalties, `max_tokens`, `stop`.
        """
        from burnish.serving.embedded.session import ChatAsk
        from burnish.serving.http.request_options import sampling_of_body

        max_tokens, stop = sampling.pop("max_tokens", 512), sampling.pop("stop", ())
        ask = ChatAsk(
            messages=from_records(messages),
            tools=tools_from_records(tools),
            adapter=adapter,
            max_tokens=max_tokens,
            sampling=sampling_of_body(checked_sampling(sampling), temperature=0.0),
            stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        )
        finished = self._session.finish_answer(
            self.engine.generate(self._session.make_request(ask)), ask
        )
        answer = finished.answer
        return Served(
            text=finished.content,
            token_ids=answer.token_ids,
            prompt_token_ids=answer.prompt_token_ids,
            logprobs=answer.logprobs,
            adapter=answer.adapter,
            finish_reason=finished.finish_reason,
            tool_calls=finished.tool_calls,
        )


def open_backend(
    url_or_name: str, base_model: str | None = None, *, token: str | None = None
) -> Backend:
    """Open the backend of a name or an address.

    Args:
        url_or_name: "embedded", or the address of an OpenAI-compatible server (vLLM,
            `burnish serve`) with or without its `/v1`.
        base_model: The base model; for "embedded" a folder or a name, for an address the server's
            name for it (by default the first that it lists).
        token: Bearer token of the server; by default `BURNISH_TOKEN` of the environment.

    Raises:
        SettingsError: If it is neither.
    """
    if url_or_name == "embedded":
        if base_model is None:
            raise SettingsError(
                'backend "embedded" without a base model',
                'a folder or a name such as "starter"',
                'open_backend("embedded", base_model="starter")',
            )
        return EmbeddedBackend(base_model)
    if url_or_name.startswith(("http://", "https://")):
        return OpenAIBackend(url_or_name, base_model, token=token)
    raise SettingsError(
        f"no backend {url_or_name!r}",
        '"embedded" or an address such as http://127.0.0.1:8765',
        'backend = "embedded" in burnish.toml',
    )


def checked_sampling(sampling: dict[str, Any]) -> dict[str, Any]:
    """Return the sampling settings by name.

    Raises:
        ServingError: If one is unknown.
    """
    from burnish.serving.http.request_options import SAMPLING

    unknown = set(sampling) - SAMPLING
    if unknown:
        raise ServingError(
            f"unknown sampling settings {', '.join(sorted(unknown))}",
            f"{', '.join(sorted(SAMPLING))}, max_tokens, stop",
            "leave them out",
        )
    return sampling
