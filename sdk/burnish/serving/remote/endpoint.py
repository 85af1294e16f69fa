"""Send requests to a server, and cache the models that it lists and the fields that it refuses.

All clients of an address share one endpoint:

    endpoint = Endpoint.shared("http://127.0.0.1:8000")
    endpoint.served_name("/models/qwen")        # the server's name for that folder
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from burnish.errors import BackendUnavailable, BaseModelMismatch, ServingError

logger = logging.getLogger(__name__)

RETRIES = 3
"""Further tries of a request after an error of the server or of the connection."""
LONGEST_WAIT_S = 60.0
"""Longest pause of a Retry-After header that is honoured."""
_FIRST_WAIT_S = 0.25
_PASSING = frozenset({408, 425, 429, 502, 503, 504})
_OF_THE_SERVER = _PASSING | {401, 403}  # errors that do not depend on the requested model
_NO_LIST = frozenset({404, 405, 501})  # servers without the route to list models
_IDS_FIELD = "return_token_ids"
REQUEST_REFUSALS = frozenset({400, 413, 422})
"""Statuses that refuse a request for its content: too long, malformed."""
_REQUEST_WORDS = ("invalid_request", "badrequest", "bad_request", "context_length", "unprocessable")
_DEAD_ENGINE = "EngineCore encountered an issue"


def address_of(url: str) -> str:
    """Normalise the address of a server: scheme, host, port and path without a closing `/v1`."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/").removesuffix("/v1")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def server_token(token: str | None = None) -> str | None:
    """Return the bearer token for servers: the given one, else `BURNISH_TOKEN` of the environment."""
    return token or os.environ.get("BURNISH_TOKEN") or None


class Endpoint:
    """One OpenAI-compatible server.

    Args:
        url: Its address, with or without `/v1`.
        token: Bearer token; by default `BURNISH_TOKEN` of the environment.
        timeout_s: Longest wait for one answer.
        retries: Further tries after an error of the server or of the connection.
    """

    _shared: ClassVar[dict[str, Endpoint]] = {}
    _shared_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 120.0,
        retries: int = RETRIES,
    ) -> None:
        import httpx

        self.address = address_of(url)
        self.retries = retries
        self._token = token
        self._client = httpx.Client(base_url=self.address, timeout=timeout_s)
        weakref.finalize(self, self._client.close)  # for callers that do not call close()
        self._names: dict[str, str] = {}
        self._refused: set[str] = set()

    @classmethod
    def shared(cls, url: str) -> Endpoint:
        """Return the shared endpoint of an address in this process."""
        address = address_of(url)
        with cls._shared_lock:
            if address not in cls._shared:
                cls._shared[address] = cls(address)
            return cls._shared[address]

    def request(
        self, method: str, path: str, body: Any = None, *, passing: frozenset[int] = _PASSING
    ) -> Any:
        """Send a request; retry temporary errors with growing pauses.

        Args:
            method: HTTP method.
            path: Route, such as `/v1/models`.
            body: JSON body.
            passing: Statuses that are retried.

        Raises:
            BackendUnavailable: If the server cannot be reached.
        """
        import httpx

        token = server_token(self._token)
        headers = {"Authorization": f"Bearer {token}"} if token else {}

        def ask() -> Any:
            return self._client.request(method, path, json=body, headers=headers)

        try:
            return _retry_request(ask, self.retries, passing, httpx.TransportError)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise BackendUnavailable(
                f"{self.address} does not answer: {type(error).__name__}: {error}",
                "a running server",
                "burnish serve, or correct the address in burnish.toml",
            ) from error

    def models(self) -> list[dict[str, Any]]:
        """List the server's models; empty if it has no such route.

        Raises:
            BackendUnavailable: If the server refuses to list them.
            ServingError: If the answer is not a list of models.
        """
        response = self.request("GET", "/v1/models")
        if response.status_code in _NO_LIST:
            return []
        if response.status_code != 200:
            raise refusal(self.address, "list its models", response, kind=BackendUnavailable)
        try:
            return [model for model in response.json()["data"] if isinstance(model.get("id"), str)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ServingError(
                f"{self.address}/v1/models answers with something else than a list of models",
                'a body such as {"data": [{"id": "name"}]}',
                "correct the address in burnish.toml",
            ) from error

    def served_name(self, base_model: str | None) -> str:
        """Return the server's name for a base model; requested once and cached.

        Args:
            base_model: A folder, a name, or None for the first listed base model.

        Raises:
            ServingError: If the server serves other models only.
            BaseModelMismatch: If a model of that name has other weights.
        """
        key = base_model or ""
        if key not in self._names:
            self._names[key] = self._find_name(base_model)
        return self._names[key]

    def takes(self, field: str = _IDS_FIELD) -> bool:
        """Return whether an optional field may be sent: the server has not refused it."""
        return field not in self._refused

    def refused(self, field: str) -> None:
        """Record that the server refuses a field, so that it is not sent again."""
        self._refused.add(field)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _find_name(self, base_model: str | None) -> str:
        bases = [model for model in self.models() if not model.get("parent")]
        if base_model is None:
            if not bases:
                raise ServingError(
                    f"{self.address} lists no base model",
                    "one",
                    f"look at {self.address}/v1/models",
                )
            return bases[0]["id"]
        if not bases:  # a server that cannot be listed is trusted when it answers
            return base_model
        return match_base(base_model, bases, self.address)


def match_base(base_model: str, listed: list[dict[str, Any]], address: str) -> str:
    """Return the listed name of a base model.

    A model matches by its name, its folder or the hash of its weights. If no model matches and the
    server lists one base model without a hash, that model is used and a warning is logged.

    Raises:
        ServingError: If no listed model matches.
        BaseModelMismatch: If the only candidate has other weights.
    """
    folder = _folder_of_model(base_model)
    for model in listed:
        if model["id"] == base_model or (
            folder and _folder_of_model(str(model.get("root"))) == folder
        ):
            return model["id"]
    sha256 = _hash_of_model(base_model)
    hashes = {model.get("sha256"): model["id"] for model in listed if model.get("sha256")}
    if sha256 in hashes:
        return hashes[sha256]
    names = ", ".join(model["id"] for model in listed)
    if hashes and sha256:
        raise BaseModelMismatch(
            f"{address} serves {names}, with other weights than {base_model}",
            f"a server of {base_model} ({sha256[:12]})",
            f"burnish serve {base_model}",
        )
    if folder is not None and len(listed) == 1:
        logger.warning("burnish: %s serves %s; used as %s", address, names, base_model)
        return listed[0]["id"]
    fix = f"start the server with --served-model-name {base_model}"
    # Without its files, base_model may be meant as another name of the server; training needs the files.
    if sha256 is None:
        fix = f"write base_model = {listed[0]['id']!r} (training needs its files here), or {fix}"
    raise ServingError(
        f"{address} does not serve {base_model}, only {names}",
        "the server's name of the base model",
        fix,
    )


def _folder_of_model(name: str) -> Path | None:
    try:
        path = Path(name).expanduser()
        return path.resolve() if (path / "config.json").is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _hash_of_model(base_model: str) -> str | None:
    from burnish.serving.contract.base_models import base_sha256, resolve_model

    try:
        return base_sha256(resolve_model(base_model))
    except ServingError:
        return None


def _retry_request(
    ask: Callable[[], Any], retries: int, passing: frozenset[int], broken: type[Exception]
) -> Any:
    """Return the answer of a request, retried after temporary errors."""
    for tried in range(retries + 1):
        wait = _FIRST_WAIT_S * 2**tried * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        try:
            response = ask()
        except broken:
            if tried == retries:
                raise
        else:
            asked = _asked_wait(response.headers.get("retry-after"), wait)
            if response.status_code not in passing or tried == retries or asked is None:
                return response
            wait = asked
        time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _asked_wait(header: str | None, otherwise: float) -> float | None:
    """Parse a Retry-After header, a number or a date, to seconds; None if it is too long."""
    if header is None:
        return otherwise
    try:
        wait = float(header)
    except ValueError:
        try:
            wait = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError):
            return otherwise
    return max(wait, 0.0) if wait <= LONGEST_WAIT_S else None


def refusal(
    address: str, what: str, response: Any, *, kind: type[ServingError] = ServingError
) -> ServingError:
    """Build the error for an unexpected answer.

    A refused token (401, 403) and temporary errors (429, 502, 503, 504) are `BackendUnavailable`:
    they do not depend on the requested model.

    Args:
        address: Of the server.
        what: The action that failed.
        response: Its answer.
        kind: The error for other statuses.
    """
    if response.status_code in _OF_THE_SERVER:
        kind = BackendUnavailable
    return kind(
        f"{address} did not {what}: {response.status_code}: {reason(response)}",
        "status 200",
        "set BURNISH_TOKEN" if response.status_code in (401, 403) else "look at its log",
    )


def error_status(error: BaseException) -> int | None:
    """Return the HTTP status of an error that a client raised.

    An error within a stream has no status of its own: the status in its body is returned.
    """
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status
    return read_status(getattr(error, "code", None))


def read_status(code: object) -> int | None:
    """Return the HTTP status that the field `code` of an error holds, a number or its digits; None for other codes."""
    text = str(code)
    return int(text) if text.isdecimal() and text.isascii() and 400 <= int(text) < 600 else None


def blames_request(status: int | None, *kinds: object) -> bool:
    """Return whether an error of a server refuses a request for its content, and not for the server's own state.

    Args:
        status: Its HTTP status, if it has one.
        *kinds: Values of its body that name its kind, such as `type` and `code`.
    """
    if status is not None:
        return status in REQUEST_REFUSALS
    told = " ".join(str(kind) for kind in kinds).lower()
    return any(word in told for word in _REQUEST_WORDS)


def engine_died(error: BaseException) -> bool:
    """Return whether vLLM reports that its compute process has ended.

    It does not answer after that.
    """
    return error_status(error) == 500 and _DEAD_ENGINE in str(error)


def reason(response: Any) -> str:
    """Return the error message in an answer, in any of the forms that servers use."""
    try:
        body = response.json()
    except ValueError:
        return response.text[:300]
    if isinstance(body, dict):
        error = body.get("error", body)
        if isinstance(error, dict):
            return str(error.get("message", error))
        return str(error)
    return str(body)
