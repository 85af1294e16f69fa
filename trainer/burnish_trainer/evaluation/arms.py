"""Remembered results of one version on one set of tasks.

Knows: what decides a result, and therefore the name under which it is kept.
Does not know: how attempts are run and judged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

import burnish
from burnish import settings
from burnish.journal.events import canonical
from burnish.records import Task
from burnish.storage import make_private_folder
from burnish_trainer.evaluation.answering import backend_facts
from burnish_trainer.evaluation.judging import Result
from burnish_trainer.evaluation.running import RunOptions
from burnish_trainer.evaluation.subject import Subject, tasks_sha256
from burnish_trainer.run.files import write_json

Key = tuple[str, str, int]
"""Pool, task and number of an attempt."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Results of one version.

    Attributes:
        results: Of each attempt, in the order of the tasks.
        remembered: How many of them are of an earlier evaluation.
    """

    results: list[Result]
    remembered: int


class ArmStore:
    """The file that keeps the results of an arm.

    Args:
        subject: The agent.
        adapter: The version; None is the base model.
        pools: Tasks by pool.
        options: How attempts are run.
    """

    def __init__(
        self,
        subject: Subject,
        adapter: str | None,
        pools: dict[str, list[Task]],
        options: RunOptions,
    ) -> None:
        self._path = _arm_path(subject, adapter, pools, options)

    def load(self) -> dict[Key, Result]:
        """Results by attempt; none of those that an error of the infrastructure ended."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=list[Result])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}
        return {(r.pool, r.task_id, r.attempt): r for r in found if not r.infrastructure}

    def save(self, results: Sequence[Result]) -> None:
        """Keep the results that say something about the version."""
        kept = [result for result in results if not result.infrastructure]
        make_private_folder(self._path.parent)
        write_json(self._path, msgspec.to_builtins(kept))


def _arm_path(
    subject: Subject, adapter: str | None, pools: dict[str, list[Task]], options: RunOptions
) -> Path:
    config = subject.config
    decides = [
        burnish.__version__,
        subject.name,
        subject.code_sha256,
        [config.build, config.environment, config.verify],
        [config.base_model, backend_facts(config)],
        adapter,
        {pool: tasks_sha256(several) for pool, several in pools.items()},
        [[verifier.name, verifier.version] for verifier in subject.verifiers],
        _deciding(options),
    ]
    name = hashlib.sha256(canonical(decides)).hexdigest()[:24]
    return settings.current().home / "evaluations" / "arms" / f"{name}.json"


def _deciding(options: RunOptions) -> dict[str, object]:
    """The options that decide a result: how many run at the same time does not."""
    return {k: v for k, v in msgspec.to_builtins(options).items() if k != "concurrency"}
