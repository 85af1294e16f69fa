"""The shapes that a third party can implement: sources, environments, verifiers, backends.

Knows: which calls burnish makes and what it expects back.
Does not know: any implementation. Contract test kits live in `burnish.testing`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from burnish.errors import VerificationError
from burnish.records import Json, Message, Span, Tool, Trajectory, Verdict


@runtime_checkable
class SpanSource(Protocol):
    """A place that spans come from: journal, archive, OTLP file, another platform."""

    def spans(self, since_ns: int | None = None) -> Iterator[Span]:
        """Yield spans that started at or after `since_ns`, children in any order.

        Must not raise for a damaged item: skip it and count it.
        """
        ...


@runtime_checkable
class Environment(Protocol):
    """The world that an attempt acts on; one instance serves one attempt."""

    def open(self, task: dict[str, Json]) -> None:
        """Make the world fresh for a task."""
        ...

    def state(self) -> Json:
        """The state as plain data; it is recorded at the end of the attempt."""
        ...

    def close(self) -> None:
        """Give everything back; called once, also after a failure."""
        ...


@runtime_checkable
class Verifier(Protocol):
    """Concludes whether a trajectory succeeded, from facts and never from the agent's claim.

    It may declare `traits`, a VerifierTraits, and be Preparable.
    """

    @property
    def name(self) -> str:
        """Name under which its verdicts are stored."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the same run could be judged differently."""
        ...

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge one trajectory; anything that cannot be known is "unknown".

        May raise: the caller turns that into "unknown" and keeps the error as evidence.
        """
        ...


class VerifierTraits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of a verifier beside its verdicts; a verifier declares it as its field `traits`.

    Attributes:
        kind: "check" looks at facts and is believed unmeasured; "judge" looks at texts, and is not.
        isolated: Whether it needs a process of its own; only one that runs nobody's code but its own does not.
        reads_outcomes: Whether it judges a run anew once a later outcome was reported.

    Raises:
        VerificationError: If a value is none of these.
    """

    kind: Literal["check", "judge"] = "check"
    isolated: bool = True
    reads_outcomes: bool = False

    def __post_init__(self) -> None:
        flags = isinstance(self.isolated, bool) and isinstance(self.reads_outcomes, bool)
        if self.kind not in ("check", "judge") or not flags:
            raise VerificationError(
                f"traits of a verifier: {msgspec.structs.asdict(self)}",
                'kind "check" or "judge"; isolated and reads_outcomes true or false',
                'traits = VerifierTraits(kind="judge")',
            )


@runtime_checkable
class Preparable(Protocol):
    """A verifier that has something to do once, before the first run."""

    def prepare(self) -> None:
        """Import and check what is needed, so that its lack is one error and not a pile of unknowns.

        Raises:
            BurnishError: If the verifier cannot work.
        """
        ...


def traits_of(verifier: object) -> VerifierTraits:
    """The traits that a verifier declares, or has as attributes of their names; the usual ones without any.

    Raises:
        VerificationError: If they are none, or an attribute has nearly the name of a trait.
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
        near = difflib.get_close_matches(own, (*names, "traits", "prepare"), n=1, cutoff=0.8)
        if near:
            raise VerificationError(
                f"{kind.__name__}.{own}", f"{near[0]!r}, or a name that is less like it",
                "traits = VerifierTraits(...)",
            )  # fmt: skip
    given = {name: getattr(verifier, name) for name in names if hasattr(verifier, name)}
    return VerifierTraits(**given)


class Generation(Protocol):
    """What a backend gives back for one request."""

    text: str
    token_ids: list[int]
    prompt_token_ids: list[int]
    logprobs: list[float]
    adapter: str | None
    finish_reason: str


@runtime_checkable
class Backend(Protocol):
    """Something that serves a base model and adapter versions by immutable names."""

    def capabilities(self) -> dict[str, Json]:
        """Base model, largest rank, whether adapters can be loaded at run time, ..."""
        ...

    def load(self, version: str, path: Path) -> None:
        """Make an adapter version servable under its name; loading it twice is harmless."""
        ...

    def probe(self, version: str) -> dict[str, Json]:
        """Prove that the served version is the one on disk, by its fingerprint.

        Raises:
            ServingError: If the served log-probabilities are not nearer to the adapter's.
        """
        ...

    def list(self) -> Iterable[str]:
        """Versions that are loaded now."""
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

    It may also have: `contrast`, true if it needs failures beside successes; `kinds`, what its columns hold where that is
    not JSON (`{"labels": "list of bool"}`); `refused`, a Counter of rows that it left out, by reason; `facts()`, what it
    has to tell of the rows that it rendered last.
    """

    @property
    def name(self) -> str:
        """Name that the format is asked for by."""
        ...

    @property
    def columns(self) -> list[str]:
        """Columns of a rendered row."""
        ...

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Rows of a dataset version as the consumer wants them."""
        ...

    def check(self, row: dict[str, Json]) -> None:
        """Raise ExportError if the consumer would refuse the row."""
        ...


@runtime_checkable
class ControlStore(Protocol):
    """One small document per agent, changed by compare-and-set."""

    def read(self, agent: str) -> tuple[dict[str, Json], int]:
        """The document and its version; `({}, 0)` before the first write."""
        ...

    def write(self, agent: str, document: dict[str, Json], *, expected_version: int) -> int:
        """Store the document if its version is still the expected one; returns the new version.

        Raises:
            ControlConflict: If someone else wrote in between.
        """
        ...

    def watch(self, agent: str, changed: Callable[[dict[str, Json], int], None]) -> None:
        """Call `changed` soon after each write by anyone."""
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
