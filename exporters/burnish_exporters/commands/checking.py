"""Check for `burnish doctor` what burnish.toml names for an agent: task sets, environment, verifiers.

`check_agent` is the entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from burnish.errors import BurnishError, EvaluationError
from burnish.project import AgentConfig
from burnish.protocols import Preparable, Verifier
from burnish.records import Task
from burnish_exporters.tasks.set_versions import describe_sets, read_manifest
from burnish_exporters.tasks.task_files import TASK_POOLS, read_tasks
from burnish_exporters.tasks.task_sources import list_sources, list_task_places, load_tasks


def check_agent(
    config: AgentConfig, folder: Path, home: Path | None = None
) -> Iterator[BurnishError | str]:
    """Yield a problem for each thing that cannot be read, made, opened or relied on, and notes on what was tried.

    Args:
        config: The agent's table.
        folder: Folder of burnish.toml.
        home: Folder of the workspace, whose runs the verifiers are tried on.
    """
    from burnish_exporters.commands.environment_check import check_environment
    from burnish_exporters.commands.verifier_check import try_verifiers

    tasks: list[Task] = []
    if list_sources(config):
        pools = [pool for pool in TASK_POOLS if pool != "train" or config.evaluate.rollouts]
        for pool in pools:
            try:
                tasks += load_tasks(config, folder, pool)
            except BurnishError as problem:
                yield problem
        yield from _check_versions(config, folder)
    yield from check_environment(config, folder, tasks)
    try:
        verifiers = _prepare_verifiers(config, folder)
        yield from try_verifiers(config.name, verifiers, home)
    except BurnishError as problem:
        yield problem


def _check_versions(config: AgentConfig, folder: Path) -> Iterator[BurnishError]:
    """Yield a problem for each folder of task files whose versions cannot be read or are out of date."""
    for place in list_task_places(config, folder):
        if not place.is_dir():
            continue
        try:
            versions = read_manifest(place).versions
            current = describe_sets(read_tasks(place))
        except BurnishError as problem:
            yield problem
            continue
        if versions and versions[-1].pools != current:
            yield EvaluationError(
                f"tasks.lock of {place} names version {versions[-1].version}, and the files hold other tasks",
                "the tasks of the newest version",
                f"git diff {place}, or burnish tasks from-traces {config.name} to record a version",
            )


def _prepare_verifiers(config: AgentConfig, folder: Path) -> list[Verifier]:
    """Make, prepare and return the verifiers that an agent learns by and those that its adapters are proven by.

    Raises:
        VerificationError: If a name is unknown or its arguments do not fit.
    """
    from burnish_exporters.verify.roles import make_learning_verifiers, make_proof_verifiers

    made = make_learning_verifiers(config, folder) if config.verify else []
    if config.prove or config.verify:
        made = [*made, *make_proof_verifiers(config, folder)]
    for verifier in made:
        if isinstance(verifier, Preparable):
            verifier.prepare()
    return made


# The name that editable installations of earlier commits ask for as their entry point.
check_verifiers = check_agent
