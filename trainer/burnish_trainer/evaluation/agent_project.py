"""Load an agent of burnish.toml: its graph builder, tasks, environment and verifiers."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

import burnish
from burnish.errors import EvaluationError
from burnish.imports.import_path import resolve_object
from burnish.project import AgentConfig, Project, load_project
from burnish.protocols import Verifier
from burnish.records import Task
from burnish_trainer.evaluation.agent_code import hash_code

POOLS = ("heldout", "standing", "capability")
"""Pools of an evaluation: unseen tasks, tasks that must keep working, tasks that the base model could solve."""


@dataclass(frozen=True)
class AgentProject:
    """An agent with everything that its burnish.toml names, imported at first use.

    Attributes:
        project: The burnish.toml that declares it.
        config: Its table.
        workspace: Where its runs, datasets and adapters are.
    """

    project: Project
    config: AgentConfig
    workspace: burnish.Workspace = field(default_factory=burnish.Workspace, compare=False)

    @property
    def name(self) -> str:
        """Return the name of the agent."""
        return self.config.name

    @cached_property
    def build(self) -> Callable[[Any], Any]:
        """Return the function that builds the graph from a chat model."""
        return self._import_callable("build", self.config.build)

    def open_environment(self) -> Any:
        """Open a new environment for one attempt; None if the agent has none."""
        if self.config.environment is None:
            return None
        return self._environment()

    @cached_property
    def verifiers(self) -> list[Verifier]:
        """Return the verifiers that select training runs.

        Raises:
            NoVerifier: burnish.toml names none.
        """
        from burnish_exporters.verify.roles import make_learning_verifiers

        return make_learning_verifiers(self.config, self.project.folder)

    @cached_property
    def proof_verifiers(self) -> list[Verifier]:
        """Return the verifiers that grade the attempts of an evaluation.

        Raises:
            NoVerifier: burnish.toml names none.
        """
        from burnish_exporters.verify.roles import make_proof_verifiers

        return make_proof_verifiers(self.config, self.project.folder)

    def tasks(self, pool: str, n: int | None = None, seed: int = 0) -> list[Task]:
        """Return tasks of a pool, from the function that burnish.toml names.

        Args:
            pool: Name of the pool.
            n: Number of tasks; by default all of the pool.
            seed: Passed on if the function takes a `seed`.

        Raises:
            EvaluationError: burnish.toml names no function, or the function returns an item that is not a task.
        """
        if self.config.tasks is None:
            raise EvaluationError(
                f"agent {self.name!r} has no tasks",
                'tasks = "module:function" that gives the tasks of a pool',
                f"write it into [agent.{self.name}] of burnish.toml",
            )
        function = self._import_callable("tasks", self.config.tasks)
        known = inspect.signature(function).parameters
        options = {k: v for k, v in {"n": n, "seed": seed}.items() if k in known}
        try:
            given = list(function(pool, **options))
        except (ValueError, TypeError, LookupError) as error:
            raise EvaluationError(
                f"{self.config.tasks} gives no tasks of pool {pool!r}: {error}",
                "a list of tasks, each with id and input",
                f"call {self.config.tasks}({pool!r}) by hand",
            ) from error
        return decode_tasks(given)[:n]

    @cached_property
    def code_sha256(self) -> str:
        """Hash the agent's code and the text files that it may read; see `agent_code`."""
        config = self.config
        specs = [
            config.build,
            config.environment,
            config.tasks,
            *_specs_in([config.verify, config.prove]),
        ]
        modules = [spec.partition(":")[0] for spec in specs if spec and ":" in spec]
        return hash_code(self.project.folder, modules, self.workspace.home)

    @cached_property
    def _environment(self) -> Callable[[], Any]:
        assert self.config.environment is not None  # noqa: S101 - asked before
        return self._import_callable("environment", self.config.environment)

    def _import_callable(self, key: str, spec: str) -> Any:
        found = resolve_object(spec, self.project.folder)
        if not callable(found):
            raise EvaluationError(
                f"{key} = {spec!r} names {type(found).__name__}",
                "a function or class",
                "edit burnish.toml",
            )
        return found


def _specs_in(value: Any) -> list[str]:
    """Return all strings in a setting, among them import paths."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [spec for item in inner for spec in _specs_in(item)]


def load_agent(agent: str | AgentProject, path: Path | None = None) -> AgentProject:
    """Return the agent of that name.

    Raises:
        SettingsError: There is no usable burnish.toml.
        UnknownAgent: It declares no such agent.
    """
    if isinstance(agent, AgentProject):
        return agent
    project = load_project(path)
    return AgentProject(project, project.agent(agent))


def decode_tasks(given: Iterable[Any]) -> list[Task]:
    """Return tasks from the user's own form: mappings with `id` and `input`.

    Raises:
        EvaluationError: An item is not a task, or two tasks share an id.
    """
    found = [item if isinstance(item, Task) else _decode_task(item) for item in given]
    ids = [task.id for task in found]
    twice = next((i for i in ids if ids.count(i) > 1), None) if len(set(ids)) < len(ids) else None
    if twice is not None:
        raise EvaluationError(f"two tasks have the id {twice!r}", "a different id for each task")
    return found


def _decode_task(item: Any) -> Task:
    if not isinstance(item, dict) or "id" not in item or "input" not in item:
        raise EvaluationError(
            f"a task is {str(item)[:80]!r}",
            "a mapping with id and input",
            "look at the function that `tasks` in burnish.toml names",
        )
    return Task(
        id=str(item["id"]),
        input=item["input"],
        kind=str(item.get("kind", "default")),
        data=dict(item),
    )


def request_of(task: Task) -> str:
    """Return the user's request of a task: its input as a text, or its user messages; empty if unknown."""
    if isinstance(task.input, str):
        return task.input
    messages = task.input.get("messages") if isinstance(task.input, dict) else None
    told = [_role_and_content(m) for m in messages] if isinstance(messages, list | tuple) else []
    texts = [text for role, text in told if role in ("user", "human") and isinstance(text, str)]
    return "\n".join(texts)


def _role_and_content(message: Any) -> tuple[Any, Any]:
    """Return role and content of a message in any of LangChain's forms: a pair, a mapping, an object or a text."""
    if isinstance(message, str):
        return "user", message
    if isinstance(message, dict):
        return message.get("role"), message.get("content")
    if isinstance(message, list | tuple) and len(message) == 2:
        return message[0], message[1]
    return getattr(message, "type", None), getattr(message, "content", None)


def hash_tasks(tasks: Iterable[Task]) -> str:
    """Hash tasks, their inputs and their data."""
    encoder = msgspec.json.Encoder(order="sorted")
    return hashlib.sha256(encoder.encode(list(tasks))).hexdigest()
