"""The chat models of LangChain's provider packages, each against a scripted server of its wire form."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from anthropic_form import Messages
from bedrock_form import Converse
from google_form import GenerateContent
from openai_forms import Completions, GroqCompletions, Responses
from other_forms import MistralCompletions, OllamaChat
from spoken import Spoken

KEY = "none"


@dataclasses.dataclass(frozen=True)
class Provider:
    """A chat model and the form that its server speaks.

    Attributes:
        make: Makes the chat model for a server's URL; the second argument asks for streams.
        form: Writes replies.
        content_type: Of a streamed reply.
        lacks: Cases that the provider or its package does not have, with the reason.
    """

    make: Callable[[str, bool], Any]
    form: Any
    content_type: str = "text/event-stream"
    lacks: dict[str, str] = dataclasses.field(default_factory=dict)


def _openai(url: str, streaming: bool) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(
        model="m",
        base_url=f"{url}/v1",
        api_key=KEY,
        streaming=streaming,
        max_retries=0,
        stream_usage=True,
    )


def _responses(url: str, streaming: bool) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(
        model="m", base_url=f"{url}/v1", api_key=KEY, streaming=streaming, max_retries=0,
        use_responses_api=True, output_version="responses/v1",
    )  # fmt: skip


def _anthropic(url: str, streaming: bool) -> Any:
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(
        model="claude-m", anthropic_api_url=url, api_key=KEY, streaming=streaming, max_retries=0,
        max_tokens=512,
    )  # fmt: skip


def _bedrock(url: str, streaming: bool) -> Any:
    from langchain_aws import ChatBedrockConverse

    return ChatBedrockConverse(
        model="anthropic.claude-sonnet-4-m", provider="anthropic", endpoint_url=url, region_name="us-east-1",
        aws_access_key_id=KEY, aws_secret_access_key=KEY, disable_streaming=not streaming,
    )  # fmt: skip


def _google(url: str, streaming: bool) -> Any:
    from langchain_google_genai import ChatGoogleGenerativeAI

    return ChatGoogleGenerativeAI(
        model="gemini-m", google_api_key=KEY, base_url=url, streaming=streaming, max_retries=1,
        include_thoughts=True,
    )  # fmt: skip


def _mistral(url: str, streaming: bool) -> Any:
    from langchain_mistralai import ChatMistralAI

    return ChatMistralAI(model="m", endpoint=url, api_key=KEY, streaming=streaming, max_retries=1)


def _ollama(url: str, streaming: bool) -> Any:
    from langchain_ollama import ChatOllama

    return ChatOllama(model="m", base_url=url, reasoning=True, disable_streaming=not streaming)


def _deepseek(url: str, streaming: bool) -> Any:
    from langchain_deepseek import ChatDeepSeek

    return ChatDeepSeek(
        model="m",
        api_base=f"{url}/v1",
        api_key=KEY,
        streaming=streaming,
        max_retries=0,
        stream_usage=True,
    )


def _groq(url: str, streaming: bool) -> Any:
    from langchain_groq import ChatGroq

    return ChatGroq(model="m", base_url=url, api_key=KEY, streaming=streaming, max_retries=0)


_NO_SEAL = {"sealed thought": "no sealed thoughts"}
PROVIDERS: dict[str, Provider] = {
    "OpenAI, completions": Provider(_openai, Completions(), lacks=_NO_SEAL),
    "OpenAI, Responses": Provider(_responses, Responses()),
    "Anthropic": Provider(_anthropic, Messages()),
    "Bedrock Converse": Provider(_bedrock, Converse(), "application/vnd.amazon.eventstream"),
    "Google GenAI": Provider(_google, GenerateContent()),
    "Mistral": Provider(
        _mistral, MistralCompletions(),
        lacks={**_NO_SEAL, "cached tokens": "not read by langchain-mistralai"},
    ),
    "Ollama": Provider(
        _ollama, OllamaChat(), "application/x-ndjson",
        lacks={**_NO_SEAL, "refused": "no reason for a refusal", "cached tokens": "not counted"},
    ),
    "DeepSeek": Provider(_deepseek, Completions(), lacks=_NO_SEAL),
    "Groq": Provider(_groq, GroqCompletions(), lacks=_NO_SEAL),
}  # fmt: skip


@contextlib.contextmanager
def scripted_server(
    provider: Provider, script: list[Spoken], heard: list[Any] | None = None
) -> Iterator[str]:
    """Run a server on loopback that replies by the script, one reply a request; after it, an error of status 400.

    Requests are appended to `heard`.
    """
    left = list(script)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if heard is not None:
                heard.append(body)
            if not left:
                self._send(400, "application/json", provider.form.error())
                return
            said = left.pop(0)
            if provider.form.wants_stream(self.path, body):
                self._send(200, provider.content_type, provider.form.streamed(said))
            else:
                self._send(200, "application/json", provider.form.whole(said))

        def _send(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
