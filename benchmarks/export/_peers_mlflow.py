"""Measure MLflow 3: langchain.autolog, then a hand-written converter. Prints rows as JSON lines.

MLflow has no export to fine-tuning. The converter takes what MLflow stores of each chat model call:
messages and reply, tools.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import _peers_agent as peers_agent
import audit
import mlflow


def main() -> None:
    """Trace 20 runs into SQLite and print each stored chat model call as a row."""
    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{Path(folder) / 'mlflow.db'}")
        experiment = mlflow.create_experiment(
            "audit", artifact_location=f"file://{folder}/artifacts"
        )
        mlflow.set_experiment(experiment_id=experiment)
        mlflow.langchain.autolog()
        graph = peers_agent.graph()
        for request, _ in audit.requests():
            peers_agent.ask(graph, request)
        mlflow.flush_trace_async_logging()
        traces = mlflow.search_traces(locations=[experiment], return_type="list", max_results=100)
        for trace in traces:
            for span in trace.data.spans:
                if span.span_type == "CHAT_MODEL":
                    print("ROW " + json.dumps(_row(span)))


def _row(span: Any) -> dict[str, Any]:
    outputs: Any = span.outputs
    asked = span.get_attribute("mlflow.chat.messages")
    if asked is None:
        asked = span.inputs
    return {
        "messages": _chat(asked) + _chat(outputs),
        "tools": span.get_attribute("mlflow.chat.tools"),
    }


def _chat(found: Any) -> list[dict[str, Any]]:
    """Return the messages in any nesting of LangChain's callback data."""
    if isinstance(found, dict) and "role" in found:
        return [{key: value for key, value in found.items() if value is not None}]
    if isinstance(found, dict) and "type" in found and "content" in found:
        roles = {"human": "user", "ai": "assistant"}
        kept = {k: found[k] for k in ("content", "tool_calls", "tool_call_id") if found.get(k)}
        return [{"content": "", **kept, "role": roles.get(found["type"], found["type"])}]
    inner = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return [message for item in inner for message in _chat(item)]


if __name__ == "__main__":
    main()
