"""Serve an agent's tasks, environment and verifiers as an OpenEnv environment, for trainers that speak OpenEnv.

    # server.py
    from agent import tools
    from burnish_trainer.openenv.openenv_server import make_openenv_app

    app = make_openenv_app("support", tools)   # uvicorn server:app

`reset(split=, index=)` opens a task and returns its request and the tools; `call_tool` runs a tool of the agent inside
the open environment; `answer` ends the episode, and its reward is the verdict of the agent's verifiers: 1, 0, or none if
they cannot decide. Verifiers run in the server's own process. Splits are the pools of tasks. Only `train` is served unless others are named: a trainer must not see
what adapters are measured on.

Needs the package `openenv`, which burnish does not install.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import time
import types
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Literal

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from burnish.errors import EvaluationError
from burnish.protocols import traits_of
from burnish.records import Json, Task, ToolRun, Trajectory
from burnish_trainer.evaluation.agent_project import AgentProject, load_agent
from burnish_trainer.openenv.openenv_world import load_openenv, to_plain

_SPLIT_TYPES = {"train": "train", "heldout": "test"}


class ServedAgent:
    """The episodes of one session: a task, its environment, and the verdict about its answer.

    Args:
        subject: The agent.
        tools: Its tools.
        pools: Pools whose tasks are served.
        models: OpenEnv's types, and the types of this agent's actions and observations.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(
        self,
        subject: AgentProject,
        tools: Sequence[BaseTool],
        pools: Sequence[str],
        models: types.SimpleNamespace,
    ) -> None:
        self.transform = self.rubric = None  # what OpenEnv's own base class sets
        self._subject, self._pools, self._models = subject, pools, models
        self._tools = {tool.name: tool for tool in tools}
        self._world: Any = None
        self._context = contextvars.Context()
        self._task: Task | None = None
        self._episode = ""
        self._started_ns = 0
        self._runs: list[ToolRun] = []

    def list_splits(self) -> list[dict[str, str]]:
        """Return the served pools."""
        return [{"name": p, "type": _SPLIT_TYPES.get(p, "validation")} for p in self._pools]

    def num_tasks(self, split: str) -> int:
        """Return the number of tasks of a pool."""
        return len(self._tasks(split))

    def get_task(self, split: str, index: int) -> dict[str, Json]:
        """Return the id, request and kind of a task."""
        task = self._tasks(split)[index]
        return {"id": task.id, "index": index, "input": task.input, "kind": task.kind}

    def list_tasks(self, split: str) -> list[dict[str, Json]]:
        """Return all tasks of a pool."""
        return [self.get_task(split, index) for index in range(self.num_tasks(split))]

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        split: str | None = None,
        index: int | None = None,
        **_: Any,
    ) -> Any:
        """Open a task: the named one, or one that the seed chooses."""
        self.close()
        pool = split or self._pools[0]
        tasks = self._tasks(pool)
        place = (seed or 0) % len(tasks) if index is None else index
        if not 0 <= place < len(tasks):
            raise EvaluationError(
                f"task {place} of {pool}", f"an index below {len(tasks)}", "ask for num_tasks"
            )
        self._task = task = tasks[place]
        self._episode = episode_id or uuid.uuid4().hex
        self._started_ns, self._runs = time.time_ns(), []
        self._context = contextvars.copy_context()
        world = self._subject.open_environment()
        if world is not None:
            self._context.run(_call, world.open, dict(task.data))
            self._world = world
        described = [convert_to_openai_tool(tool)["function"] for tool in self._tools.values()]
        return self._models.task_observation(task_id=task.id, request=task.input, tools=described)

    def step(self, action: Any, timeout_s: float | None = None, **_: Any) -> Any:
        """Run a tool, list the tools, or end the episode with an answer."""
        del timeout_s
        if self._task is None:
            raise EvaluationError("a step before reset", "reset(split=..., index=...) first")
        if action.type == "list_tools":
            return self._models.list_observation(tools=self._describe_tools())
        if action.type == "call_tool":
            return self._call_tool(action.tool_name, dict(action.arguments or {}))
        return self._end_episode(self._task, action.answer)

    @property
    def state(self) -> Any:
        """Return the episode: its task, steps and the environment's state."""
        return self._models.state(
            episode_id=self._episode or None,
            step_count=len(self._runs),
            task_id=self._task.id if self._task else None,
            world=self._read_world(),
        )

    def close(self) -> None:
        """Close the environment of the open task."""
        world, self._world, self._task = self._world, None, None
        if world is not None:
            self._context.run(_call, world.close)

    def _tasks(self, pool: str) -> list[Task]:
        if pool not in self._pools:
            raise EvaluationError(f"split {pool!r}", f"one of {', '.join(self._pools)}")
        tasks = self._subject.tasks(pool)
        if not tasks:
            raise EvaluationError(f"no {pool} tasks", "tasks to serve", "burnish tasks list")
        return tasks

    def _describe_tools(self) -> list[Any]:
        told = [convert_to_openai_tool(tool)["function"] for tool in self._tools.values()]
        return [
            self._models.tool(
                name=one["name"],
                description=one.get("description", ""),
                input_schema=one["parameters"],
            )
            for one in told
        ]

    def _call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
        tool = self._tools.get(name)
        begin, result, error = time.time_ns(), None, None
        if tool is None:
            error = ("tool_not_found", f"no tool {name!r}; there are {', '.join(self._tools)}")
        else:
            try:
                result = to_plain(self._context.run(_invoke, tool, arguments))
            except Exception as problem:  # noqa: BLE001 - the agent sees what its call caused
                error = ("execution_error", f"{type(problem).__name__}: {str(problem)[:500]}")
        self._runs.append(
            ToolRun(
                span_id=f"{len(self._runs):016x}", parent_id=None, name=name, arguments=arguments,
                result=error[1] if error else result, is_error=error is not None,
                started_ns=begin, ended_ns=time.time_ns(),
            )
        )  # fmt: skip
        told = self._models.tool_error(error_type=error[0], message=error[1]) if error else None
        return self._models.call_observation(tool_name=name, result=result, error=told)

    def _end_episode(self, task: Task, answer: str) -> Any:
        """Verify the episode and close its environment."""
        from burnish_exporters.verify import PoolSettings, combine
        from burnish_exporters.verify.running.pool import judge_all

        run = Trajectory(
            id=uuid.uuid4().hex, agent=self._subject.name, status="completed", task_id=task.id,
            source="rollout", started_ns=self._started_ns, ended_ns=time.time_ns(),
            input=task.input, answer=answer, final_state=self._read_world(), tool_runs=self._runs,
        )  # fmt: skip
        self.close()
        verifiers = self._subject.proof_verifiers
        (_, verdicts), *_ = judge_all(verifiers, [run], PoolSettings(reuse=False, in_process=True))
        verdict = combine(verdicts, [traits_of(verifier).kind for verifier in verifiers])
        return self._models.end_observation(
            done=True,
            reward={"success": 1.0, "fail": 0.0}.get(verdict.label),
            verdict=verdict.label,
            evidence=dict(verdict.evidence or {}),
        )

    def _read_world(self) -> Json:
        return self._context.run(self._world.state) if self._world is not None else None


def make_openenv_app(
    agent: str | AgentProject,
    tools: Sequence[BaseTool],
    *,
    pools: Sequence[str] = ("train",),
    most_sessions: int = 16,
) -> Any:
    """Return the FastAPI application of an OpenEnv server for an agent.

    Args:
        agent: Name of the agent in burnish.toml.
        tools: The tools that its graph has.
        pools: Pools of tasks to serve; served held-out tasks can no longer prove an adapter.
        most_sessions: Sessions at once, each with an environment of its own.

    Raises:
        MissingExtra: The package openenv is not installed.
        UnknownAgent: burnish.toml declares no such agent.
    """
    subject, models = load_agent(agent), _make_models()
    base = load_openenv("openenv.core.env_server.interfaces").Environment
    served = types.new_class("BurnishEnvironment", (ServedAgent, base))
    return load_openenv("openenv.core.env_server.http_server").create_fastapi_app(
        lambda: served(subject, tools, tuple(pools), models),
        models.action,
        models.end_observation,
        max_concurrent_envs=most_sessions,
        env_name=subject.name,
        state_cls=models.state,
        reset_observation_cls=models.task_observation,
    )


def _make_models() -> types.SimpleNamespace:
    """Return OpenEnv's types, and those of burnish's actions and observations."""
    from pydantic import create_model

    kinds = load_openenv("openenv.core.env_server.types")
    mcp = load_openenv("openenv.core.env_server.mcp_types")
    acts = Literal["call_tool", "list_tools", "answer"]
    return types.SimpleNamespace(
        state=kinds.State,
        tool=mcp.Tool,
        tool_error=mcp.ToolError,
        call_observation=mcp.CallToolObservation,
        list_observation=mcp.ListToolsObservation,
        action=create_model(
            "BurnishAction",
            __base__=kinds.Action,
            type=(acts, "answer"),
            tool_name=(str, ""),
            arguments=(dict[str, Any], {}),
            answer=(str, ""),
        ),
        task_observation=create_model(
            "TaskObservation",
            __base__=kinds.Observation,
            task_id=(str, ...),
            request=(Any, None),
            tools=(list[dict[str, Any]], []),
        ),
        end_observation=create_model(
            "EndObservation",
            __base__=kinds.Observation,
            verdict=(str, "unknown"),
            evidence=(dict[str, Any], {}),
        ),
    )


def _invoke(tool: BaseTool, arguments: dict[str, Any]) -> Any:
    if getattr(tool, "func", None) is None and getattr(tool, "coroutine", None) is not None:
        return asyncio.run(tool.ainvoke(arguments))
    return tool.invoke(arguments)


def _call(method: Callable[..., Any], *args: Any) -> None:
    if inspect.iscoroutinefunction(method):
        asyncio.run(method(*args))
    else:
        method(*args)
