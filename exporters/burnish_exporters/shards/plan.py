"""Define the settings of the per-run half of a build; they are plain enough to be sent to another process.

`Plan.fingerprint` is the hash by which finished shards are found again.
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
from burnish_exporters.redact.second_look import Decoder, second_look_name
from burnish_exporters.rows.canonical_json import hash_json
from burnish_exporters.verify.evidence.user_functions import version_of
from burnish_exporters.verify.running.pool import PoolSettings

_SHARD_VERSION = 3  # version of a shard's content; raised when the same runs would give other rows


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings that decide how a run becomes rows.

    Attributes:
        agent: Agent whose runs are read.
        verifiers: Verifiers that check the runs.
        unbelieved: Verifiers whose success alone admits no run, with the reason.
        recipe: The recipe of the version.
        key: Key of the pseudonyms for personal data.
        pool: Limits of verification.
        decoder: Reads captured token ids for the leak check.
        as_of_ns: Only facts recorded up to this moment count, in nanoseconds since the epoch; None uses everything.
        folder: Folder that import paths of the recipe are relative to.
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

    def hashed_recipe(self) -> dict[str, Any]:
        """Return the recipe as it enters a version's hash: with agent and verifiers."""
        return {
            **msgspec.to_builtins(self.recipe),
            "agent": self.agent,
            "verify": [[verifier.name, verifier.version] for verifier in self.verifiers],
        }

    def fingerprint(self) -> str:
        """Hash all that shapes a shard, including the files and functions that the recipe names; 32 hex digits."""
        files = [Path(path) for path in self.recipe.content_files()]
        contents = [
            hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.exists()
        ]
        code = [self.recipe.replay, self.recipe.scorer]
        contents += [version_of(path.partition(":")[0], self.folder) for path in code if path]
        secret = hashlib.sha256(self.key).hexdigest()
        trusted = sorted(self.pool.trust_received)
        settings = [secret, self.decoder is not None, self.unbelieved, self.as_of_ns, trusted]
        settings.append(second_look_name() if self.recipe.redact != "none" else "")
        return hash_json([__version__, _SHARD_VERSION, self.hashed_recipe(), contents, settings])
