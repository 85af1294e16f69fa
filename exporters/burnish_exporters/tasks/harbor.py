"""Read folders of Harbor tasks as tasks of a set.

A Harbor task is a folder with `task.toml` and `instruction.md`, beside `environment/` and `tests/`. The instruction
becomes the input; the attempt's environment gets the paths, the time limits and the metadata under `harbor`. Harbor's
verifier writes a reward into a folder of its own; `read_reward` returns it, for a state or a check.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, cast

from burnish.errors import EvaluationError
from burnish.records import Json, Task

_CONFIG, _INSTRUCTION = "task.toml", "instruction.md"


def is_harbor_folder(place: Path) -> bool:
    """Report if a folder is a Harbor task, or holds some and no task files.

    Args:
        place: The folder.
    """
    if not place.is_dir():
        return False
    return (place / _CONFIG).is_file() or (
        not any(place.glob("*.jsonl")) and any(place.glob(f"*/{_CONFIG}"))
    )


def read_harbor_tasks(place: Path) -> list[Task]:
    """Return the Harbor tasks of a folder, by name.

    Args:
        place: A task's folder, or one that holds several.

    Raises:
        EvaluationError: A task's configuration or instruction cannot be read.
    """
    if (place / _CONFIG).is_file():
        return [_read_task(place)]
    return [_read_task(path.parent) for path in sorted(place.glob(f"*/{_CONFIG}"))]


def read_reward(folder: Path) -> dict[str, float] | None:
    """Return the rewards that a Harbor verifier wrote; None if it wrote none.

    `reward.json` holds several by name; `reward.txt` holds one, which is returned as "reward".

    Args:
        folder: The verifier's folder, `/logs/verifier` in the container.

    Raises:
        EvaluationError: A file holds no number.
    """
    several, one = folder / "reward.json", folder / "reward.txt"
    try:
        if several.is_file():
            found = json.loads(several.read_text("utf-8"))
            return {str(name): float(value) for name, value in found.items()}
        return {"reward": float(one.read_text("utf-8"))} if one.is_file() else None
    except (OSError, ValueError, TypeError, AttributeError) as problem:
        raise EvaluationError(
            f"reward of a Harbor task in {folder}: {problem}", "a number", "look at its test.sh"
        ) from problem


def _read_task(folder: Path) -> Task:
    try:
        config = tomllib.loads((folder / _CONFIG).read_text("utf-8"))
        _refuse_steps(config, folder)
        instruction = (folder / _INSTRUCTION).read_text("utf-8").strip()
    except (OSError, ValueError) as problem:
        raise EvaluationError(
            f"Harbor task {folder}: {problem}",
            f"{_CONFIG} and {_INSTRUCTION}",
            f"ls {folder}",
        ) from problem
    if not instruction:
        raise EvaluationError(
            f"Harbor task {folder}: {_INSTRUCTION} is empty",
            "the request of the task",
            f"edit {folder / _INSTRUCTION}",
        )
    named, metadata = _table(config, "task"), _table(config, "metadata")
    task_id = str(named.get("name") or folder.name)
    tags = metadata.get("tags") or named.get("keywords")
    kind = str(metadata.get("category") or "default")
    user_input = {"messages": [{"role": "user", "content": instruction}]}
    return Task(
        id=task_id,
        input=user_input,
        kind=kind,
        tags=[str(tag) for tag in tags] if isinstance(tags, list) else [],
        data={
            "id": task_id,
            "input": user_input,
            "kind": kind,
            "harbor": {
                "path": str(folder),
                "environment": _path_or_none(folder / "environment"),
                "tests": _path_or_none(folder / "tests"),
                "metadata": _as_json(metadata),
                "agent_timeout_s": _table(config, "agent").get("timeout_sec"),
                "verifier": _as_json(_table(config, "verifier")),
                "resources": _as_json(_table(config, "environment")),
            },
        },
    )


def _refuse_steps(config: dict[str, Any], folder: Path) -> None:
    """Refuse a task of several steps, each with an instruction of its own.

    Raises:
        EvaluationError: The task has steps.
    """
    steps = config.get("steps")
    if isinstance(steps, list) and steps:
        raise EvaluationError(
            f"Harbor task {folder} has {len(cast('list[Any]', steps))} steps",
            f"a task with one {_INSTRUCTION}, because an attempt has one input",
            f"mv {folder} out of the task set",
        )


def _table(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _path_or_none(path: Path) -> str | None:
    return str(path) if path.exists() else None


def _as_json(value: Any) -> Json:
    """Return a TOML value as JSON; dates become texts."""
    return json.loads(json.dumps(value, default=str))
