"""Both example agents on the bundled model: in this process, and behind an OpenAI-compatible address."""

import agent
import graph
import pytest
from langchain_core.messages import AIMessage, ToolMessage
from tasks import task_of, tasks

from burnish.serving import EmbeddedChat
from burnish_trainer.starter.demonstrations import right_way

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
BUILDS = {"create_agent": agent.build, "hand-made graph": graph.build}
TASKS = [task["id"] for task in tasks("capability", 6)]


@pytest.fixture(scope="module")
def remote():
    """A chat model of another library, against `burnish serve` on loopback."""
    from langchain_openai import ChatOpenAI

    from burnish.serving.http.server import make_app, running

    with running(make_app("starter", token="of-the-test")) as address:
        yield ChatOpenAI(
            base_url=f"{address}/v1", api_key="of-the-test", model="starter", temperature=0
        )


def asked(build, model, task_id, world):
    """Return the agent's answer to one task, and its calls with their results."""
    world.open(task_of(task_id))
    messages = build(model).invoke(task_of(task_id)["input"])["messages"]
    calls = [
        (c["name"], c["args"]) for m in messages if isinstance(m, AIMessage) for c in m.tool_calls
    ]
    results = [m.text for m in messages if isinstance(m, ToolMessage)]
    assert len(results) == len(calls)
    return messages[-1].text, calls, results, world.state()


@pytest.mark.parametrize("name", BUILDS)
def test_the_bundled_model_answers_in_the_agent(name, world):
    model = EmbeddedChat(base_model="starter")

    right = 0
    for task_id in TASKS:
        answer, calls, *_ = asked(BUILDS[name], model, task_id, world)
        way = right_way(task_of(task_id))
        right += (answer, calls) == (way.answer, list(way.calls))

    assert right >= len(TASKS) - 1  # clean questions at the desks that it knows well


@pytest.mark.parametrize("name", BUILDS)
def test_an_openai_client_gets_what_the_embedded_model_says(name, remote, world):
    embedded = EmbeddedChat(base_model="starter")

    for task_id in TASKS:
        said = asked(BUILDS[name], remote, task_id, world)
        assert said == asked(BUILDS[name], embedded, task_id, world)
