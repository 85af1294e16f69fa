"""Give an agent prompt versions in place of those that the pointer names, as an evaluation does.

`give_prompts` is the entry; `prompts.py` asks `find_given` first.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from burnish.adapters.prompt_store import PromptVersion


class GivenPrompts:
    """Prompt versions that answer in place of those of the pointer, as in an evaluation.

    Attributes:
        asked: Names of the prompts that the agents asked for.
    """

    def __init__(self, versions: Mapping[str, PromptVersion | None]) -> None:
        self.versions = dict(versions)
        self.asked: set[tuple[str, str]] = set()


_given: ContextVar[GivenPrompts | None] = ContextVar("burnish_given_prompts", default=None)


def find_given() -> GivenPrompts | None:
    """Return the versions that are given in this context; None outside of `give_prompts`."""
    return _given.get()


def are_prompts_given(agent: str) -> bool:
    """Return True inside `give_prompts` of this agent: its versions are chosen by an evaluation."""
    given = _given.get()
    return given is not None and agent in given.versions


@contextmanager
def give_prompts(versions: Mapping[str, PromptVersion | None]) -> Generator[GivenPrompts]:
    """Answer `prompt` with given versions inside the block, without the pointer.

    Args:
        versions: Version by agent; None gives the agent's own texts.
    """
    given = GivenPrompts(versions)
    token = _given.set(given)
    try:
        yield given
    finally:
        _given.reset(token)
