"""Record Google's client inside a `trace`: `models` and `chats`, synchronous and asynchronous.

Each model call passes through the client's API client, which sees the sent request and the answered
JSON; `google_form` reads both.

How it works: a copy of the client has copies of its `models`, whose API client records requests to
`:generateContent` and passes everything on. So the calls of chats and of automatic function calling
are recorded too, one by one. The API client keeps the original client alive; the copy closes its
connections only on request.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, TypeVar

from burnish.capture.clients.client_replies import ClientCall, Reading
from burnish.capture.clients.generated_clients import ClientKind, refuse_client
from burnish.capture.clients.google_form import ContentExchange
from burnish.capture.faults import guarded

_C = TypeVar("_C")
_ENDINGS = (":generateContent", ":streamGenerateContent")
_KIND = ClientKind(
    name="google",
    package="google-genai",
    expected="a google.genai.Client",
    example="burnish.trace.google(google.genai.Client())",
    resource="models",
    routes={},
)


def recording_google(client: _C) -> _C:
    """Copy a `google.genai.Client`; the copy's model calls are recorded inside a `trace`.

    Args:
        client: The client; its `aio` is recorded too.

    Raises:
        CaptureError: If it is not such a client.
        MissingExtra: If it is not, and google-genai is not installed.
    """
    given: Any = client
    try:
        if isinstance(given._api_client, _RecordingApi):  # noqa: SLF001 - there is no public name, here and below
            return client
        api = _RecordingApi(given._api_client, given)  # noqa: SLF001
        twin = _copy_of(given, api)
        twin._aio = _copy_of(given._aio, api)  # noqa: SLF001
        for holder in (twin, twin._aio):  # noqa: SLF001
            holder._models = copy.copy(holder._models)  # noqa: SLF001
            holder._models._api_client = api  # noqa: SLF001
    except AttributeError as missing:
        raise refuse_client(client, _KIND, missing) from missing
    return twin


def _copy_of(client: Any, api: _RecordingApi) -> Any:
    made = copy.copy(client)
    made.__class__ = _class_that_stays_open(type(client))
    made._api_client = api  # noqa: SLF001
    return made


@functools.cache
def _class_that_stays_open(kind: type) -> type:
    """Return the class of a copy, which leaves the connections open when it is collected."""
    return type(kind.__name__, (kind,), {"__del__": lambda _: None, "__doc__": kind.__doc__})


class _RecordingApi:
    """An API client that records model requests and otherwise is the original one.

    Args:
        api: The original one.
        client: Its client, which closes the connections when it is collected.
    """

    def __init__(self, api: Any, client: Any) -> None:
        self._api, self._client = api, client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def request(self, method: str, path: str, body: Any, *args: Any, **kwargs: Any) -> Any:
        """Send a request and record the reply."""
        with Reading(_begin_call(path, body)) as reading:
            reply = self._api.request(method, path, body, *args, **kwargs)
            _hear_reply(reading.call, reply, whole=True)
        return reply

    async def async_request(
        self, method: str, path: str, body: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Send a request and record the reply."""
        with Reading(_begin_call(path, body)) as reading:
            reply = await self._api.async_request(method, path, body, *args, **kwargs)
            _hear_reply(reading.call, reply, whole=True)
        return reply

    def request_streamed(
        self, method: str, path: str, body: Any, *args: Any, **kwargs: Any
    ) -> Iterator[Any]:
        """Send a request and record the reply while it is read."""
        call = _begin_call(path, body)
        reading = Reading(call, functools.partial(_hear_reply, call))
        yield from reading.through(self._api.request_streamed(method, path, body, *args, **kwargs))

    async def async_request_streamed(
        self, method: str, path: str, body: Any, *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Send a request and record the reply while it is read."""
        call = _begin_call(path, body)
        try:
            reply = await self._api.async_request_streamed(method, path, body, *args, **kwargs)
        except BaseException as error:
            call.close(error)
            raise
        return Reading(call, functools.partial(_hear_reply, call)).athrough(reply)


def _begin_call(path: str, body: Any) -> ClientCall:
    target = path.partition("?")[0]
    if not target.endswith(_ENDINGS) or not isinstance(body, Mapping):
        return ClientCall()
    model = target.rpartition(":")[0].rpartition("models/")[2]
    begin: Callable[[], ContentExchange] = functools.partial(ContentExchange, body, model)
    return ClientCall(begin)


@guarded
def _hear_reply(call: ClientCall, reply: Any, *, whole: bool = False) -> None:
    if call.is_open and reply.body:
        call.add(json.loads(reply.body), whole=whole)
