"""A stand-in for vLLM's OpenAI server, for tests of whatever talks to vLLM.

It is a real HTTP server on loopback with vLLM's routes, answers and error texts (as measured with
vLLM 0.32), and answers with a real model through the embedded engine:

    with VllmServer("starter", served_name="base") as server:
        open_backend(server.url, base_model="base").load("support@0a1b2c3d4e5f", folder)
        server.restart()                    # its adapters are gone, as after a restart of vLLM
        server.fail(429, times=2, headers={"retry-after": "0"})

As with vLLM, a request is seeded by its `seed` alone, unknown fields are ignored (or refused, with
`refuses_unknown`), an adapter above `max_lora_rank` is refused with status 500 when it is loaded,
and a model that is not loaded is answered with 404.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from burnish.errors import BurnishError, ServingError
from burnish.serving.embedded.engine import Engine
from burnish.serving.embedded.requests import Request
from burnish.serving.embedded.sampling import Sampling
from burnish.serving.embedded.session import Ask, Finished, ReplyStream, Session
from burnish.serving.messages import from_records
from burnish.serving.request_options import SAMPLING, sampling_of_body
from burnish.serving.server import running
from burnish.serving.toolcalls import Piece

_OBEYED = (
    "model messages prompt temperature top_p seed max_tokens max_completion_tokens stop stream "
    "stream_options tools tool_choice logprobs return_token_ids return_tokens_as_token_ids"
)
_NEUTRAL = "n user top_logprobs parallel_tool_calls"
_KNOWN = frozenset(f"{_OBEYED} {_NEUTRAL}".split()) | SAMPLING


class VllmServer:
    """A server that behaves as vLLM does.

    Args:
        base_model: A folder or a name of the base model that answers.
        served_name: What clients call the base model (`--served-model-name`).
        max_lora_rank: Largest rank that is loaded (`--max-lora-rank`).
        token: Bearer token (`--api-key`).
        refuses_unknown: Answer unknown fields with 400 where vLLM ignores them, as stricter
            servers do; `return_token_ids` is then unknown too.
        engine: Another engine than one of its own.
    """

    def __init__(
        self,
        base_model: str | Path,
        *,
        served_name: str = "base",
        max_lora_rank: int = 16,
        token: str | None = None,
        refuses_unknown: bool = False,
        engine: Engine | None = None,
    ) -> None:
        self.served_name = served_name
        self.max_lora_rank = max_lora_rank
        self.token = token
        self.refuses_unknown = refuses_unknown
        self.url = ""
        self.requests: list[tuple[str, dict[str, Any]]] = []
        """Path and body of each request so far."""
        self._engine = engine or Engine(base_model)
        self._owns_engine = engine is None
        self._session = Session(base_model, self._engine)
        self._faults: list[_Fault] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.url = self._stack.enter_context(running(self.app()))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        if self._owns_engine:
            self._engine.close()

    def restart(self) -> None:
        """Forget all adapters, as a restarted server does."""
        for version in self._engine.list():
            self._engine.unload(version)

    def fail(
        self,
        status: int,
        *,
        times: int = 1,
        headers: dict[str, str] | None = None,
        path: str = "/v1/chat/completions",
        model: str | None = None,
    ) -> None:
        """Answer the next requests of a route with an error.

        Args:
            status: The HTTP status; 0 breaks the connection off in the middle of the answer.
            times: How many requests.
            headers: Of the answer, such as `retry-after`.
            path: The route.
            model: Only requests for this model.
        """
        self._faults.append(_Fault(status, times, headers or {}, path, model))

    def app(self) -> Starlette:
        """The application, to be served by other means."""
        posts = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._complete,
            "/v1/load_lora_adapter": self._load,
            "/v1/unload_lora_adapter": self._unload,
        }
        return Starlette(
            routes=[
                Route("/health", lambda _: PlainTextResponse(""), methods=["GET"]),
                Route("/v1/models", self._guarded(self._models), methods=["GET"]),
                *(
                    Route(path, self._guarded(post), methods=["POST"])
                    for path, post in posts.items()
                ),
            ]
        )

    def _guarded(self, handler: Any) -> Any:
        async def route(request: HttpRequest) -> Response:
            if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
                return JSONResponse({"error": "Unauthorized"}, status_code=401)
            body = await request.json() if request.method == "POST" else {}
            self.requests.append((request.url.path, body))
            fault = self._fault(request.url.path, body)
            if fault is not None:
                if not fault.status:
                    return _BrokenOff()
                return _failed(f"asked for {fault.status}", "Error", fault.status, fault.headers)
            try:
                return await handler(body)
            except _Refused as refused:
                return _failed(refused.found, refused.kind, refused.status)
            except ServingError as error:
                return _failed(str(error), "BadRequestError", 400)

        return route

    def _fault(self, path: str, body: dict[str, Any]) -> _Fault | None:
        for fault in self._faults:
            if fault.times > 0 and fault.path == path and fault.model in (None, body.get("model")):
                fault.times -= 1
                return fault
        return None

    async def _models(self, _: dict[str, Any]) -> Response:
        facts = self._engine.facts
        base = _card(self.served_name, str(facts.folder), None) | {"max_model_len": facts.context}
        adapters = [
            _card(slot.version, str(slot.path), self.served_name) for slot in self._engine.slots()
        ]
        return JSONResponse({"object": "list", "data": [base, *adapters]})

    async def _load(self, body: dict[str, Any]) -> Response:
        name, path = body.get("lora_name"), body.get("lora_path")
        if not name or not path:
            raise _Refused("Both 'lora_name' and 'lora_path' must be provided.", 400, _INPUT)
        if name in self._engine:
            raise _Refused(
                f"The lora adapter '{name}' has already been loaded. If you want to load the "
                "adapter in place, set 'load_inplace' to True.",
                400,
                _INPUT,
            )
        try:
            config = json.loads((Path(path) / "adapter_config.json").read_text(encoding="utf-8"))
        except OSError as error:
            raise _Refused(
                f"Loading lora {name} failed: No adapter found for {path}", 404, "NotFoundError"
            ) from error
        if config["r"] > self.max_lora_rank:
            raise _Refused(
                f"LoRA rank {config['r']} is greater than max_lora_rank {self.max_lora_rank}.",
                500,
                _INTERNAL,
            )
        try:
            await asyncio.to_thread(self._engine.load, name, path)
        except BurnishError as error:
            raise _Refused(str(error), 500, _INTERNAL) from error
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, body: dict[str, Any]) -> Response:
        name = body.get("lora_name") or ""
        if name not in self._engine:
            raise _Refused(f"The lora adapter '{name}' cannot be found.", 404, "NotFoundError")
        await asyncio.to_thread(self._engine.unload, name)
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    async def _chat(self, body: dict[str, Any]) -> Response:
        self._check(body)
        stop = body.get("stop") or ()
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        ask = Ask(
            messages=from_records(body["messages"]),
            tools=() if body.get("tool_choice") == "none" else body.get("tools") or (),
            adapter=self._adapter(body),
            max_tokens=self._engine.facts.context if most is None else int(most),
            sampling=_sampling(body),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
        )
        model = body.get("model") or self.served_name
        if body.get("stream"):
            return self._stream(ask, model, body)
        answer = await self._engine.agenerate(self._session.request(ask))
        finished = self._session.finish(answer, ask)
        choice: dict[str, Any] = {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": finished.content or None,
                "refusal": None,
                "tool_calls": finished.tool_calls,
                "reasoning_content": finished.reply.reasoning or None,
            },
            "logprobs": self._logprobs(finished) if body.get("logprobs") else None,
            "finish_reason": finished.finish_reason,
            "stop_reason": None,
        }
        result = {**_head("chat.completion", model), "choices": [choice], "usage": _usage(finished)}
        if body.get("return_token_ids"):
            choice["token_ids"] = answer.token_ids
            result["prompt_token_ids"] = answer.prompt_token_ids
        return JSONResponse(result)

    def _stream(self, ask: Ask, model: str, body: dict[str, Any]) -> Response:
        loop, tokens = asyncio.get_running_loop(), asyncio.Queue[int]()

        def told(token: int) -> None:
            loop.call_soon_threadsafe(tokens.put_nowait, token)

        future = self._engine.submit(self._session.request(ask, told))
        future.add_done_callback(lambda _: told(-1))
        stream = ReplyStream(self._session, ask)
        chunks = _Chunks(_head("chat.completion.chunk", model))

        async def events() -> AsyncIterator[str]:
            try:
                yield chunks.event({"role": "assistant", "content": ""})
                while (token := await tokens.get()) != -1:
                    for piece in stream.feed(token):
                        yield chunks.piece(piece)
                for piece in stream.close():
                    yield chunks.piece(piece)
                finished = Finished(answer=future.result(), text="", reply=stream.reply)
                yield chunks.event({}, finished.finish_reason)
                if (body.get("stream_options") or {}).get("include_usage"):
                    yield _event({**chunks.head, "choices": [], "usage": _usage(finished)})
            finally:
                future.cancel()
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _complete(self, body: dict[str, Any]) -> Response:
        self._check(body)
        prompt = body["prompt"]
        if isinstance(prompt, str):
            prompt = self._session.renderer.encode(prompt)
        request = Request(
            prompt=prompt,
            adapter=self._adapter(body),
            max_tokens=int(body.get("max_tokens", 16)),
            sampling=_sampling(body),
        )
        answer = await self._engine.agenerate(request)
        finished = self._session.finish(answer)
        logprobs = None
        if body.get("logprobs") is not None:
            top = await asyncio.to_thread(
                self._engine.top, prompt, request.adapter, int(body["logprobs"])
            )
            logprobs = {
                "tokens": [f"token_id:{token}" for token in answer.token_ids],
                "token_logprobs": answer.logprobs,
                "top_logprobs": [{f"token_id:{token}": value for token, value in top}],
                "text_offset": [0],
            }
        choice = {
            "index": 0,
            "text": finished.text,
            "logprobs": logprobs,
            "finish_reason": answer.finish_reason,
            "stop_reason": None,
        }
        head = _head("text_completion", body.get("model") or self.served_name)
        return JSONResponse({**head, "choices": [choice], "usage": _usage(finished)})

    def _check(self, body: dict[str, Any]) -> None:
        unknown = sorted(set(body) - _KNOWN)
        if self.refuses_unknown and "return_token_ids" in body:
            unknown.append("return_token_ids")
        if unknown and self.refuses_unknown:
            raise _Refused(f"Unrecognized request argument supplied: {', '.join(unknown)}")
        most = body.get("max_completion_tokens", body.get("max_tokens"))
        if most is not None and int(most) < 1:
            raise _Refused(f"max_tokens must be at least 1, got {most}.")

    def _adapter(self, body: dict[str, Any]) -> str | None:
        model = body.get("model") or self.served_name
        if model == self.served_name:
            return None
        if model not in self._engine:
            raise _Refused(f"The model `{model}` does not exist.", 404, "NotFoundError")
        return model

    def _logprobs(self, finished: Finished) -> dict[str, Any]:
        answer, decode = finished.answer, self._session.renderer.decode
        pairs = zip(answer.token_ids, answer.logprobs, strict=True)
        return {
            "content": [
                {"token": decode([token]), "logprob": logprob, "bytes": None, "top_logprobs": []}
                for token, logprob in pairs
            ]
        }


class _Chunks:
    """The events of one streamed answer."""

    def __init__(self, head: dict[str, Any]) -> None:
        self.head = head
        self._calls = 0

    def piece(self, piece: Piece) -> str:
        """The event of a piece of the reply."""
        call = piece.call
        if piece.kind == "reasoning":
            return self.event({"reasoning_content": piece.text})
        if call is None or call.arguments is None:
            return self.event({"content": piece.text if call is None else call.raw})
        self._calls += 1
        function = {"name": call.name, "arguments": call.raw}
        at = {"index": self._calls - 1, "id": call.id, "type": "function", "function": function}
        return self.event({"tool_calls": [at]})

    def event(self, delta: dict[str, Any], reason: str | None = None) -> str:
        """The event of one change."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _event({**self.head, "choices": [choice]})


class _Fault:
    """An error that the next requests of a route are answered with."""

    def __init__(
        self, status: int, times: int, headers: dict[str, str], path: str, model: str | None
    ) -> None:
        self.status, self.times, self.headers = status, times, headers
        self.path, self.model = path, model


class _BrokenOff(Response):
    """An answer whose connection is closed before its body comes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head alone."""
        headers = [(b"content-length", b"100"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


class _Refused(ServingError):
    """A request that is answered with an error body."""

    def __init__(self, message: str, status: int = 400, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


class _SeedAlone(Sampling):
    """Sampling whose random numbers depend on the seed alone, as vLLM's do."""

    def stream(self, prompt: Sequence[int]) -> random.Random | None:
        """The random numbers of one request."""
        stream = super().stream(prompt)
        if stream is not None and self.seed is not None:
            stream.seed(self.seed)
        return stream


_INPUT, _INTERNAL = "InvalidUserInput", "InternalServerError"


def _sampling(body: dict[str, Any]) -> Sampling:
    obeyed = {name: value for name, value in body.items() if name in SAMPLING}
    found = sampling_of_body(obeyed)
    return _SeedAlone(**{f.name: getattr(found, f.name) for f in dataclasses.fields(found)})


def _card(name: str, root: str, parent: str | None) -> dict[str, Any]:
    facts = {"object": "model", "created": int(time.time()), "owned_by": "vllm"}
    return {"id": name, **facts, "root": root, "parent": parent}


def _head(kind: str, model: str) -> dict[str, Any]:
    identity = f"{'cmpl' if kind == 'text_completion' else 'chatcmpl'}-{uuid.uuid4().hex}"
    return {"id": identity, "object": kind, "created": int(time.time()), "model": model}


def _usage(finished: Finished) -> dict[str, int]:
    asked, written = len(finished.answer.prompt_token_ids), len(finished.answer.token_ids)
    return {
        "prompt_tokens": asked,
        "completion_tokens": written,
        "total_tokens": asked + written,
    }


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"


def _failed(
    message: str, kind: str, status: int, headers: dict[str, str] | None = None
) -> Response:
    error = {"message": message, "type": kind, "param": None, "code": status}
    return JSONResponse({"error": error}, status_code=status, headers=headers)
