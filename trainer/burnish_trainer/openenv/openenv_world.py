"""Use an OpenEnv environment as the environment of an agent: its server, or the class itself.

    # world.py
    from burnish_trainer.openenv.openenv_world import OpenEnvWorld, list_openenv_tools

    URL = "http://localhost:8000"

    def world():
        return OpenEnvWorld(URL)

    def build(model):
        return create_agent(model, tools=list_openenv_tools(URL))

burnish.toml names `environment = "world:world"` and `build = "world:build"`. A task gives the arguments of `reset` under
the key `openenv`; without a `seed` among them, the task's id seeds it, so that all attempts at a task start alike. The
state holds the last observation, its reward, the sum of rewards, and OpenEnv's own state.

Needs the package `openenv`, which burnish does not install.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, cast

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from burnish.errors import EvaluationError, MissingExtra
from burnish.records import Json

_PROTOCOL_FAULTS = ("CAPACITY_REACHED", "FACTORY_ERROR", "SESSION_ERROR")
"""Codes of a server's errors that say nothing about the agent's action."""

current_world: ContextVar[OpenEnvWorld | None] = ContextVar("burnish_openenv_world", default=None)


class OpenEnvWorld:
    """An OpenEnv environment for one attempt.

    Args:
        source: Address of an environment server; or a function that returns an OpenEnv `Environment` or a synchronous
            client, such as the class itself.

    Attributes:
        undecided: Why the attempt cannot be judged; None while it can.
    """

    def __init__(self, source: str | Callable[[], Any]) -> None:
        self.undecided: str | None = None
        self._source = source
        self._world: Any = None
        self._last: dict[str, Json] = {}
        self._rewards: list[float] = []
        self._steps = 0

    def open(self, task: Mapping[str, Json]) -> None:
        """Connect, reset the environment for a task, and make it the one that tools of this context act on.

        Args:
            task: The task's data; `openenv` holds the arguments of `reset`.

        Raises:
            EvaluationError: `openenv` is not a mapping.
            MissingExtra: The package openenv is not installed.
        """
        given = task.get("openenv") or {}
        if not isinstance(given, dict):
            raise EvaluationError(
                f'"openenv" of task {task.get("id")!r} is {str(given)[:80]!r}',
                "the arguments of reset, as a mapping",
                "edit the task",
            )
        self._world = open_source(self._source)
        self._keep(self._world.reset(**{"seed": _derive_seed(task.get("id")), **given}))
        current_world.set(self)

    def step(self, action: Any) -> dict[str, Json]:
        """Act on the environment and return its observation as plain data.

        Args:
            action: A mapping for a server, or an `Action` of the environment.

        Raises:
            EvaluationError: The environment is not open.
        """
        if self._world is None:
            raise EvaluationError("the OpenEnv environment is not open", "open(task) before a step")
        try:
            found = self._world.step(action)
        except Exception as problem:
            self.undecided = self.undecided or _describe_loss(problem)
            raise
        self._steps += 1
        return self._keep(found)

    @property
    def observation(self) -> dict[str, Json]:
        """Return the last observation."""
        return self._last

    @property
    def done(self) -> bool:
        """Return whether the environment said that the episode is over."""
        return bool(self._last.get("done"))

    def state(self) -> Json:
        """Return observation, rewards, steps and OpenEnv's state, without the id of the episode."""
        known = self._world.state
        world = to_plain(known() if callable(known) else known)
        if isinstance(world, dict):
            world.pop("episode_id", None)  # a new one in each attempt
        return {
            "observation": self._last,
            "reward": self._rewards[-1] if self._rewards else None,
            "rewards": sum(self._rewards),
            "done": self.done,
            "steps": self._steps,
            "world": world,
        }

    def close(self) -> None:
        """End the session."""
        world, self._world = self._world, None
        current_world.set(None)
        if world is not None:
            world.close()

    def _keep(self, result: Any) -> dict[str, Json]:
        """Keep a result of `reset` or `step`, of a client or of an environment."""
        observation = getattr(result, "observation", None)
        plain = to_plain(result if observation is None else observation)
        self._last = plain if isinstance(plain, dict) else {"value": plain}
        self._last["done"] = bool(result.done)
        if result.reward is not None:
            self._rewards.append(float(result.reward))
        return self._last


def list_openenv_tools(source: str | Callable[[], Any]) -> list[BaseTool]:
    """Return the tools of an OpenEnv environment for an agent; each acts on the environment of its attempt.

    Args:
        source: Address of an environment server, or a function that returns an `Environment` with tools.

    Raises:
        EvaluationError: The environment has no tools.
    """
    world = open_source(source)
    try:
        listed = world.step(make_action(source, {"type": "list_tools"}))
    except Exception as problem:
        raise EvaluationError(
            f"the OpenEnv environment {_name_source(source)} lists no tools: {str(problem)[:200]}",
            "an environment with tools",
            "write tools that call current_world.get().step(action)",
        ) from problem
    finally:
        world.close()
    observation = to_plain(getattr(listed, "observation", None) or listed)
    tools = observation.get("tools") if isinstance(observation, dict) else None
    return [_make_tool(source, tool) for tool in tools or [] if isinstance(tool, dict)]


def open_source(source: str | Callable[[], Any]) -> Any:
    """Return a connected synchronous client of a server, or the environment that a function makes.

    Args:
        source: The address or the function.
    """
    if not isinstance(source, str):
        return source()
    client = load_openenv("openenv.core.generic_client").GenericEnvClient(base_url=source).sync()
    client.connect()
    return client


def load_openenv(module: str) -> Any:
    """Import a module of the package openenv.

    Args:
        module: Its name.

    Raises:
        MissingExtra: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as problem:
        if (problem.name or "").partition(".")[0] != "openenv":
            raise
        raise MissingExtra(
            "the package openenv is not installed", "openenv 0.10 or newer", "pip install openenv"
        ) from problem


def make_action(source: str | Callable[[], Any], data: dict[str, Json]) -> Any:
    """Return an action on tools in the form that a source takes: data for a server, else OpenEnv's type.

    Args:
        source: The address or the function.
        data: The action as data.
    """
    if isinstance(source, str):
        return data
    serialization = load_openenv("openenv.core.env_server.serialization")
    types = load_openenv("openenv.core.env_server.types")
    return serialization.deserialize_action(data, types.Action)


def to_plain(value: Any) -> Json:
    """Return a pydantic model, a mapping or a plain value as JSON data.

    Args:
        value: The value.
    """
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return dict(cast("Mapping[str, Json]", value)) if isinstance(value, Mapping) else value


def _make_tool(source: str | Callable[[], Any], described: dict[str, Any]) -> BaseTool:
    name = str(described["name"])

    def call(**arguments: Any) -> Any:
        world = current_world.get()
        if world is None:
            raise EvaluationError(
                f"tool {name} has no open OpenEnv environment", "open(task) first"
            )
        action = {"type": "call_tool", "tool_name": name, "arguments": arguments}
        return _read_tool_result(world.step(make_action(source, action)))

    return StructuredTool.from_function(
        func=call,
        name=name,
        description=str(described.get("description") or name),
        args_schema=described.get("input_schema") or {"type": "object", "properties": {}},
        infer_schema=False,
        handle_tool_error=True,
    )


def _read_tool_result(observation: dict[str, Json]) -> Any:
    """Return what a tool answered: its data, or the texts of its content.

    Raises:
        ToolException: The tool failed.
    """
    error, result = observation.get("error"), observation.get("result")
    if isinstance(error, dict):
        raise ToolException(str(error.get("message") or error))
    if not isinstance(result, dict):
        return result
    content = result.get("content")
    blocks = content if isinstance(content, list) else []
    text = "\n".join(str(b["text"]) for b in blocks if isinstance(b, dict) and "text" in b)
    if result.get("is_error"):
        raise ToolException(text or str(result))
    return result["data"] if result.get("data") is not None else text or result


def _describe_loss(problem: Exception) -> str | None:
    """Return why an attempt cannot be judged after an error of a step; None if the action was refused."""
    refused = str(problem).startswith("Server error") and not any(
        code in str(problem) for code in _PROTOCOL_FAULTS
    )
    away = isinstance(problem, OSError | EOFError) or type(problem).__module__.startswith(
        "websockets"
    )
    if refused or not (away or str(problem).startswith("Server error")):
        return None
    return f"the OpenEnv environment was lost: {type(problem).__name__}: {str(problem)[:200]}"


def _derive_seed(task_id: Json) -> int:
    digest = hashlib.blake2b(str(task_id).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % 2**31


def _name_source(source: str | Callable[[], Any]) -> str:
    return source if isinstance(source, str) else getattr(source, "__name__", "of a function")
