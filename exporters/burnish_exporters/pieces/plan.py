"""What the per-run half of a build needs to know; plain enough to be sent to another process.

Knows: agent, verifiers, recipe, limits and key, and the hash by which finished pieces are found again.
Does not know: which runs there are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from burnish._version import __version__
from burnish.protocols import Verifier
from burnish_exporters.dataset.recipe import Recipe
from burnish_exporters.redact import Decoder, second_look_name
from burnish_exporters.rows.stable import digest
from burnish_exporters.verify import PoolSettings
from burnish_exporters.verify.user_functions import version_of

_FORM = 3  # of what a piece holds; raised when the same runs would come out otherwise


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that decides what becomes of one run.

    Attributes:
        agent: Whose runs.
        verifiers: Who judges them.
        unbelieved: Verifiers whose success alone admits no run, with the reason.
        recipe: The choices.
        key: Key of stand-ins for personal data.
        pool: Limits of verification.
        decoder: Reads captured token ids for the leak check.
        as_of_ns: Only what was recorded up to this moment counts, in nanoseconds since the epoch; None: everything.
        folder: Import paths of the recipe are relative to it.
    """

    agent: str
    verifiers: list[Verifier]
    recipe: Recipe
    key: bytes
    pool: PoolSettings = field(default_factory=PoolSettings)
    decoder: Decoder | None = None
    as_of_ns: int | None = None
    folder: Path = field(default_factory=Path.cwd)
    unbelieved: dict[str, str] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """The recipe as it enters a version's hash: with agent and verifiers."""
        return {
            **msgspec.to_builtins(self.recipe),
            "agent": self.agent,
            "verify": [[verifier.name, verifier.version] for verifier in self.verifiers],
        }

    def fingerprint(self) -> str:
        """Hash of all that shapes a piece, the files and functions that the recipe names included; 32 hex digits."""
        files = [Path(path) for path in self.recipe.files()]
        contents = [
            hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.exists()
        ]
        code = [self.recipe.replay, self.recipe.scorer]
        contents += [version_of(path.partition(":")[0], self.folder) for path in code if path]
        secret = hashlib.sha256(self.key).hexdigest()
        trusted = sorted(self.pool.trust_received)
        settings = [secret, self.decoder is not None, self.unbelieved, self.as_of_ns, trusted]
        settings.append(second_look_name() if self.recipe.redact != "none" else "")
        return digest([__version__, _FORM, self.facts(), contents, settings])
