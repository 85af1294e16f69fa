"""OpenEnv's environments serve agents of burnish, and agents of burnish are OpenEnv's environments."""

from __future__ import annotations

import json

import pytest
from openenv.core import GenericEnvClient
from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation
from websockets.exceptions import ConnectionClosed

from burnish.errors import EvaluationError
from burnish_trainer import collect
from burnish_trainer.evaluation import RunOptions
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.openenv.openenv_server import make_openenv_app
from burnish_trainer.openenv.openenv_world import OpenEnvWorld, list_openenv_tools

ORDERS = '''
from typing import Any

from fastmcp import FastMCP
from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.types import Observation, State


class Orders(MCPEnvironment):
    """A shop: cancel the order that the task names."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        server = FastMCP("orders")

        @server.tool
        def cancel_order(order: int) -> str:
            """Cancel an order."""
            if order == 13:
                raise ValueError("order 13 was shipped")
            self.cancelled.append(order)
            return f"cancelled {order}"

        super().__init__(server)
        self.cancelled, self.wanted, self.seed = [], 0, None

    def reset(self, seed=None, episode_id=None, order=0, **_: Any):
        self.cancelled, self.wanted, self.seed = [], order, seed
        self._state = State(episode_id=episode_id or str(id(object())))
        return Observation(done=False, metadata={"wanted": order})

    def _step_impl(self, action, timeout_s=None, **_: Any):
        raise ValueError(f"no {type(action).__name__} here")

    @property
    def state(self):
        return State(episode_id=self._state.episode_id, cancelled=self.cancelled, seed=self.seed)
'''
AGENT = """
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from burnish.testing import ScriptedChatModel
from burnish_trainer.openenv.openenv_world import OpenEnvWorld, list_openenv_tools
import settings_of_test as given

def world():
    return OpenEnvWorld(given.source())

def tasks(pool):
    wanted = {"heldout": (7, 13), "train": (7, 8, 13)}.get(pool, ())
    return [{"id": f"{pool}-{n}", "input": {"messages": [("user", f"Cancel {n}")]},
             "openenv": {"order": n}, "order": n} for n in wanted]

def answer(messages):
    number = int(messages[0].content.split()[-1])
    if messages[-1].type == "tool":
        return AIMessage("Done: " + str(messages[-1].content))
    call = {"name": "cancel_order", "args": {"order": number}, "id": "c1"}
    return AIMessage("", tool_calls=[call])

def build(model):
    scripted = ScriptedChatModel(script=[answer], repeat=True, model="clerk")
    return create_agent(scripted, tools=list_openenv_tools(given.source()))

def cancelled(trajectory, state):
    return int(trajectory.task_id.split("-")[-1]) in state["world"]["cancelled"]
"""
TOML = """
[agent.clerk]
build = "clerk:build"
base_model = "starter"
environment = "clerk:world"
tasks = "clerk:tasks"
verify = [{ goal_state = "clerk:cancelled" }]
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """An agent whose environment is an OpenEnv environment; gives the source to the modules."""

    def make(source):
        (tmp_path / "orders.py").write_text(ORDERS)
        (tmp_path / "clerk.py").write_text(AGENT)
        (tmp_path / "settings_of_test.py").write_text(source)
        (tmp_path / "burnish.toml").write_text(TOML)
        return load_agent("clerk", tmp_path / "burnish.toml")

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return make


@pytest.fixture
def orders(tmp_path, monkeypatch):
    (tmp_path / "orders.py").write_text(ORDERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    import importlib

    importlib.invalidate_caches()
    return importlib.import_module("orders").Orders


def serve_orders(serve, orders, sessions=8):
    app = create_fastapi_app(
        orders, CallToolAction, CallToolObservation, max_concurrent_envs=sessions
    )
    return serve(app)


def labels(subject):
    found = collect(subject, subject.tasks("heldout"), options=RunOptions(attempts=2))
    return {
        (one.task_id, one.attempt): (one.label, one.reason)
        for one in getattr(found, "results", found)
    }


def test_an_openenv_server_is_the_environment_of_attempts(serve, orders, shop):
    url = serve_orders(serve, orders)
    subject = shop(f"def source():\n    return {url!r}\n")

    found = labels(subject)

    assert {key: label for key, (label, _) in found.items()} == {
        ("heldout-7", 1): "success", ("heldout-7", 2): "success",
        ("heldout-13", 1): "fail", ("heldout-13", 2): "fail",
    }  # fmt: skip


def test_the_class_itself_is_the_environment_without_a_server(orders, shop):
    subject = shop("from orders import Orders\n\ndef source():\n    return Orders\n")
    assert {label for label, _ in labels(subject).values()} == {"success", "fail"}


def test_attempts_at_a_task_start_alike_and_tasks_do_not(orders):
    def first_state(task):
        world = OpenEnvWorld(orders)
        world.open(task)
        state = world.state()
        world.close()
        return state

    one = {"id": "a", "openenv": {"order": 7}}
    assert first_state(one) == first_state(one)
    assert first_state(one)["world"]["seed"] != first_state({**one, "id": "b"})["world"]["seed"]
    assert first_state({"id": "a", "openenv": {"seed": 5}})["world"]["seed"] == 5


def test_a_lost_server_decides_nothing(serve, orders):
    world = OpenEnvWorld(serve_orders(serve, orders))
    world.open({"id": "t"})
    serve.stop()
    with pytest.raises((OSError, ConnectionClosed)):
        world.step({"type": "call_tool", "tool_name": "cancel_order", "arguments": {"order": 1}})
    assert world.undecided.startswith("the OpenEnv environment was lost")
    world.close()


def test_an_action_that_the_environment_refuses_is_the_agents_own(serve, orders):
    world = OpenEnvWorld(serve_orders(serve, orders))
    world.open({"id": "t"})
    with pytest.raises(RuntimeError, match="Server error"):
        world.step({"move": "sideways"})
    assert world.undecided is None
    world.close()


def test_a_server_without_room_opens_nothing(serve, orders):
    url = serve_orders(serve, orders, sessions=1)
    first, second = OpenEnvWorld(url), OpenEnvWorld(url)
    first.open({"id": "t"})
    with pytest.raises(RuntimeError, match="CAPACITY_REACHED"):
        second.open({"id": "t"})
    first.close()
    second.close()


def test_arguments_of_reset_are_a_mapping(orders):
    with pytest.raises(EvaluationError, match="is '7'"):
        OpenEnvWorld(orders).open({"id": "t", "openenv": "7"})


def test_a_client_of_openenv_plays_tasks_of_an_agent_and_gets_its_verdicts(serve, orders, shop):
    subject = shop("from orders import Orders\n\ndef source():\n    return Orders\n")
    url = serve(make_openenv_app(subject, list_openenv_tools(orders)))

    def play(index, order):
        with GenericEnvClient(base_url=url).sync() as client:
            start = client.reset(split="train", index=index)
            assert [tool["name"] for tool in start.observation["tools"]] == ["cancel_order"]
            call = {"type": "call_tool", "tool_name": "cancel_order", "arguments": {"order": order}}
            called = client.step(call)
            assert not called.done
            state = client.state()
            end = client.step({"type": "answer", "answer": "Done"})
        assert end.done
        return start.observation["request"], called.observation, state, end

    request, called, state, end = play(0, 7)
    assert request == {"messages": [["user", "Cancel 7"]]}
    assert called["result"] == "cancelled 7"
    assert state["world"]["world"]["cancelled"] == [7]
    assert (end.reward, end.observation["verdict"]) == (1.0, "success")
    assert play(1, 9)[-1].reward == 0.0


def test_errors_of_tools_are_told_and_the_episode_goes_on(serve, orders, shop):
    subject = shop("from orders import Orders\n\ndef source():\n    return Orders\n")
    url = serve(make_openenv_app(subject, list_openenv_tools(orders)))
    with GenericEnvClient(base_url=url).sync() as client:
        client.reset(split="train", index=0)
        unknown = client.step({"type": "call_tool", "tool_name": "fly", "arguments": {}})
        assert unknown.observation["error"]["error_type"] == "tool_not_found"
        listed = client.step({"type": "list_tools"})
        assert listed.observation["tools"][0]["name"] == "cancel_order"
        with pytest.raises(RuntimeError, match="index below 3"):
            client.reset(split="train", index=3)


def test_held_out_tasks_are_served_only_if_they_are_named(serve, orders, shop):
    import httpx

    subject = shop("from orders import Orders\n\ndef source():\n    return Orders\n")
    tools = list_openenv_tools(orders)
    url = serve(make_openenv_app(subject, tools))
    assert httpx.get(f"{url}/clerk/splits").json() == [{"name": "train", "type": "train"}]
    count = httpx.post(f"{url}/clerk/num_tasks", json={"split": "train"}).json()
    assert count == {"num_tasks": 3}
    client = GenericEnvClient(base_url=url).sync()
    with client, pytest.raises(RuntimeError, match="split 'heldout'; expected one of train"):
        client.reset(split="heldout", index=0)


def test_each_session_has_an_environment_of_its_own(serve, orders, shop):
    subject = shop("from orders import Orders\n\ndef source():\n    return Orders\n")
    url = serve(make_openenv_app(subject, list_openenv_tools(orders)))
    call = {"type": "call_tool", "tool_name": "cancel_order", "arguments": {"order": 8}}
    with GenericEnvClient(base_url=url).sync() as one, GenericEnvClient(base_url=url).sync() as two:
        one.reset(split="train", index=1)
        two.reset(split="train", index=1)
        one.step(call)
        ends = [json.loads(json.dumps(c.step({"type": "answer"}).reward)) for c in (one, two)]
    assert ends == [1.0, 0.0]
