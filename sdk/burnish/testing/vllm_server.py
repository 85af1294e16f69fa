"""Provide a stand-in for vLLM's OpenAI server, for tests of its clients.

It is a real HTTP server on loopback with vLLM's routes, answers and error texts (as measured with
vLLM 0.32), and answers with a real model through the embedded engine:

    with VllmServer("starter", served_name="base") as server:
        open_backend(server.url, base_model="base").load("support@0a1b2c3d4e5f", folder)
        server.restart()                    # its adapters are gone, as after a restart of vLLM
        server.fail(429, times=2, headers={"retry-after": "0"})

As with vLLM, a request is seeded by its `seed` alone, unknown fields are ignored (or refused, with
`refuses_unknown`), loading an adapter above `max_lora_rank` answers status 500, and an unloaded model
404. Features of vLLM that are missing here, such as several answers at once or answers by a schema,
answer 501. Log-probabilities of a stream come in its last chunk; vLLM sends them token by token.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from burnish.errors import BurnishError, ServingError
from burnish.serving.embedded.engine import Engine
from burnish.serving.embedded.requests import EngineRequest
from burnish.serving.embedded.sampling import Sampling
from burnish.serving.embedded.session import ChatAsk, FinishedAnswer, ReplyStream, Session
from burnish.serving.http.request_options import SAMPLING, sampling_of_body
from burnish.serving.http.server import running
from burnish.serving.messages import from_records
from burnish.serving.toolcalls.call_values import ParsedCall
from burnish.serving.toolcalls.reply_parser import ReplyPiece
from burnish.testing import vllm_forms as forms
from burnish.testing.vllm_forms import INPUT, INTERNAL, Refused

_DONE = "data: [DONE]\n\n"
_OBEYED = (
    "model messages prompt temperature top_p seed max_tokens max_completion_tokens stop stream "
    "stream_options tools tool_choice logprobs return_token_ids return_tokens_as_token_ids"
)
_NEUTRAL = "n user top_logprobs parallel_tool_calls response_format echo"
_KNOWN = frozenset(f"{_OBEYED} {_NEUTRAL}".split()) | SAMPLING


class VllmServer:
    """A server that behaves as vLLM does.

    Args:
        base_model: A folder or a name of the base model that answers.
        served_name: The name of the base model for clients (`--served-model-name`).
        max_lora_rank: Largest rank that is loaded (`--max-lora-rank`).
        token: Bearer token (`--api-key`).
        refuses_unknown: Answer unknown fields with 400, as stricter servers do, where vLLM ignores
            them; `return_token_ids` is then unknown too.
        engine: An engine other than its own.
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
        after: int | None = None,
        message: str = "",
    ) -> None:
        """Answer the next requests of a route with an error.

        Args:
            status: The HTTP status; 0 breaks the connection off in the middle of the answer.
            times: Number of requests.
            headers: Headers of the answer, such as `retry-after`.
            path: The route.
            model: Only requests for this model.
            after: Only streams, after this number of tokens; the error is an event of the stream.
            message: The message of the error.
        """
        told = message or f"asked for {status}"
        self._faults.append(_Fault(status, times, headers or {}, path, model, after, told))

    def app(self) -> Starlette:
        """Return the application, for another server."""
        posts = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._complete,
            "/v1/load_lora_adapter": self._load,
            "/v1/unload_lora_adapter": self._unload,
        }
        return Starlette(
            routes=[
                *(
                    Route(path, lambda _: Response(), methods=["GET"])
                    for path in ("/health", "/ping")
                ),
                Route("/version", lambda _: JSONResponse({"version": "0.32.0"}), methods=["GET"]),
                Route("/v1/models", self._guarded(self._models), methods=["GET"]),
                *(
                    Route(path, self._guarded(post), methods=["POST"])
                    for path, post in posts.items()
                ),
            ],
            exception_handlers={404: _no_route, 405: _no_route},
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
                return _failed(fault.error(), fault.headers)
            try:
                return await handler(body)
            except Refused as refused:
                return _failed(refused)
            except ServingError as error:
                return _failed(Refused(str(error)))

        return route

    def _fault(self, path: str, body: dict[str, Any], *, inside: bool = False) -> _Fault | None:
        """Return the error for a request, at once or inside its stream."""
        for fault in self._faults:
            meant = fault.path == path and fault.model in (None, body.get("model"))
            if meant and fault.times > 0 and inside == (fault.after is not None):
                fault.times -= 1
                return fault
        return None

    async def _models(self, _: dict[str, Any]) -> Response:
        facts = self._engine.facts
        base = forms.model_card(self.served_name, str(facts.folder), None, facts.context)
        adapters = [
            forms.model_card(slot.version, str(slot.path), self.served_name, None)
            for slot in self._engine.list_slots()
        ]
        return JSONResponse({"object": "list", "data": [base, *adapters]})

    async def _load(self, body: dict[str, Any]) -> Response:
        name, path = forms.read_text(body, "lora_name"), forms.read_text(body, "lora_path")
        if not name or not path:
            raise Refused("Both 'lora_name' and 'lora_path' must be provided.", 400, INPUT)
        if name == self.served_name:
            raise Refused(
                f"The lora adapter '{name}' conflicts with a served base model.", 400, INPUT
            )
        if body.get("load_inplace"):
            raise forms.not_done("load_inplace")
        if name in self._engine:
            raise Refused(
                f"The lora adapter '{name}' has already been loaded. If you want to load the "
                "adapter in place, set 'load_inplace' to True.",
                400,
                INPUT,
            )
        self._check_folder(name, Path(path))
        try:
            await asyncio.to_thread(self._engine.load, name, path)
        except BurnishError as error:
            raise _not_added(str(error)) from error
        return Response(f"Success: LoRA adapter '{name}' added successfully.")

    def _check_folder(self, name: str, path: Path) -> None:
        """Refuse a folder without an adapter, or with one of too large a rank."""
        try:
            config = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
        except OSError as error:
            shown = "<path>" if path.is_dir() else path  # vLLM shows no paths that exist
            found = f"Loading lora {name} failed: No adapter found for {shown}"
            raise Refused(found, 404, "NotFoundError") from error
        except ValueError as error:
            raise _not_added(str(error)) from error
        if config["r"] > self.max_lora_rank:
            raise _not_added(
                f"LoRA rank {config['r']} is greater than max_lora_rank {self.max_lora_rank}."
            )

    async def _unload(self, body: dict[str, Any]) -> Response:
        name = forms.read_text(body, "lora_name")
        if name not in self._engine:
            raise Refused(f"The lora adapter '{name}' cannot be found.", 404, "NotFoundError")
        await asyncio.to_thread(self._engine.unload, name)
        return Response(f"Success: LoRA adapter '{name}' removed successfully.")

    async def _chat(self, body: dict[str, Any]) -> Response:
        self._refuse_unknown(body)
        adapter = self._adapter(body)
        forms.check_chat(body, self._engine.facts.context)
        ask = self._asked(body, adapter)
        model = body.get("model") or self.served_name
        if body.get("stream"):
            return self._stream(ask, model, body)
        answer = await self._engine.agenerate(self._request(ask))
        finished, ids = self._session.finish_answer(answer, ask), bool(body.get("return_token_ids"))
        bare = self._session.renderer.decode(answer.token_ids, marks=False)
        reply = finished.reply if _parses(body) else None
        choice = forms.chat_choice(finished, forms.chat_message(finished, reply, bare), ids=ids)
        if body.get("logprobs"):
            choice["logprobs"] = forms.chat_logprobs(answer, self._session.renderer.decode)
        head = forms.answer_head("chat.completion", model)
        return JSONResponse({**head, "choices": [choice], **forms.answer_tail(finished, ids=ids)})

    def _asked(self, body: dict[str, Any], adapter: str | None) -> ChatAsk:
        stop, context = body.get("stop") or (), self._engine.facts.context
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        return ChatAsk(
            messages=from_records(body["messages"]),
            tools=body.get("tools") or (),  # with tool_choice "none" too: the prompt shows them
            adapter=adapter,
            max_tokens=context if most is None else int(most),
            sampling=_sampling(body),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            top_logprobs=body.get("top_logprobs") or 0,
        )

    def _request(self, ask: ChatAsk, told: Any = None) -> EngineRequest:
        request, facts = self._session.make_request(ask, told), self._engine.facts
        forms.check_prompt(request.prompt, facts.context, facts.vocabulary)
        return request

    def _stream(self, ask: ChatAsk, model: str, body: dict[str, Any]) -> Response:
        loop, tokens = asyncio.get_running_loop(), asyncio.Queue[int]()

        def told(token: int) -> None:
            loop.call_soon_threadsafe(tokens.put_nowait, token)

        request = self._request(ask, told)
        future = self._engine.submit_request(request)
        future.add_done_callback(lambda _: told(-1))
        stream, ids = ReplyStream(self._session, ask), bool(body.get("return_token_ids"))
        parses = _parses(body)
        chunks = _Chunks(forms.answer_head("chat.completion.chunk", model), ids)

        cut = self._fault("/v1/chat/completions", body, inside=True)

        async def events() -> AsyncIterator[str]:
            given = 0
            try:
                yield chunks.first(list(request.prompt))
                while (token := await tokens.get()) != -1:
                    if cut is not None and given == cut.after:
                        yield _event(forms.error_body(cut.error())) + _DONE
                        return
                    given += 1
                    told_now = parses or not self._is_mark(token)
                    yield chunks.token(token, stream.add_token(token) if told_now else [])
                rest = stream.close()
                finished = FinishedAnswer(answer=future.result(), text="", reply=stream.reply)
                yield self._end(chunks, rest, finished, body)
            finally:
                future.cancel()

        return StreamingResponse(events(), media_type="text/event-stream")

    def _end(
        self,
        chunks: _Chunks,
        rest: list[ReplyPiece],
        finished: FinishedAnswer,
        body: dict[str, Any],
    ) -> str:
        """Return the last events of a stream."""
        logprobs = None
        if body.get("logprobs"):
            logprobs = forms.chat_logprobs(finished.answer, self._session.renderer.decode)
        ended = chunks.last(rest, finished.finish_reason, logprobs)
        if (body.get("stream_options") or {}).get("include_usage"):
            ended += _event({**chunks.head, "choices": [], "usage": forms.usage(finished)})
        return ended + _DONE

    def _is_mark(self, token: int) -> bool:
        """Return whether a token is left out of texts that are not parsed for calls."""
        return not self._session.renderer.decode([token], marks=False)

    async def _complete(self, body: dict[str, Any]) -> Response:
        self._refuse_unknown(body)
        adapter, facts = self._adapter(body), self._engine.facts
        forms.check_completion(body, facts.context)
        decode, prompt = self._session.renderer.decode, body["prompt"]
        if isinstance(prompt, str):
            prompt = self._session.renderer.encode(prompt)
        forms.check_prompt(prompt, facts.context, facts.vocabulary)
        request = EngineRequest(
            prompt=prompt,
            adapter=adapter,
            max_tokens=int(body.get("max_tokens", 16)),
            sampling=_sampling(body),
            top_logprobs=body.get("logprobs") or 0,
        )
        answer = await self._engine.agenerate(request)
        finished, ids = self._session.finish_answer(answer), bool(body.get("return_token_ids"))
        logprobs = None
        if body.get("logprobs") is not None:
            as_ids = bool(body.get("return_tokens_as_token_ids"))
            logprobs = forms.completion_logprobs(answer, decode, as_ids=as_ids)
        choice = {
            "index": 0,
            "text": decode(answer.token_ids, marks=False),
            "logprobs": logprobs,
            "finish_reason": answer.finish_reason,
            "stop_reason": None,
            "token_ids": answer.token_ids if ids else None,
            "prompt_token_ids": answer.prompt_token_ids if ids else None,
        }
        head = forms.answer_head("text_completion", body.get("model") or self.served_name)
        return JSONResponse({**head, "choices": [choice], **forms.answer_tail(finished, ids=False)})

    def _refuse_unknown(self, body: dict[str, Any]) -> None:
        unknown = sorted(set(body) - _KNOWN)
        if self.refuses_unknown and "return_token_ids" in body:
            unknown.append("return_token_ids")
        if unknown and self.refuses_unknown:
            raise Refused(f"Unrecognized request argument supplied: {', '.join(unknown)}")

    def _adapter(self, body: dict[str, Any]) -> str | None:
        model = body.get("model") or self.served_name
        if model == self.served_name:
            return None
        if model not in self._engine:
            found = f"The model `{model}` does not exist. Valid aliases: {self.served_name}."
            raise Refused(found, 404, "NotFoundError", "model")
        return model


class _Chunks:
    """The events of one streamed answer.

    Args:
        head: Fields that every event begins with.
        ids: Whether the request asks for token ids.
    """

    def __init__(self, head: dict[str, Any], ids: bool) -> None:
        self.head = head
        self._ids = ids
        self._calls = 0

    def first(self, prompt: list[int]) -> str:
        """Return the event before the first token."""
        told = {"prompt_token_ids": prompt} if self._ids else {}
        return self._event({"role": "assistant", "content": ""}, told)

    def token(self, token: int, pieces: list[ReplyPiece]) -> str:
        """Return the event of one token with the pieces of the reply that it completes."""
        return self._event(self._delta(pieces), token_ids=[token] if self._ids else None)

    def last(self, pieces: list[ReplyPiece], reason: str, logprobs: dict[str, Any] | None) -> str:
        """Return the event that ends the answer."""
        return self._event(self._delta(pieces), logprobs=logprobs, finish_reason=reason)

    def _delta(self, pieces: list[ReplyPiece]) -> dict[str, Any]:
        delta: dict[str, Any] = {}
        for piece in pieces:
            call = piece.call
            if call is not None and call.arguments is not None:
                delta.setdefault("tool_calls", []).append(self._call(call))
                continue
            name = "reasoning" if piece.kind == "reasoning" else "content"
            delta[name] = delta.get(name, "") + (piece.text if call is None else call.raw)
        return delta

    def _call(self, call: ParsedCall) -> dict[str, Any]:
        self._calls += 1
        function = {"name": call.name, "arguments": call.raw}
        return {"index": self._calls - 1, "id": call.id, "type": "function", "function": function}

    def _event(self, delta: dict[str, Any], told: Any = None, **facts: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **facts}
        return _event({**self.head, **(told or {}), "choices": [choice]})


@dataclasses.dataclass
class _Fault:
    """An error with which the next requests of a route are answered."""

    status: int
    times: int
    headers: dict[str, str]
    path: str
    model: str | None
    after: int | None
    message: str

    def error(self) -> Refused:
        """Return the refusal."""
        return Refused(self.message, self.status, "InternalServerError")


class _BrokenOff(Response):
    """An answer whose connection is closed before its body is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head alone."""
        headers = [(b"content-length", b"100"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


class _SeedAlone(Sampling):
    """Sampling whose random numbers depend on the seed alone, as vLLM's do."""

    def stream(self, prompt: Sequence[int]) -> random.Random | None:
        """Return the random numbers of one request."""
        stream = super().make_stream(prompt)
        if stream is not None and self.seed is not None:
            stream.seed(self.seed)
        return stream


def _sampling(body: dict[str, Any]) -> Sampling:
    obeyed = {name: value for name, value in body.items() if name in SAMPLING}
    found = sampling_of_body(obeyed)
    return _SeedAlone(**{f.name: getattr(found, f.name) for f in dataclasses.fields(found)})


def _parses(body: dict[str, Any]) -> bool:
    """Return whether the reply is parsed for tool calls."""
    return bool(body.get("tools")) and body.get("tool_choice") != "none"


def _not_added(reason: str) -> Refused:
    """Return the refusal of an adapter by the worker process."""
    return Refused(
        f"Call to add_lora method failed: Worker failed with error '{reason}', please check the "
        "stack trace above for the root cause",
        500,
        INTERNAL,
    )


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"


async def _no_route(_: HttpRequest, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return JSONResponse({"detail": getattr(error, "detail", "Not Found")}, status_code=status)


def _failed(refused: Refused, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(forms.error_body(refused), status_code=refused.status, headers=headers)
