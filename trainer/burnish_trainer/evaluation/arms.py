"""Cache the results of one version on one set of tasks under a name that hashes all that decides them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

import burnish
from burnish.files.storage import make_private_folder
from burnish.journal.events import canonical
from burnish.records import Task
from burnish_trainer.evaluation.agent_project import AgentProject, hash_tasks
from burnish_trainer.evaluation.chat_models import backend_facts
from burnish_trainer.evaluation.grading import AttemptResult
from burnish_trainer.evaluation.rollouts import RunOptions
from burnish_trainer.run.storage import write_json

AttemptKey = tuple[str, str, int]
"""Pool, task and number of an attempt."""


@dataclass(frozen=True, slots=True)
class ArmResults:
    """Results of one version.

    Attributes:
        results: Result of each attempt, in the order of the tasks.
        remembered: Number of results from an earlier evaluation.
    """

    results: list[AttemptResult]
    remembered: int


class ArmCache:
    """The file that caches the results of an arm.

    Args:
        subject: The agent.
        adapter: The version; None is the base model.
        pools: Tasks by pool.
        options: Options of the attempts.
    """

    def __init__(
        self,
        subject: AgentProject,
        adapter: str | None,
        pools: dict[str, list[Task]],
        options: RunOptions,
    ) -> None:
        self._path = _arm_path(subject, adapter, pools, options)

    def load_results(self) -> dict[AttemptKey, AttemptResult]:
        """Return the cached results by attempt, without those of infrastructure errors."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=list[AttemptResult])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}
        return {(r.pool, r.task_id, r.attempt): r for r in found if not r.infrastructure}

    def save_results(self, results: Sequence[AttemptResult]) -> None:
        """Write the results, without those of infrastructure errors."""
        kept = [result for result in results if not result.infrastructure]
        make_private_folder(self._path.parent)
        write_json(self._path, msgspec.to_builtins(kept))


def _arm_path(
    subject: AgentProject, adapter: str | None, pools: dict[str, list[Task]], options: RunOptions
) -> Path:
    config = subject.config
    decides = [
        burnish.__version__,
        subject.name,
        subject.code_sha256,
        [config.build, config.environment, config.prove or config.verify],
        [config.base_model, backend_facts(config)],
        adapter,
        {pool: hash_tasks(several) for pool, several in pools.items()},
        [[verifier.name, verifier.version] for verifier in subject.proof_verifiers],
        _deciding_options(options),
    ]
    name = hashlib.sha256(canonical(decides)).hexdigest()[:24]
    return subject.workspace.home / "evaluations" / "arms" / f"{name}.json"


def _deciding_options(options: RunOptions) -> dict[str, object]:
    """Return the options that decide a result; the number of concurrent attempts does not.

    The number of the first attempt is left out where it is 1, so that results of earlier versions stay known.
    """
    left_out = {"concurrency"} | ({"first"} if options.first == 1 else set())
    return {k: v for k, v in msgspec.to_builtins(options).items() if k not in left_out}
