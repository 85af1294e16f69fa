"""Retrievers: what was asked and which documents came back.

Knows: the conventions' form of a document. Does not know: who keeps it (tools.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from burnish.capture.langchain.tools import end_tool, start_tool
from burnish.capture.recorder.runs import Run
from burnish.records import Json

_SCORES = ("score", "relevance_score", "_score")


def start_retrieval(
    parent: Run, key: int, serialized: Any, query: str, about: dict[str, Any]
) -> None:
    """A retriever is asked."""
    about = {**about, "inputs": {"query": query}, "operation": "retrieval"}
    start_tool(parent, key, serialized, query, about)


def end_retrieval(run: Run, documents: Iterable[Any]) -> None:
    """A retriever answered."""
    end_tool(run, [_document_record(item) for item in documents])


def _document_record(document: Any) -> Json:
    """A document as the conventions have it: `content`, and `id` and `score` where there are any."""
    content = getattr(document, "page_content", None)
    if content is None:
        return document
    found: dict[str, Json] = {"content": content}
    if isinstance(document.id, str):
        found["id"] = document.id
    metadata = document.metadata
    if metadata:
        found["metadata"] = metadata
        scores = (metadata.get(name) for name in _SCORES)
        score = next((score for score in scores if isinstance(score, (int, float))), None)
        if score is not None:
            found["score"] = float(score)
    return found
