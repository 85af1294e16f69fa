"""Store the measured quality of verifiers beside the runs, and decide whose success counts.

`QualityStore` keeps the measurements that audit.py makes; `unbelieved()` names the verifiers whose
success admits nothing.

An unmeasured check is trusted, because it looks at facts. An unmeasured judge is not, because it
looks at texts. A failure or an unknown counts from every verifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from burnish.errors import VerificationError
from burnish.files.storage import BROKEN_JSON, atomic_write, make_private_folder, read_regular
from burnish.protocols import Verifier, traits_of
from burnish.records import Rate
from burnish_exporters.verify.trust.metrics import FLOOR, Quality, count_labels_needed

_FEWEST_LABELS = 10  # that can show a verifier to be wrong


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """Audit result of one version of a verifier.

    Attributes:
        verifier: Name of the verifier.
        version: Version of the verifier; another version must be measured again.
        quality: Precision and recall.
        floor: Lowest lower bound of precision that was required.
        measured_ns: Time of the audit, in nanoseconds since the epoch.
    """

    verifier: str
    version: str
    quality: Quality
    floor: float
    measured_ns: int


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """The random sample of runs that people label for an audit.

    Attributes:
        ids: Ids of the runs.
        seed: Seed of the choice.
        of: Number of finished runs from which the sample was drawn.
    """

    ids: list[str]
    seed: int
    of: int


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """All audit data of one agent."""

    drawn: Drawn | None = None
    measured: list[Measurement] = []


class QualityStore:
    """The audits of a workspace: one small file for each agent.

    Args:
        home: Folder of the workspace.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "quality"

    def read(self, agent: str) -> Ledger:
        """Return the audit data of an agent; empty where none is stored.

        Raises:
            VerificationError: If the file is damaged.
        """
        path = self._path(agent)
        try:
            return msgspec.json.decode(read_regular(path), type=Ledger)
        except (FileNotFoundError, NotADirectoryError):
            return Ledger()
        except (OSError, *BROKEN_JSON) as problem:
            raise VerificationError(
                f"{path}: {problem}",
                "the JSON that `burnish verify audit` writes",
                f"mv {path} {path}.broken, then burnish verify audit {agent} --draw 100",
            ) from problem

    def write(self, agent: str, ledger: Ledger) -> None:
        """Replace the audit data of an agent atomically."""
        make_private_folder(self._folder)
        atomic_write(self._path(agent), msgspec.json.format(msgspec.json.encode(ledger)))

    def put(self, agent: str, measurements: Sequence[Measurement]) -> None:
        """Add measurements; a measurement of the same version is replaced."""
        ledger = self.read(agent)
        new = {(found.verifier, found.version) for found in measurements}
        kept = [old for old in ledger.measured if (old.verifier, old.version) not in new]
        self.write(agent, msgspec.structs.replace(ledger, measured=[*kept, *measurements]))

    def of(self, agent: str, verifier: Verifier) -> Measurement | None:
        """Return the measurement of the present version of a verifier."""
        wanted = (verifier.name, verifier.version)
        known = self.read(agent).measured
        return next((found for found in known if (found.verifier, found.version) == wanted), None)

    def _path(self, agent: str) -> Path:
        return self._folder / f"{quote(agent, safe='')}.json"


def unbelieved(
    verifiers: Sequence[Verifier], store: QualityStore, agent: str, *, floor: float = FLOOR
) -> dict[str, str]:
    """Return the verifiers whose success alone admits no run to training, with the reason.

    Args:
        verifiers: Verifiers that judge.
        store: Store of their measurements.
        agent: Agent whose runs they judge.
        floor: Lowest lower bound of precision, 0 to 1, at which a success counts.
    """
    reasons = {v.name: _describe_doubt(v, store.of(agent, v), floor) for v in verifiers}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def below_floor(
    verifiers: Sequence[Verifier], store: QualityStore, agent: str, *, floor: float = FLOOR
) -> list[str]:
    """Return a warning for each verifier whose measured precision may lie below the floor.

    Args:
        verifiers: Verifiers that judge.
        store: Store of their measurements; unmeasured verifiers are left out.
        agent: Agent whose runs they judge.
        floor: Lowest lower bound of precision, 0 to 1.
    """
    told = []
    for verifier in verifiers:
        found = store.of(agent, verifier)
        if found is not None and _is_below(found.quality.precision, floor):
            said = found.quality.precision
            told.append(
                f"the precision of {verifier.name} may be as low as {said.low:.0%} ({said.successes} of {said.total} "
                f"audited successes were right), its floor is {floor:.0%}"
            )
    return told


def count_missing_labels(precision: Rate, floor: float) -> int:
    """Return the number of labelled successes that are missing until the floor counts; 0 if it counts.

    Args:
        precision: Measured precision of a verifier.
        floor: Lowest lower bound of precision, 0 to 1.
    """
    return max(0, count_labels_needed(floor) - precision.total)


def facts_of(verifier: Verifier, store: QualityStore, agent: str) -> dict[str, Any]:
    """Return name, version and measured quality of a verifier, for a manifest.

    `wrong_rows` is the expected share of wrong rows among those that the verifier admitted: one
    minus its precision.
    """
    facts: dict[str, Any] = {"name": verifier.name, "version": verifier.version}
    found = store.of(agent, verifier)
    if found is not None:
        facts["quality"] = msgspec.to_builtins(found.quality)
        said = found.quality.precision
        facts["wrong_rows"] = {"rate": 1 - said.rate, "low": 1 - said.high, "high": 1 - said.low}
    return facts


def _describe_doubt(verifier: Verifier, found: Measurement | None, floor: float) -> str | None:
    if found is None:
        judges = traits_of(verifier).kind == "judge"
        return f"{verifier.name} was never measured" if judges else None
    precision = found.quality.precision
    if _is_below(precision, floor):
        return f"precision of {verifier.name} is below the floor"
    missing = count_missing_labels(precision, floor)
    if missing and traits_of(verifier).kind == "judge":
        return f"{verifier.name} was measured on too few labels: {missing} more of its successes must be labelled"
    return None


def _is_below(precision: Rate, floor: float) -> bool:
    """Return True if enough labels speak against a precision at the floor.

    The lower bound counts from the number of labels on with which it can reach the floor. A verifier whose upper bound
    lies below the floor is shown to be wrong with fewer.
    """
    if count_missing_labels(precision, floor):
        return precision.total >= _FEWEST_LABELS and precision.high < floor
    return precision.low < floor
