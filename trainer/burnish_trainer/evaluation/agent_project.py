"""Load an agent of burnish.toml: its graph builder, tasks, environment and verifiers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import burnish
from burnish.adapters.prompt_store import PromptStore, PromptVersion
from burnish.errors import EvaluationError
from burnish.imports.import_path import resolve_object, unload_changed
from burnish.project import AgentConfig, Project, load_project
from burnish.protocols import Verifier
from burnish.records import Task
from burnish_exporters.tasks.task_sources import decode_tasks, hash_tasks, load_tasks
from burnish_trainer import console
from burnish_trainer.evaluation.agent_code import hash_code

BUILT_IN = ("live", "replay", "shadow")
"""Environments that burnish.toml names without a module; `environments.built_in` makes them."""
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
        """Make a new environment for one attempt; None if the agent has none."""
        if self.config.environment is None:
            return None
        if self.config.environment in BUILT_IN:
            from burnish_trainer.environments.built_in import open_built_in

            config = self.config
            return open_built_in(str(config.environment), self.workspace, config.writing_tools)
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
        """Return tasks of a pool, from what burnish.toml names.

        Args:
            pool: Name of the pool.
            n: Number of tasks; by default all of the pool.
            seed: Chooses among more tasks.

        Raises:
            EvaluationError: burnish.toml names no tasks, or a source gives an item that is not a task.
        """
        return load_tasks(self.config, self.project.folder, pool, n, seed)

    @cached_property
    def code_sha256(self) -> str:
        """Hash the agent's code and the text files that it may read; see `agent_code`."""
        config = self.config
        specs = [
            config.build,
            config.environment,
            *_specs_in([config.tasks, config.verify, config.prove]),
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


def open_project(path: Path | None = None) -> Project:
    """Load burnish.toml, and let changed modules of the project be imported again.

    A process that lives on, such as a notebook, would run the code that it imported before, and its results would be
    remembered as those of the new code.

    Raises:
        SettingsError: There is no usable burnish.toml.
    """
    project = load_project(path)
    changed = unload_changed(project.folder)
    if changed:
        console.say("[dim]imported again, because {} changed[/]", ", ".join(changed))
    return project


def load_agent(agent: str | AgentProject, path: Path | None = None) -> AgentProject:
    """Return the agent of that name, with its code as it is now.

    Raises:
        SettingsError: There is no usable burnish.toml.
        UnknownAgent: It declares no such agent.
    """
    if isinstance(agent, AgentProject):
        return agent
    project = open_project(path)
    return AgentProject(project, project.agent(agent))


def find_prompt_version(subject: AgentProject, prompt: str | None) -> PromptVersion | None:
    """Return a prompt version of the agent's workspace; None for the agent's own prompts.

    Raises:
        RegistryError: The workspace holds none of that name.
        EvaluationError: It belongs to another agent.
    """
    if prompt is None:
        return None
    found = PromptStore(subject.workspace.home).get(prompt)
    if found.agent != subject.name:
        raise EvaluationError(
            f"{prompt} is a prompt of agent {found.agent!r}",
            f"one of {subject.name!r}",
            f"burnish prompts list {subject.name}",
        )
    return found


def request_of(task: Task) -> str:
    """Return the user's request of a task: its input as a text, or its user messages; empty if unknown."""
    if isinstance(task.input, str):
        return task.input
    messages = task.input.get("messages") if isinstance(task.input, dict) else None
    told = [_role_and_content(m) for m in messages] if isinstance(messages, list | tuple) else []
    texts = [text for role, text in told if role in ("user", "human") and isinstance(text, str)]
    return "\n".join(texts)


def text_of_task(task: Task) -> str:
    """Return the text by which two tasks are compared: the user's request, else the whole input.

    Args:
        task: The task.
    """
    return request_of(task) or json.dumps(task.input, sort_keys=True, default=str)


def _role_and_content(message: Any) -> tuple[Any, Any]:
    """Return role and content of a message in any of LangChain's forms: a pair, a mapping, an object or a text."""
    if isinstance(message, str):
        return "user", message
    if isinstance(message, dict):
        return message.get("role"), message.get("content")
    if isinstance(message, list | tuple) and len(message) == 2:
        return message[0], message[1]
    return getattr(message, "type", None), getattr(message, "content", None)


__all__ = [
    "POOLS",
    "AgentProject",
    "decode_tasks",
    "find_prompt_version",
    "hash_tasks",
    "load_agent",
    "request_of",
    "text_of_task",
]
