"""Both example agents run from end to end, and send exactly the messages on which the starter was trained."""

import agent
import graph
import pytest
from langchain_core.messages import AIMessage, ToolMessage
from tasks import task_of, tasks

from burnish_trainer.starter import weights_path
from burnish_trainer.starter.demonstrations import conversation, right_way, tool_schemas

CHOSEN = [task["id"] for pool in ("heldout", "capability") for task in tasks(pool, 12)]
BUILDS = [agent.build, graph.build]


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(weights_path())


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("task_id", CHOSEN)
def test_the_agent_does_what_its_model_decides(build, task_id, scripted, world):
    task = task_of(task_id)
    way = right_way(task)
    world.open(task)
    messages = build(scripted(way)).invoke(task["input"])["messages"]
    assert messages[-1].text == way.answer
    calls = [
        (c["name"], c["args"]) for m in messages if isinstance(m, AIMessage) for c in m.tool_calls
    ]
    assert calls == list(way.calls)
    acted = [item["id"] for item in world.state()["items"] if item["done"]]
    assert bool(acted) == (way.answer == "Done: ok")


@pytest.mark.parametrize("build", BUILDS)
async def test_the_agent_runs_in_asyncio_too(build, scripted, world):
    task = task_of("heldout-0-002")
    world.open(task)
    state = await build(scripted(right_way(task))).ainvoke(task["input"])
    assert state["messages"][-1].text == right_way(task).answer


@pytest.mark.parametrize("build", BUILDS)
def test_a_name_that_is_not_on_file_comes_back_as_a_tool_error(build, scripted, world):
    task = task_of("heldout-0-004")
    world.open(task)
    messages = build(scripted(right_way(task))).invoke(task["input"])["messages"]
    results = [(m.status, m.content) for m in messages if isinstance(m, ToolMessage)]
    assert results[0] == ("error", "not found")
    assert results[1][0] == "success"


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("task_id", CHOSEN)
def test_the_starter_was_shown_what_the_agent_sends(build, task_id, scripted, world, tokenizer):
    task = task_of(task_id)
    way = right_way(task)
    model = scripted(way)
    world.open(task)
    build(model).invoke(task["input"])
    sent, tools = model.requests[-1]
    shown = conversation(task, way)
    assert tools == tool_schemas(task["desk"])
    assert tokens(tokenizer, sent, tools, add_generation_prompt=True) == tokens(
        tokenizer, shown[:-1], tools, add_generation_prompt=True
    )


def tokens(tokenizer, messages, tools, **settings):
    rendered = tokenizer.apply_chat_template(messages, tools=tools, return_dict=True, **settings)
    return rendered["input_ids"]


def test_one_environment_variable_chooses_the_endpoint(monkeypatch):
    from model import chosen_model

    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert str(chosen_model().openai_api_base) == "http://127.0.0.1:9/v1"
