"""A scripted reply of a provider, independent of the provider's form."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class ScriptedCall:
    """A tool call; `arguments` keep their order."""

    name: str
    arguments: dict[str, Any]
    id: str


@dataclasses.dataclass(frozen=True)
class Spoken:
    """One reply of a model."""

    text: str = ""
    thought: str = ""
    sealed: bool = False  # a thought that only the provider can read
    calls: tuple[ScriptedCall, ...] = ()
    end: Literal["stop", "cut", "refused"] = "stop"
    read: int = 20  # tokens of the prompt, cached ones included
    cached: int = 0
    written: int = 5

    @property
    def words(self) -> list[str]:
        """The text in pieces, as a stream sends it."""
        return [f"{word} " for word in self.text.split(" ")[:-1]] + self.text.split(" ")[-1:]
