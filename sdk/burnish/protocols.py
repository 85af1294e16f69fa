"""Define the protocols that third parties can implement: sources, environments, verifiers, backends.

Contract test kits are in `burnish.testing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from burnish.config.nearest_names import find_nearest
from burnish.errors import VerificationError
from burnish.records import Json, Message, Span, Tool, Trajectory, Verdict


@runtime_checkable
class SpanSource(Protocol):
    """A source of spans: journal, archive, OTLP file, another platform."""

    def spans(self, since_ns: int | None = None) -> Iterator[Span]:
        """Yield spans that started at or after `since_ns`, children in any order.

        Must not raise for a damaged item: skip it and count it.
        """
        ...


@runtime_checkable
class Environment(Protocol):
    """The world that an attempt acts on; one instance serves one attempt."""

    def open(self, task: dict[str, Json]) -> None:
        """Create a fresh world for a task."""
        ...

    def state(self) -> Json:
        """Return the state as plain data; it is recorded at the end of the attempt."""
        ...

    def close(self) -> None:
        """Release all resources; called once, also after a failure."""
        ...


@runtime_checkable
class Verifier(Protocol):
    """Decides whether a trajectory succeeded, from facts and never from the agent's claim.

    It may declare `traits`, a VerifierTraits, and be Preparable.
    """

    @property
    def name(self) -> str:
        """Name under which its verdicts are stored."""
        ...

    @property
    def version(self) -> str:
        """Return a version that changes whenever the same run could be judged differently."""
        ...

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge one trajectory; an undecidable one is "unknown".

        May raise: the caller converts an error to "unknown" and keeps it as evidence.
        """
        ...


class VerifierTraits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Properties of a verifier; a verifier declares them as its field `traits`.

    Attributes:
        kind: "check" reads facts and is trusted without measurement; "judge" reads texts and must be measured.
        isolated: True if it needs its own process; False only if it runs no code but its own.
        reads_outcomes: True if it judges a run again after a later outcome.

    Raises:
        VerificationError: If a value is not allowed.
    """

    kind: Literal["check", "judge"] = "check"
    isolated: bool = True
    reads_outcomes: bool = False

    def __post_init__(self) -> None:
        flags = {type(self.isolated), type(self.reads_outcomes)} == {bool}
        if self.kind not in ("check", "judge") or not flags:
            raise VerificationError(
                f"traits of a verifier: {msgspec.structs.asdict(self)}",
                'kind "check" or "judge"; isolated and reads_outcomes true or false',
                'traits = VerifierTraits(kind="judge")',
            )


@runtime_checkable
class Preparable(Protocol):
    """A verifier with work to do once, before the first run."""

    def prepare(self) -> None:
        """Import and check requirements, so that a missing one raises once.

        Raises:
            BurnishError: If the verifier cannot work.
        """
        ...


def traits_of(verifier: object) -> VerifierTraits:
    """Return the traits that a verifier declares, or has as attributes, or else the defaults.

    Raises:
        VerificationError: If `traits` has a wrong type, or an attribute has nearly the name of a trait.
    """
    declared = getattr(verifier, "traits", None)
    if isinstance(declared, VerifierTraits):
        return declared
    kind = type(verifier)
    if declared is not None:
        raise VerificationError(
            f"traits of {kind.__name__}: a {type(declared).__name__}",
            "VerifierTraits",
            'traits = VerifierTraits(kind="judge")',
        )
    names = VerifierTraits.__struct_fields__
    known = (*names, "traits", "prepare", "name", "version", "verify")
    for own in (name for name in dir(verifier) if not name.startswith("_") and name not in known):
        near = find_nearest(own, (*names, "traits", "prepare"), cutoff=0.8)
        if near:
            raise VerificationError(
                f"{kind.__name__}.{own}", f"{near!r}, or a less similar name",
                "traits = VerifierTraits(...)",
            )  # fmt: skip
    given = {name: getattr(verifier, name) for name in names if hasattr(verifier, name)}
    return VerifierTraits(**given)


class Generation(Protocol):
    """The result of one request to a backend."""

    text: str
    token_ids: list[int]
    prompt_token_ids: list[int]
    logprobs: list[float]
    adapter: str | None
    finish_reason: str


@runtime_checkable
class Backend(Protocol):
    """Serves a base model and adapter versions by immutable names."""

    def capabilities(self) -> dict[str, Json]:
        """Return the base model, the largest rank, run-time loading of adapters, ..."""
        ...

    def load(self, version: str, path: Path) -> None:
        """Load an adapter version under its name; loading it twice is harmless."""
        ...

    def probe(self, version: str) -> dict[str, Json]:
        """Prove that the served version is the one on disk, by its fingerprint.

        Raises:
            ServingError: If the served log-probabilities are not nearer to the adapter's.
        """
        ...

    def list(self) -> Iterable[str]:
        """List the loaded versions."""
        ...

    def unload(self, version: str) -> None:
        """Stop serving a version once its running requests have ended."""
        ...

    def generate(
        self, messages: list[Message], tools: list[Tool], adapter: str | None, **sampling: Any
    ) -> Generation:
        """Answer one request with the given version, or raise; never with another version."""
        ...


@runtime_checkable
class Format(Protocol):
    """Renders dataset rows for one consumer.

    It may also have: `contrast`, true if it needs failures beside successes; `kinds`, types of
    columns that are not JSON (`{"labels": "list of bool"}`); `refused`, a Counter of rows that it
    left out, by reason; `facts()`, facts about the rows that it rendered last.
    """

    @property
    def name(self) -> str:
        """Name of the format."""
        ...

    @property
    def columns(self) -> list[str]:
        """Columns of a rendered row."""
        ...

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Render rows of a dataset version for the consumer."""
        ...

    def check(self, row: dict[str, Json]) -> None:
        """Raise ExportError if the consumer would refuse the row."""
        ...


@runtime_checkable
class ControlStore(Protocol):
    """One small document per agent, changed by compare-and-set."""

    def read(self, agent: str) -> tuple[dict[str, Json], int]:
        """Return the document and its version; `({}, 0)` before the first write."""
        ...

    def write(self, agent: str, document: dict[str, Json], *, expected_version: int) -> int:
        """Store the document if its version is still the expected one; return the new version.

        Raises:
            ControlConflict: If another writer was faster.
        """
        ...

    def watch(self, agent: str, changed: Callable[[dict[str, Json], int], None]) -> None:
        """Call `changed` soon after each write."""
        ...


__all__ = [
    "Backend",
    "ControlStore",
    "Environment",
    "Format",
    "Generation",
    "Preparable",
    "SpanSource",
    "Verifier",
    "VerifierTraits",
    "traits_of",
]
