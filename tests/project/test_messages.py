"""docs/troubleshooting.md quotes messages that exist in the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/troubleshooting.md"


def _texts() -> str:
    """All texts of the code, those of f-strings in their parts, one a line."""
    found: list[str] = []
    for folder in ("sdk/burnish", "exporters/burnish_exporters", "trainer/burnish_trainer"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(found)


def _quoted() -> list[str]:
    return re.findall(r"^\| `([^`]+)`", PAGE.read_text(), re.MULTILINE)


def test_each_message_of_the_page_is_in_the_code() -> None:
    said = re.sub(r"%s|%r", "\n", _texts())
    missing = {
        message: part
        for message in _quoted()
        for part in (one.strip() for one in message.split("…"))
        if part and part not in said
    }

    assert missing == {}
    assert len(_quoted()) > 30
