"""The chat model that proposes better prompts: the user's own, hosted or at an address."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, cast

from burnish.capture.recorder.context import suppress
from burnish.errors import EvaluationError, ServingError, SettingsError
from burnish.imports.import_path import resolve_object

_MOST_FAILURES = 3  # in a row


class ReflectionModel:
    """A chat model as GEPA calls it; failures are counted, and too many in a row stop the optimisation.

    Args:
        spec: "module:NAME" of a chat model or of a function that makes one, or "URL#MODEL".
        folder: Folder of burnish.toml.

    Attributes:
        calls: Number of calls.
        failures: Number of failed calls, by error.

    Raises:
        ImportPathError: The module or name cannot be imported.
        SettingsError: It names something else.
    """

    def __init__(self, spec: str, folder: Path) -> None:
        self.spec = spec
        self.calls = 0
        self.failures: Counter[str] = Counter()
        self._in_a_row = 0
        self._model = _make_model(spec, folder)

    def __call__(self, prompt: str | list[dict[str, Any]]) -> str:
        """Return the reply to a prompt.

        Raises:
            ServingError: The model failed, or its reply is empty.
        """
        self.calls += 1
        try:
            with suppress():
                reply = str(self._model.invoke(prompt).text)
        except Exception as problem:
            raise self._count_failure(f"{type(problem).__name__}: {problem}"[:300]) from problem
        if not reply.strip():
            raise self._count_failure("an empty reply")
        self._in_a_row = 0
        return reply

    @property
    def is_broken(self) -> bool:
        """Report if the last calls all failed."""
        return self._in_a_row >= _MOST_FAILURES

    def describe(self) -> dict[str, Any]:
        """Return the model, its calls and its failures."""
        return {"model": self.spec, "calls": self.calls, "failures": dict(self.failures)}

    def broken_error(self, again: str) -> EvaluationError:
        """Return the error that ends an optimisation without a model.

        Args:
            again: The command that continues it.
        """
        told = ", ".join(f"{count} times {error}" for error, count in self.failures.items())
        return EvaluationError(
            f"the reflection model {self.spec} failed {self._in_a_row} times in a row ({told})",
            "a chat model that answers with a prompt",
            f"{again}; it continues where it stopped",
        )

    def _count_failure(self, error: str) -> ServingError:
        self.failures[error] += 1
        self._in_a_row += 1
        return ServingError(f"the reflection model {self.spec} failed: {error}", "a reply")


def _make_model(spec: str, folder: Path) -> Any:
    if spec.startswith(("http://", "https://")):
        from burnish.serving.remote.chat_model import make_remote_chat

        address, _, name = spec.partition("#")
        if not name:
            raise SettingsError(
                f"the reflection model {spec!r} has no name",
                "URL#MODEL",
                f"append #MODEL to {spec}",
            )
        return make_remote_chat(address, name)
    found = resolve_object(spec, folder)
    if not hasattr(found, "invoke") and callable(found):
        found = cast("Any", found)()
    if not hasattr(found, "invoke"):
        raise SettingsError(
            f"{spec} is {type(found).__name__}",
            "a LangChain chat model, or a function that makes one",
            "--reflection module:NAME, or --reflection URL#MODEL",
        )
    return found
