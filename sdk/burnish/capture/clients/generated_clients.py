"""Record clients generated from an API description, such as those of OpenAI and Anthropic.

Such a client sends each request through its `post`, its resources take `post` from the client when
they are created, and `copy` and `with_options` make copies.

How it works: a copy of the client gets a new `post`, which records requests to the paths of model
calls. `create`, `parse`, `stream` and their raw forms all end there, with the request as it is
sent. The original client is not changed.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from burnish.capture.clients.client_replies import ClientCall, receive_reply
from burnish.capture.clients.exchanges import Exchange, is_left_out
from burnish.errors import BurnishError, CaptureError, MissingExtra

_C = TypeVar("_C")
_COPIES = ("copy", "with_options")
_RECORDED = "_burnish_recorded"


class ClientKind(NamedTuple):
    """A kind of client.

    Attributes:
        name: As in `trace.NAME`.
        package: The package that provides the client.
        expected: The accepted clients, for the error.
        example: A correct call, for the error.
        resource: A resource that each such client has, such as "chat.completions".
        routes: The exchange for each path of a model call, by the path's end.
    """

    name: str
    package: str
    expected: str
    example: str
    resource: str
    routes: Mapping[str, Callable[[Mapping[str, Any]], Exchange]]


def recording_client(client: _C, kind: ClientKind) -> _C:
    """Copy a client; the copy's model calls are recorded inside a `trace`.

    Copies of the copy (`with_options`, `copy`) are recorded too.

    Args:
        client: The client, synchronous or asynchronous.
        kind: The description of such clients.

    Raises:
        CaptureError: If it is not such a client.
        MissingExtra: If it is not, and the package of such clients is not installed.
    """
    twin: Any
    try:
        twin = client.with_options()  # pyright: ignore[reportAttributeAccessIssue]
        _record_posts(twin, kind)
    except AttributeError as missing:
        raise refuse_client(client, kind, missing) from missing
    return twin


def refuse_client(client: Any, kind: ClientKind, missing: AttributeError) -> BurnishError:
    """Return the error for an object that is not a client of this kind."""
    if not _is_installed(kind.package):
        return MissingExtra(
            f"the package {kind.package} is not installed, and trace.{kind.name}() got "
            f"{type(client).__name__}",
            kind.expected,
            f"pip install {kind.package}",
        )
    return CaptureError(
        f"trace.{kind.name}() got {type(client).__name__}, which lacks {missing.name}",
        kind.expected,
        kind.example,
    )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package.replace("-", ".")) is not None
    except ModuleNotFoundError:  # of a package that would hold it
        return False


def _record_posts(twin: Any, kind: ClientKind) -> None:
    if hasattr(twin.post, _RECORDED):
        return
    twin.post = _recorded(twin.post, kind)
    resource = operator.attrgetter(kind.resource)(twin)
    if resource._post is not twin.post:  # noqa: SLF001 - a client whose resources exist already
        resource._post = twin.post  # noqa: SLF001
    for name in _COPIES:
        copy = getattr(type(twin), name, None)
        if copy is not None:
            setattr(twin, name, _recorded_copy(twin, copy, kind))


def _recorded_copy(twin: Any, copy: Callable[..., Any], kind: ClientKind) -> Callable[..., Any]:
    @functools.wraps(copy)
    def recorded_copy(*args: Any, **kwargs: Any) -> Any:
        made = copy(twin, *args, **kwargs)
        _record_posts(made, kind)
        return made

    return recorded_copy


def _recorded(post: Callable[..., Any], kind: ClientKind) -> Callable[..., Any]:
    """Return a recording `post`; an asynchronous client's stays a coroutine function."""

    @functools.wraps(post)
    def run(path: str, *args: Any, **request: Any) -> Any:
        call = _begin_call(path, request, kind)
        try:
            reply = post(path, *args, **request)
        except BaseException as error:
            call.close(error)
            raise
        return receive_reply(reply, call)

    @functools.wraps(post)
    async def arun(path: str, *args: Any, **request: Any) -> Any:
        call = _begin_call(path, request, kind)
        try:
            reply = await post(path, *args, **request)
        except BaseException as error:
            call.close(error)
            raise
        return receive_reply(reply, call)

    recorded = arun if inspect.iscoroutinefunction(post) else run
    setattr(recorded, _RECORDED, True)
    return recorded


def _begin_call(path: str, request: Mapping[str, Any], kind: ClientKind) -> ClientCall:
    plain = path.partition("?")[0]
    for ending, make in kind.routes.items():
        if plain.endswith(ending):
            return ClientCall(functools.partial(_make_exchange, make, request))
    return ClientCall()


def _make_exchange(
    make: Callable[[Mapping[str, Any]], Exchange], request: Mapping[str, Any]
) -> Exchange:
    return make(_body_of(request))


def _body_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sent body: without omitted fields, with the user's `extra_body`."""
    options = request.get("options") or {}
    given = {**(request.get("body") or {}), **(options.get("extra_json") or {})}
    return {key: value for key, value in given.items() if not is_left_out(value)}
