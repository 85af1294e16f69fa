"""Record retrievals: the query and the returned documents, in the conventions' form.

`tools` records the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from burnish.capture.langchain.tools import end_tool, start_tool
from burnish.capture.recorder.runs import Run
from burnish.records import Json

_SCORES = ("score", "relevance_score", "_score")


def start_retrieval(
    parent: Run, key: int, name: str | None, query: str, about: dict[str, Any]
) -> None:
    """Record the query of a retriever."""
    start_tool(
        parent,
        key,
        name or "tool",
        {"query": query},
        call_id=about.get("tool_call_id"),
        tags=about.get("tags"),
        metadata=about.get("metadata"),
        operation="retrieval",
    )


def end_retrieval(run: Run, documents: Iterable[Any]) -> None:
    """Record the documents of a retriever."""
    end_tool(run, [_document_record(item) for item in documents])


def _document_record(document: Any) -> Json:
    """Convert a document to the conventions' form: `content`, and `id` and `score` if present."""
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
