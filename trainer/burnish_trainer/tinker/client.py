"""Speak the Tinker API's JSON over HTTP.

Most calls return the id of a request; `retrieve_future` is asked until its result is there. A request that the server
does not answer, or answers with 408, 429 or 5xx, is sent again with a pause; it has a sequence number, so the server does
not run it twice. The service of Thinking Machines takes `forward_backward` as protobuf in recent versions; servers such
as SkyRL's take JSON.
"""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Any, Self

import httpx

from burnish.errors import BackendUnavailable, TrainingError

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_TRIES, _PAUSE_S, _LONGEST_PAUSE_S = 8, 0.25, 10.0


class TinkerClient:
    """One training model on a server.

    Args:
        base_url: Address of the server; by default `TINKER_BASE_URL`.
        api_key: Key of the server; by default `TINKER_API_KEY`.
        patience_s: Longest time for the result of one request.
    """

    def __init__(
        self, base_url: str | None = None, api_key: str | None = None, *, patience_s: float = 3600.0
    ) -> None:
        address = base_url or os.environ.get("TINKER_BASE_URL")
        if not address:
            raise TrainingError(
                "no address of a Tinker server",
                "base_url, or TINKER_BASE_URL",
                "export TINKER_BASE_URL=...",
            )
        key = api_key or os.environ.get("TINKER_API_KEY", "")
        headers = {"X-API-Key": key} if key else {}
        self._http = httpx.Client(base_url=address, headers=headers, timeout=60.0)
        self._patience_s, self._sequence, self._model = patience_s, 0, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def create_model(self, base_model: str, *, rank: int, seed: int) -> str:
        """Create a model with a fresh adapter, and return its id.

        Args:
            base_model: Name of the base model on the server.
            rank: Rank of the adapter.
            seed: Seed of its first weights.
        """
        session = self._post(
            "create_session",
            {
                "tags": ["burnish"],
                "user_metadata": None,
                "sdk_version": "0.1.0",
                "type": "create_session",
            },
        )
        created = self._await_result(
            "create_model",
            {
                "session_id": session["session_id"],
                "model_seq_id": 0,
                "base_model": base_model,
                "lora_config": {"rank": rank, "seed": seed, "train_unembed": False},
                "type": "create_model",
            },
        )
        self._model = str(created["model_id"])
        return self._model

    def forward_backward(
        self, data: list[dict[str, Any]], loss: str = "cross_entropy"
    ) -> dict[str, Any]:
        """Add the gradients of some data; return the server's outputs and metrics.

        Args:
            data: Data in the form of `burnish_trainer.tinker.data`.
            loss: Loss of the API: cross_entropy, importance_sampling, ppo.
        """
        given = {"forward_backward_input": {"data": data, "loss_fn": loss}}
        return self._await_result("forward_backward", self._numbered(given))

    def optim_step(self, **adam: float) -> dict[str, Any]:
        """Change the weights by the gradients since the last step.

        Args:
            **adam: Settings of the step: learning_rate, beta1, beta2, eps, weight_decay, grad_clip_norm.
        """
        return self._await_result(
            "optim_step", self._numbered({"adam_params": adam, "type": "optim_step"})
        )

    def save_weights(self, name: str) -> str:
        """Save the weights under a name, and return the server's path of them.

        Args:
            name: The name.
        """
        given = {"path": name, "type": "save_weights"}
        return str(self._await_result("save_weights", self._numbered(given))["path"])

    def _numbered(self, body: dict[str, Any]) -> dict[str, Any]:
        self._sequence += 1
        return {**body, "model_id": self._model, "seq_id": self._sequence}

    def _await_result(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a request and ask for its result until it is there."""
        answer, ends = self._post(route, body), time.monotonic() + self._patience_s
        request = answer.get("request_id")
        if request is None:
            return answer
        pause = _PAUSE_S
        while time.monotonic() < ends:
            found = self._post("retrieve_future", {"request_id": request})
            if "error" in found and "category" in found:
                raise TrainingError(
                    f"{route} failed on the server: {found['error']}",
                    "a request that the server can run",
                    "check base model, lengths and rank against the server's limits",
                )
            if found.get("type") != "try_again":
                return found
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        raise BackendUnavailable(
            f"no result of {route} after {self._patience_s:.0f} s", "a result", "raise patience_s"
        )

    def _post(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        pause, problem = _PAUSE_S, ""
        for _ in range(_TRIES):
            try:
                answer = self._http.post(f"/api/v1/{route}", json=body)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if answer.is_success:
                    return answer.json()
                if answer.status_code not in _PASSING:
                    raise TrainingError(
                        f"{route} was refused with {answer.status_code}: {answer.text[:200]}",
                        "a server of the Tinker API with JSON bodies, and a valid key",
                        "check TINKER_BASE_URL and TINKER_API_KEY",
                    )
                problem = f"status {answer.status_code}"
                if answer.status_code == 408 and route == "retrieve_future":
                    return {"type": "try_again"}
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        raise BackendUnavailable(
            f"{self._http.base_url} does not answer {route}: {problem}",
            "a running server",
            "check TINKER_BASE_URL",
        )
