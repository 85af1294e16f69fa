"""Write tool documentation into the prompt, so that the model learns to read it and does not memorise it.

A share of the rows gets the documentation (Gorilla's retriever-aware training, arXiv 2305.15334: with and without, so
that both work).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec

from burnish.errors import ExportError
from burnish.files.storage import BROKEN_JSON
from burnish_exporters.rows.canonical_json import hash_json
from burnish_exporters.rows.row import Row
from burnish_exporters.rows.validity import tool_name

_INTRODUCTION = "Use this documentation of the tools for reference:"
_IDS = ("prompt_token_ids", "token_ids", "logprobs")


class ToolDocs:
    """Documentation by tool.

    Args:
        docs: Text of each tool's documentation.
        share: Share of runs, 0 to 1, that get it; a hash of the run selects them.
    """

    def __init__(self, docs: Mapping[str, str], share: float = 1.0) -> None:
        self._docs, self._share = dict(docs), share

    @classmethod
    def read_file(cls, path: Path, share: float = 1.0) -> Self:
        """Read the documentation from a JSON file.

        Raises:
            ExportError: If the file holds no texts by tool name.
        """
        try:
            found = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        except (OSError, *BROKEN_JSON) as problem:
            raise ExportError(
                f"tool documentation {path}: {problem}",
                "a JSON object with a text for each tool name",
            ) from problem
        return cls(found, share)

    def add_to(self, row: Row) -> None:
        """Write the documentation of the row's tools into its system message, if the row is in the share.

        The captured token ids are removed: they belong to another prompt.
        """
        names = [tool_name(tool) for tool in row.tools]
        known = [f"## {name}\n{self._docs[name]}" for name in names if name in self._docs]
        if known and int(hash_json(["docs", row.trajectory_id])[:8], 16) / 2**32 < self._share:
            with_tool_docs(row, "\n\n".join([_INTRODUCTION, *known]))


def with_tool_docs(row: Row, text: str) -> None:
    """Append a text to the row's system message, or insert a system message with it."""
    first = row.messages[0]
    moved = 0
    if first["role"] == "system" and isinstance(first["content"], str):
        row.messages[0] = {**first, "content": f"{first['content']}\n\n{text}".lstrip()}
    else:
        row.messages.insert(0, {"role": "system", "content": text, "loss": False})
        moved = 1
    row.calls = [
        {k: v for k, v in call.items() if k not in _IDS}
        | {"message": int(str(call["message"])) + moved}
        for call in row.calls
    ]
    row.kind_tags = sorted({*row.kind_tags, "tool-docs"})
