"""The agent of the audit fixture for peers: the same script, served over HTTP as an OpenAI-compatible endpoint.

Every peer's script uses this module. Peers hook into different layers (LangChain's callbacks, the
OpenAI client), so the model is a real endpoint on loopback.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import audit


class _Endpoint(BaseHTTPRequestHandler):
    """Answers chat completions by the script."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = audit.next_step(asked["messages"])
        message: dict[str, Any] = {"role": "assistant", "content": said["content"]}
        if "tool_calls" in said:
            message["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": json.dumps(call["args"])},
                }
                for call in said["tool_calls"]
            ]
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": "tool_calls" if "tool_calls" in said else "stop",
        }
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "scripted",
                "choices": [choice], "usage": usage}  # fmt: skip
        sent = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def serve() -> str:
    """Start the endpoint; return its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


def graph() -> Any:
    """Return the agent on the endpoint."""
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="scripted", base_url=serve(), api_key="none", temperature=0)
    return audit.build_agent(model)


def ask(agent: Any, request: str) -> None:
    """Run the agent once."""
    agent.invoke({"messages": [("user", request)]})
