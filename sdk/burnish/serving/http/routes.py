"""Implement the routes of `burnish serve`: OpenAI's bodies and vLLM's adapter routes.

`Routes.table` lists them; `server` runs them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from burnish.errors import BurnishError, ServingError, UnknownAdapter
from burnish.records import Json
from burnish.serving.embedded.requests import EngineAnswer, EngineRequest
from burnish.serving.embedded.session import (
    ChatAsk,
    FinishedAnswer,
    ReplyStream,
    Session,
    cut_at_stop,
)
from burnish.serving.http.request_options import (
    check_chat_options,
    check_completion_options,
    check_flags,
    sampling_of_body,
)
from burnish.serving.messages import from_records
from burnish.serving.toolcalls.reply_parser import ReplyPiece

_LOG = logging.getLogger("burnish.serve")
_MOST_LOGPROBS = 20
Handler = Callable[[dict[str, Any]], Awaitable[Response]]
_current: ContextVar[HttpRequest] = ContextVar("burnish_serve_request")
"""The current HTTP request; handlers receive only its body."""


class Refusal(ServingError):
    """A request that is answered with an error body instead of a result."""

    def __init__(self, message: str, status: int = 400, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.status, self.kind = status, kind

    def __reduce__(self) -> tuple[type[Refusal], tuple[str, int, str]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self), (self.found, self.status, self.kind)


class Routes:
    """The routes over one session.

    Args:
        session: The engine with its tokenizer.
        name: The name of the base model for clients.
    """

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._engine = session.engine
        self._name = name
        self._started = int(time.time())

    def table(self) -> list[Route]:
        """Return the routes, for an application."""
        posts: dict[str, Handler] = {
            "/v1/chat/completions": self.chat,
            "/v1/completions": self.complete,
            "/v1/load_lora_adapter": self.load,
            "/v1/unload_lora_adapter": self.unload,
        }
        return [
            Route("/health", self.health, methods=["GET"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/v1/models/{name:path}", self.model, methods=["GET"]),
            *(
                Route(path, _guard_route(handler), methods=["POST"])
                for path, handler in posts.items()
            ),
        ]

    async def health(self, request: HttpRequest) -> Response:
        """Answer 200 while the engine runs."""
        return PlainTextResponse("")

    async def models(self, request: HttpRequest) -> Response:
        """List the base model and the loaded versions."""
        return JSONResponse({"object": "list", "data": self._cards()})

    async def model(self, request: HttpRequest) -> Response:
        """Return one model of the list, by its name."""
        name = request.path_params["name"]
        found = next((card for card in self._cards() if card["id"] == name), None)
        if found is None:
            return _error_response(f"The model `{name}` does not exist.", "NotFoundError", 404)
        return JSONResponse(found)

    async def load(self, body: dict[str, Any]) -> Response:
        """Load an adapter on vLLM's route; loading in place is refused."""
        name, path = body.get("lora_name"), body.get("lora_path")
        if not name or not path or not isinstance(name, str) or not isinstance(path, str):
            raise Refusal("Both 'lora_name' and 'lora_path' must be provided.", 400, _INPUT)
        check_flags(body, "load_inplace")
        if body.get("load_inplace"):
            raise Refusal(
                "'load_inplace' is not supported: a version is never replaced.", 400, _INPUT
            )
        if name in self._engine or name == self._name:
            raise Refusal(
                f"The lora adapter '{name}' has already been loaded. If you want to load the "
                "adapter in place, set 'load_inplace' to True.",
                400,
                _INPUT,
            )
        if not (Path(path) / "adapter_config.json").is_file():
            raise Refusal(
                f"Loading lora {name} failed: No adapter found for {path}", 404, "NotFoundError"
            )
        try:
            await asyncio.to_thread(self._engine.load, name, path)
        except BurnishError as error:
            raise Refusal(str(error), 500, "InternalServerError") from error
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, body: dict[str, Any]) -> Response:
        """Unload an adapter on vLLM's route; answer when its running requests have ended."""
        name = body.get("lora_name")
        if not name or not isinstance(name, str):
            raise Refusal("'lora_name' needs to be provided to unload a LoRA adapter.", 400, _INPUT)
        try:
            await asyncio.to_thread(self._engine.unload, name)
        except UnknownAdapter as error:
            raise Refusal(
                f"The lora adapter '{name}' cannot be found.", 404, "NotFoundError"
            ) from error
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    async def chat(self, body: dict[str, Any]) -> Response:
        """Answer OpenAI's chat completions."""
        check_chat_options(body)
        ask, model = self._ask(body), self._model(body)
        if body.get("stream"):
            return await self._stream(ask, model, body)
        request = await asyncio.to_thread(self._session.make_request, ask)
        answer = await self._answer(request)
        finished = self._session.finish_answer(answer, ask)
        message: dict[str, Json] = {"role": "assistant", "content": finished.content}
        if finished.reply.reasoning:
            message["reasoning_content"] = finished.reply.reasoning
        if finished.tool_calls:
            message["tool_calls"] = finished.tool_calls
        choice: dict[str, Json] = {
            "index": 0,
            "message": message,
            "finish_reason": finished.finish_reason,
            "logprobs": self._logprobs(finished) if body.get("logprobs") else None,
        }
        result = {
            **_head("chat.completion", model),
            "choices": [choice],
            "usage": _render_usage(finished),
        }
        if body.get("return_token_ids"):
            choice["token_ids"] = answer.token_ids
            result["prompt_token_ids"] = answer.prompt_token_ids
        return JSONResponse(result)

    async def complete(self, body: dict[str, Any]) -> Response:
        """Answer OpenAI's completions, for text or token ids; log-probabilities of the first token."""
        check_completion_options(body)
        prompt, model = body.get("prompt"), self._model(body)
        if isinstance(prompt, str):
            prompt = await asyncio.to_thread(self._session.encode_text, prompt)
        if not isinstance(prompt, list) or not all(type(token) is int for token in prompt):
            raise Refusal("'prompt' must be a text or a list of token ids.")
        count, most = _read_integer(body, "logprobs"), _read_integer(body, "max_tokens", 16)
        if count is not None and (not 0 <= count <= _MOST_LOGPROBS or most != 1):
            raise Refusal("'logprobs' is at most 20 here and needs 'max_tokens': 1.")
        if body.get("stream"):
            raise Refusal("'stream' is only supported by /v1/chat/completions.")
        stop = _stop_texts(body.get("stop"))
        request = EngineRequest(
            prompt=prompt,
            adapter=self._adapter(model),
            max_tokens=16 if most is None else most,
            sampling=sampling_of_body(body),
            stop=self._session.make_stopper(stop),
        )
        answer = await self._answer(request)
        finished = self._session.finish_answer(answer)
        choice: dict[str, Json] = {
            "index": 0,
            "text": cut_at_stop(finished.text, stop),
            "finish_reason": answer.finish_reason,
            "token_ids": answer.token_ids,
            "logprobs": None,
        }
        if count is not None:
            top = await asyncio.to_thread(
                self._engine.rank_next_tokens, prompt, request.adapter, count
            )
            choice["logprobs"] = {
                "tokens": [f"token_id:{token}" for token in answer.token_ids],
                "token_logprobs": answer.logprobs,
                "top_logprobs": [{f"token_id:{token}": value for token, value in top}],
                "text_offset": [0],
            }
        head = _head("text_completion", model)
        return JSONResponse({**head, "choices": [choice], "usage": _render_usage(finished)})

    async def _answer(self, request: EngineRequest) -> EngineAnswer:
        """Generate an answer; a disconnect of the client ends the generation at the next token."""
        waiting = asyncio.wrap_future(self._engine.submit_request(request))
        left = asyncio.create_task(_wait_until_left(_current.get()))
        try:
            await asyncio.wait({waiting, left}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise Refusal("the client left", _CLIENT_LEFT, "ClientLeft")
            return waiting.result()
        finally:
            waiting.cancel()
            left.cancel()

    async def _stream(self, ask: ChatAsk, model: str, body: dict[str, Any]) -> Response:
        options = _read_object(body, "stream_options")
        loop, tokens = asyncio.get_running_loop(), asyncio.Queue[int]()

        def tell(token: int) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(tokens.put_nowait, token)

        request = await asyncio.to_thread(self._session.make_request, ask, tell)
        stream = await asyncio.to_thread(ReplyStream, self._session, ask)
        future = self._engine.submit_request(request)
        future.add_done_callback(lambda _: tell(-1))
        head = _head("chat.completion.chunk", model)

        async def events() -> AsyncIterator[str]:
            deltas = _Deltas(head)
            try:
                yield deltas.event({"role": "assistant", "content": ""})
                while (token := await tokens.get()) != -1:
                    for piece in stream.add_token(token):
                        yield deltas.piece(piece)
                answer = future.result()
                for piece in stream.close():
                    yield deltas.piece(piece)
                finished = FinishedAnswer(answer=answer, text="", reply=stream.reply)
                yield deltas.last(finished.finish_reason, *self._stream_facts(finished, body))
                if options.get("include_usage"):
                    yield _render_event({**head, "choices": [], "usage": _render_usage(finished)})
            except ServingError as error:
                yield _render_event(
                    {"error": _render_error(str(error), "InternalServerError", 500)}
                )
            finally:
                future.cancel()  # a disconnect of the client stops the generation
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    def _ask(self, body: dict[str, Any]) -> ChatAsk:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise Refusal("'messages' must be a list with at least one message.")
        most = _read_integer(body, "max_completion_tokens")
        most = _read_integer(body, "max_tokens", 512) if most is None else most
        return ChatAsk(
            messages=from_records(messages),
            tools=() if body.get("tool_choice") == "none" else body.get("tools") or (),
            adapter=self._adapter(self._model(body)),
            max_tokens=512 if most is None else most,
            sampling=sampling_of_body(body),
            stop=_stop_texts(body.get("stop")),
            top_logprobs=_read_integer(body, "top_logprobs") or 0,
        )

    def _model(self, body: dict[str, Any]) -> str:
        model = body.get("model") or self._name
        if not isinstance(model, str):
            raise Refusal("'model' must be a text.")
        return model

    def _adapter(self, model: str) -> str | None:
        """Return the version that a model name means; an unknown name is refused."""
        if model == self._name:
            return None
        if model not in self._engine:
            raise Refusal(
                f"The model `{model}` does not exist. Valid aliases: "
                f"{', '.join([self._name, *self._engine.list()])}.",
                404,
                "NotFoundError",
            )
        return model

    def _cards(self) -> list[dict[str, Json]]:
        facts = self._engine.facts
        base = self._card(self._name, str(facts.folder), None)
        base.update(max_model_len=facts.context, sha256=facts.sha256, dtype=facts.dtype)
        return [
            base,
            *(self._card(s.version, str(s.path), self._name) for s in self._engine.list_slots()),
        ]

    def _card(self, name: str, root: str, parent: str | None) -> dict[str, Json]:
        return {
            "id": name,
            "object": "model",
            "created": self._started,
            "owned_by": "burnish",
            "root": root,
            "parent": parent,
        }

    def _stream_facts(
        self, finished: FinishedAnswer, body: dict[str, Any]
    ) -> tuple[dict[str, Json], dict[str, Json]]:
        """Return the facts in the last event of a stream: of the choice, and of the answer."""
        choice: dict[str, Json] = {}
        if body.get("logprobs"):
            choice["logprobs"] = self._logprobs(finished)
        if not body.get("return_token_ids"):
            return choice, {}
        choice["token_ids"] = finished.answer.token_ids
        return choice, {"prompt_token_ids": finished.answer.prompt_token_ids}

    def _logprobs(self, finished: FinishedAnswer) -> dict[str, Json]:
        answer, decode = finished.answer, self._session.renderer.decode

        def entry(token: int, logprob: float) -> dict[str, Json]:
            return {"token": decode([token]), "logprob": logprob, "bytes": None}

        pairs = zip(answer.token_ids, answer.logprobs, strict=True)
        return {
            "content": [
                {
                    **entry(*pair),
                    "top_logprobs": [entry(*top) for top in answer.tops[at]] if answer.tops else [],
                }
                for at, pair in enumerate(pairs)
            ]
        }


class _Deltas:
    """The events of one streamed answer."""

    def __init__(self, head: dict[str, Json]) -> None:
        self._head = head
        self._calls = 0

    def piece(self, piece: ReplyPiece) -> str:
        """Encode the event of one piece of the reply."""
        if piece.kind == "reasoning":
            return self.event({"reasoning_content": piece.text})
        call = piece.call
        if call is None:
            return self.event({"content": piece.text})
        if call.arguments is None:
            return self.event({"content": call.raw})
        self._calls += 1
        function = {"name": call.name, "arguments": call.raw}
        delta = {"index": self._calls - 1, "id": call.id, "type": "function", "function": function}
        return self.event({"tool_calls": [delta]})

    def last(self, finish_reason: str, choice: dict[str, Json], answer: dict[str, Json]) -> str:
        """Encode the event that ends the choice."""
        ended = {"index": 0, "delta": {}, "finish_reason": finish_reason, **choice}
        return _render_event({**self._head, **answer, "choices": [ended]})

    def event(self, delta: dict[str, Json], finish_reason: str | None = None) -> str:
        """Encode the event of one change."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return _render_event({**self._head, "choices": [choice]})


_INPUT = "InvalidUserInput"
_CLIENT_LEFT = 499
_MOST_STOPS, _LONGEST_STOP = 4, 256  # OpenAI's number; each token is compared with these
_LONGEST_MESSAGE = 1000


def _guard_route(handler: Handler) -> Callable[[HttpRequest], Awaitable[Response]]:
    """Wrap a handler: read its JSON body, answer errors in OpenAI's form and log them."""

    async def route(request: HttpRequest) -> Response:
        try:
            _current.set(request)  # each request runs in its own task
            return await handler(await _read_body(request))
        except Refusal as refusal:
            return _error_response(refusal.found, refusal.kind, refusal.status)
        except UnknownAdapter as error:  # unloaded between the check and the request
            return _error_response(str(error), "NotFoundError", 404)
        except (BurnishError, OSError, *_MALFORMED) as error:
            return _error_response(str(error) or type(error).__name__, "BadRequestError", 400)
        except Exception as error:  # noqa: BLE001 - a client always gets an answer
            _LOG.error("%s: %r", request.url.path, error)
            return _error_response(
                "internal error; see the server's log", "InternalServerError", 500
            )

    return route


_MALFORMED = (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError, RecursionError)  # fmt: skip


async def _wait_until_left(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


async def _read_body(request: HttpRequest) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json":
        raise Refusal(f"The content type is {kind!r}, not 'application/json'.", 415)
    content = await request.body()
    try:
        # Strict: a model cannot read what it refuses (lone surrogates, NaN, numbers beyond floats).
        body = await asyncio.to_thread(msgspec.json.decode, content)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"The body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refusal("The body is not a JSON object.")
    return body


def _read_integer(body: dict[str, Any], key: str, default: int | None = None) -> int | None:
    value = body.get(key, default)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise Refusal(f"'{key}' must be a whole number.")
    return value


def _read_object(body: dict[str, Any], key: str) -> dict[str, Any]:
    value = body.get(key)
    if value is not None and not isinstance(value, dict):
        raise Refusal(f"'{key}' must be an object.")
    return value or {}


def _stop_texts(given: Any) -> tuple[str, ...]:
    one = isinstance(given, str)
    stops = cast("tuple[Any, ...]", (given,) if one else tuple(given or ()))
    if not all(isinstance(stop, str) and 0 < len(stop) <= _LONGEST_STOP for stop in stops):
        raise Refusal(f"'stop' must be texts of 1 to {_LONGEST_STOP} characters.")
    if len(stops) > _MOST_STOPS:
        raise Refusal(f"'stop' holds at most {_MOST_STOPS} texts.")
    return stops


def _head(kind: str, model: str) -> dict[str, Json]:
    identity = f"{'cmpl' if kind == 'text_completion' else 'chatcmpl'}-{uuid.uuid4().hex}"
    return {"id": identity, "object": kind, "created": int(time.time()), "model": model}


def _render_usage(finished: FinishedAnswer) -> dict[str, Json]:
    asked, written = len(finished.answer.prompt_token_ids), len(finished.answer.token_ids)
    return {
        "prompt_tokens": asked,
        "completion_tokens": written,
        "total_tokens": asked + written,
    }


def _render_event(value: dict[str, Json]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _render_error(message: str, kind: str, status: int) -> dict[str, Json]:
    return {"message": message, "type": kind, "param": None, "code": status}


def _error_response(message: str, kind: str, status: int) -> Response:
    message = message.encode("utf-8", "replace").decode()
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]} ..."
    _LOG.info("%d %s: %s", status, kind, message)
    return JSONResponse({"error": _render_error(message, kind, status)}, status_code=status)
