"""Cache the results of one version on one set of tasks under a name that hashes all that decides them.

How it works: while attempts run, their results go to a log beside the cache; a killed evaluation continues from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

import burnish
from burnish.files.storage import BROKEN_JSON, make_private_folder
from burnish.journal.events import canonical
from burnish.records import Task
from burnish_exporters.tasks.task_sources import hash_tasks
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion
from burnish_trainer.evaluation.attempts.attempt_log import AttemptLog
from burnish_trainer.evaluation.attempts.ended import AttemptKey, AttemptResult
from burnish_trainer.evaluation.chat_models import backend_facts
from burnish_trainer.evaluation.rollouts import TIME_LIMIT_S, RunOptions
from burnish_trainer.run.storage import write_json


@dataclass(frozen=True, slots=True)
class ArmResults:
    """Results of one version.

    Attributes:
        results: Result of each attempt, in the order of the tasks.
        remembered: Number of results from an earlier evaluation.
        unstable: Verdicts that differed when a sample of new attempts was graded twice.
    """

    results: list[AttemptResult]
    remembered: int
    unstable: list[Any] = field(default_factory=list)


class ArmCache:
    """The file that caches the results of an arm.

    Args:
        subject: The agent.
        version: The version.
        pools: Tasks by pool.
        options: Options of the attempts.
        folder: Folder of the file; by default that of all evaluations of the workspace.
    """

    def __init__(
        self,
        subject: AgentProject,
        version: ArmVersion,
        pools: dict[str, list[Task]],
        options: RunOptions,
        folder: Path | None = None,
    ) -> None:
        name = _name_arm(subject, version, pools, options)
        self._path = (folder or subject.workspace.home / "evaluations" / "arms") / f"{name}.json"
        self.log = AttemptLog(self._path.with_suffix(".jsonl"))

    def load_results(self) -> dict[AttemptKey, AttemptResult]:
        """Return the cached results by attempt, without those that the backend decided."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=list[AttemptResult])
        except (FileNotFoundError, *BROKEN_JSON):
            return {}
        return {result.key: result for result in found if result.cacheable}

    def save_results(self, results: Sequence[AttemptResult]) -> None:
        """Write the results, without those that the backend decided, and remove the log."""
        kept = [result for result in results if result.cacheable]
        make_private_folder(self._path.parent)
        write_json(self._path, msgspec.to_builtins(kept))
        self.log.remove()


def _name_arm(
    subject: AgentProject, version: ArmVersion, pools: dict[str, list[Task]], options: RunOptions
) -> str:
    """Hash all that decides the results; own prompts leave the names of earlier versions as they were."""
    config = subject.config
    decides = [
        burnish.__version__,
        subject.name,
        subject.code_sha256,
        [
            config.build,
            config.environment,
            config.prove or config.verify,
            *([config.writing_tools] if config.writing_tools else []),
        ],
        [config.base_model, backend_facts(config)],
        version.adapter,
        {pool: hash_tasks(several) for pool, several in pools.items()},
        [[verifier.name, verifier.version] for verifier in subject.proof_verifiers],
        _deciding_options(options),
        *([version.prompt] if version.prompt is not None else []),
    ]
    return hashlib.sha256(canonical(decides)).hexdigest()[:24]


def _deciding_options(options: RunOptions) -> dict[str, object]:
    """Return the options that decide a result; the number of concurrent attempts does not.

    Options that earlier versions did not have are left out at their defaults, so that results of these stay known.
    """
    left_out = {"concurrency", "token_limit"}
    left_out |= {"first"} if options.first == 1 else set()
    left_out |= {"time_limit_s"} if options.time_limit_s == TIME_LIMIT_S else set()
    left_out |= {"same_start"} if options.same_start else set()
    return {k: v for k, v in msgspec.to_builtins(options).items() if k not in left_out}
