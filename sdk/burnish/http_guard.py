"""Check requests to burnish servers: bearer token, Host and Origin, limits.

`burnish receive` and `burnish serve` use the same `Guard`. Without a token a server listens on loopback
only, and accepts only requests whose Host and Origin name this machine: a web page whose name was
rebound to 127.0.0.1 has another Host, and a page that posts directly has another Origin.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import threading
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from burnish.errors import ServingError, SettingsError

TOKEN_VARIABLE = "BURNISH_TOKEN"  # noqa: S105 - the name of a variable
REALM = "burnish"
LARGEST_BODY = 64 * 1024 * 1024
HEADERS_S = 15.0
"""Longest wait for a request's headers; idle connections end then too."""
BODY_S = 60.0
"""Longest wait for a request's body."""
LINGER_S = 1.0
"""Seconds for which a refused request is still read, so that its sender gets the answer."""
CONNECTIONS = 64
"""Connections served at once; more are answered 503."""


class RequestRefused(ServingError):
    """A request is refused, with the HTTP status and reason of the answer."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason

    def __reduce__(self) -> tuple[type[RequestRefused], tuple[HTTPStatus, str]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self), (self.status, self.reason)


class Guard(NamedTuple):
    """The access rules of a server."""

    token: str | None = None

    def check_headers(self, headers: Mapping[str, str]) -> None:
        """Refuse a request by its headers, whose names are in lower case.

        Raises:
            RequestRefused: If the token is missing or wrong, or Host or Origin is of another machine.
        """
        if self.token is not None:
            self.check_token(headers.get("authorization", ""))
            return
        host = headers.get("host", "")
        if not is_loopback(_strip_port(host)):
            raise RequestRefused(HTTPStatus.BAD_REQUEST, f"Invalid host header: {host[:100]!r}")
        origin = headers.get("origin")
        if origin is not None and not is_loopback(parse_host(origin)):
            raise RequestRefused(
                HTTPStatus.FORBIDDEN, f"requests from the page {origin[:100]!r} are not accepted"
            )

    def check_token(self, authorization: str) -> None:
        """Refuse a request without the bearer token.

        Raises:
            RequestRefused: If the token is missing or wrong.
        """
        expected = f"Bearer {self.token}".encode()
        given = authorization.encode("utf-8", "surrogateescape")
        if self.token is not None and not hmac.compare_digest(given, expected):
            raise RequestRefused(
                HTTPStatus.UNAUTHORIZED, f"this {REALM} server requires its bearer token"
            )


def check_address(host: str, token: str | None, command: str = "burnish serve") -> None:
    """Refuse to listen beyond loopback without a token.

    Raises:
        SettingsError: If the address is beyond loopback and no token is given.
    """
    if token or is_loopback(host):
        return
    raise SettingsError(
        f"host {host} is reachable from other machines and there is no token",
        f"a token in {TOKEN_VARIABLE} or --token-file",
        f"{TOKEN_VARIABLE}=$(openssl rand -hex 24) {command} --host {host}",
    )


def read_token(path: Path | None = None) -> str | None:
    """Read the bearer token from a file, else from `BURNISH_TOKEN`; never from the command line, which `ps` shows.

    Raises:
        SettingsError: If the file cannot be read or holds no token.
    """
    if path is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip() or None
    try:
        token = path.expanduser().read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        token = str(error)
    if not token or any(character.isspace() for character in token):
        raise SettingsError(
            f"{path} holds no token", "one line with a token", f"openssl rand -hex 24 > {path}"
        )
    return token


def is_loopback(host: str) -> bool:
    """Return True if a host names only this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_host(url: str) -> str:
    """Return the host of a URL, or "" if it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _strip_port(host: str) -> str:
    """Return the name in a Host header, without its port."""
    return parse_host(f"//{host}") if not set(host) & set("/@?#\\") else ""


class ByteBudget:
    """A limit on the bytes that all requests of a server hold in memory."""

    def __init__(self, total: int = 4 * LARGEST_BODY) -> None:
        self._left = total
        self._lock = threading.Lock()

    def reserve_bytes(self, count: int) -> None:
        """Reserve bytes.

        Raises:
            RequestRefused: If other requests hold them; the sender should retry.
        """
        with self._lock:
            if count > self._left:
                raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests at once")
            self._left -= count

    def release_bytes(self, count: int) -> None:
        """Free reserved bytes."""
        with self._lock:
            self._left += count
