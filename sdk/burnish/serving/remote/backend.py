"""Use a server as a backend: OpenAI's chat completions with vLLM's adapter routes.

`OpenAIBackend` is the backend; `endpoint` does retries.

vLLM accepts adapters that it then serves wrongly, so a version counts as served only after
`probe`, and an answer of a model other than the requested one is an error.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from burnish.errors import ServingError, UnknownAdapter
from burnish.records import Json, Message, Tool
from burnish.serving.fingerprint import TOKENS, check_fingerprint, read_fingerprint
from burnish.serving.messages import from_records, to_wire, tools_from_records
from burnish.serving.remote.endpoint import RETRIES, Endpoint, reason, refusal
from burnish.serving.versions import checked_manifest, find_version

_LOADED = "has already been loaded"
_RANK_LIMIT = re.compile(r"rank (\d+) is greater than max_lora_rank (\d+)")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@+-]*$")  # some servers prefix names with folders


@dataclasses.dataclass(kw_only=True)
class Served:
    """A backend's answer to one request (a `burnish.protocols.Generation`)."""

    text: str
    """The text of the answer, without well-formed tool calls."""
    token_ids: list[int]
    prompt_token_ids: list[int]
    logprobs: list[float]
    adapter: str | None
    finish_reason: str
    tool_calls: list[dict[str, Json]] = dataclasses.field(default_factory=list)
    """In OpenAI chat form, arguments as JSON text."""


class OpenAIBackend:
    """An OpenAI-compatible server, with vLLM's routes for adapters.

    Args:
        url: Its address, with or without `/v1`.
        base_model: The base model: the server's name for it, or a folder or name that the server's
            list of models is compared with; by default the first that it lists.
        token: Bearer token; by default `BURNISH_TOKEN` of the environment.
        timeout_s: Longest wait for one answer.
        retries: Further tries after an error of the server or of the connection.
    """

    def __init__(
        self,
        url: str,
        base_model: str | None = None,
        *,
        token: str | None = None,
        timeout_s: float = 120.0,
        retries: int = RETRIES,
    ) -> None:
        self._endpoint = Endpoint(url, token=token, timeout_s=timeout_s, retries=retries)
        self.url = self._endpoint.address
        self._base = base_model
        self._paths: dict[str, Path] = {}

    @property
    def base_model(self) -> str:
        """Return the server's name for the base model."""
        return self._endpoint.served_name(self._base)

    def capabilities(self) -> dict[str, Json]:
        """Return the capabilities that this server reports; others are None."""
        models = {model["id"]: model for model in self._endpoint.models()}
        base = models.get(self.base_model, {})
        return {
            "kind": "openai",
            "base_model": self.base_model,
            "base_sha256": base.get("sha256"),
            "context": base.get("max_model_len"),
            "dtype": base.get("dtype"),
            "runtime_adapters": True,
            "max_rank": None,
        }

    def load(self, version: str, path: Path) -> None:
        """Load a version; loading it twice is harmless.

        Raises:
            ServingError: If the server refuses it.
        """
        if not _NAME.match(version):
            raise ServingError(
                f"version {version!r} cannot be a name on a server",
                "letters, digits and . _ @ + -",
                "publish the adapter under another name",
            )
        folder = Path(path).expanduser().resolve()
        known = self._paths.get(version)
        if known not in (None, folder):
            raise ServingError(
                f"version {version} was loaded from {known}, not from {folder}",
                "a name that is never given to other weights",
                "publish the adapter under a new version",
            )
        checked_manifest(folder)  # the server reads the files unchanged
        response = self._endpoint.request(
            "POST", "/v1/load_lora_adapter", {"lora_name": version, "lora_path": str(folder)}
        )
        if response.status_code != 200 and _LOADED not in response.text:
            raise self._refused(f"load {version}", response)
        self._paths[version] = folder

    def probe(self, version: str) -> dict[str, Json]:
        """Prove by its fingerprint that the served version is the one on disk."""
        folder = self._paths.get(version) or find_version(version)
        if folder is None:
            raise ServingError(
                f"no files of {version} are known here to compare with",
                "a version that was loaded through this backend, or lies in the workspace",
                "load it through this backend",
            )
        return check_fingerprint(
            read_fingerprint(folder),
            lambda prompts: [self._top(version, ids) for ids in prompts],
            version=version,
            dtype=self.capabilities()["dtype"],
        )

    def list(self) -> list[str]:
        """List the loaded versions."""
        return sorted(model["id"] for model in self._endpoint.models() if model.get("parent"))

    def unload(self, version: str) -> None:
        """Unload a version after its running requests have ended.

        Raises:
            UnknownAdapter: If the server does not serve it.
        """
        response = self._endpoint.request("POST", "/v1/unload_lora_adapter", {"lora_name": version})
        if response.status_code == 404:
            raise self._unknown(version, response)
        if response.status_code != 200:
            raise self._refused(f"unload {version}", response)
        self._paths.pop(version, None)

    def generate(
        self, messages: list[Message], tools: list[Tool], adapter: str | None, **sampling: Any
    ) -> Served:
        """Answer one request.

        Args:
            messages: In the records' form or in OpenAI chat form.
            tools: Offered tools.
            adapter: A loaded version; None is the base model.
            **sampling: Sent to the server: `temperature`, `top_p`, `seed`, `max_tokens`, ...

        Raises:
            UnknownAdapter: If the server does not serve the version.
            ServingError: If it refuses, or answers with another model.
        """
        model = adapter or self.base_model
        body: dict[str, Json] = {
            "model": model,
            "messages": to_wire(from_records(messages)),
            "temperature": 0.0,
            **sampling,
        }
        if tools:
            body["tools"] = tools_from_records(tools)
        response = self._answer_with_ids(body)
        if response.status_code == 404:
            raise self._unknown(model, response)
        if response.status_code != 200:
            raise self._refused(f"answer as {model}", response)
        return self._answer(response.json(), model, adapter)

    def _answer_with_ids(self, body: dict[str, Json]) -> Any:
        """Request a response with token ids; without them if the server refuses the fields."""
        route, field = "/v1/chat/completions", "return_token_ids"
        if self._endpoint.takes(field):
            asked = {"logprobs": True, field: True, **body}
            response = self._endpoint.request("POST", route, asked)
            if response.status_code not in (400, 422) or field not in response.text:
                return response
            self._endpoint.refused(field)
        return self._endpoint.request("POST", route, body)

    def check_rank(self, rank: int, folder: Path) -> None:
        """Refuse a rank that the server will not load, before an adapter is trained.

        vLLM reports its limit only when it refuses an adapter, so a small one without effect is
        loaded for a moment.

        Args:
            rank: The rank to be trained.
            folder: Folder of the base model, whose layers the small adapter names.

        Raises:
            ServingError: If the server refuses this rank.
        """
        from burnish.serving.remote.rank_probe import make_probe_adapter

        version, path = make_probe_adapter(rank, folder)
        body = {"lora_name": version, "lora_path": str(path)}
        response = self._endpoint.request("POST", "/v1/load_lora_adapter", body)
        limit = _RANK_LIMIT.search(response.text)
        if response.status_code == 200:
            self._endpoint.request("POST", "/v1/unload_lora_adapter", {"lora_name": version})
        elif limit is not None:
            raise ServingError(
                f"{self.url} loads adapters up to rank {limit[2]}, and train.rank is {rank}",
                f"a rank of at most {limit[2]}",
                f"set rank = {limit[2]} in [agent.NAME.train], or start the server with "
                f"--max-lora-rank {rank}",
            )

    def close(self) -> None:
        """Close the connections."""
        self._endpoint.close()

    def _answer(self, body: dict[str, Any], model: str, adapter: str | None) -> Served:
        self._check_model(body, model)
        choice = body["choices"][0]
        content = (choice.get("logprobs") or {}).get("content") or []
        return Served(
            text=choice["message"].get("content") or "",
            token_ids=choice.get("token_ids") or [],
            prompt_token_ids=body.get("prompt_token_ids") or [],
            logprobs=[token["logprob"] for token in content],
            adapter=adapter,
            finish_reason=choice.get("finish_reason") or "stop",
            tool_calls=choice["message"].get("tool_calls") or [],
        )

    def _check_model(self, body: dict[str, Any], model: str) -> None:
        if body.get("model") != model:
            raise ServingError(
                f"{self.url} answered as {body.get('model')!r}",
                f"an answer by {model!r} only",
                f"look at {self.url}/v1/models",
            )

    def _top(self, version: str, ids: list[int]) -> list[tuple[int, float]]:
        """Return the likeliest next tokens after token ids, from the completions route."""
        body = {
            "model": version,
            "prompt": ids,
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": TOKENS,
            "return_tokens_as_token_ids": True,
        }
        response = self._endpoint.request("POST", "/v1/completions", body)
        if response.status_code == 404:
            raise self._unknown(version, response)
        if response.status_code != 200:
            raise self._refused(f"probe {version}", response)
        answer = response.json()
        self._check_model(answer, version)
        try:
            first = answer["choices"][0]["logprobs"]["top_logprobs"][0]
            pairs = [(int(token.rpartition(":")[2]), value) for token, value in first.items()]
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise ServingError(
                f"{self.url} gives no log-probabilities by token id, so {version} cannot be proven",
                "vLLM's answer to logprobs and return_tokens_as_token_ids",
                "serve with vLLM or burnish serve",
            ) from error
        return sorted(pairs, key=lambda pair: -pair[1])

    def _unknown(self, version: str, response: Any) -> UnknownAdapter:
        return UnknownAdapter(
            f"{self.url} does not serve {version!r}: {reason(response)}",
            "a loaded version",
            "load it first",
        )

    def _refused(self, what: str, response: Any) -> ServingError:
        return refusal(self.url, what, response)
