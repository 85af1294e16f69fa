"""A runnable that defines its own `invoke` is captured completely, and its config stays unchanged."""

import asyncio
import pickle

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import (
    ConfigurableField,
    RouterRunnable,
    Runnable,
    RunnableLambda,
)

import burnish
from burnish.capture import faults
from burnish.capture.api.custom_runnables import is_handwritten
from burnish.journal.events import ModelStarted, RunEnded, RunStarted
from burnish.testing import ScriptedChatModel


def model():
    return ScriptedChatModel(script=["hello"], repeat=True)


class Ids(BaseCallbackHandler):
    def __init__(self):
        self.seen = []

    def on_chat_model_start(self, *given, run_id, **about):
        self.seen.append(run_id)


class Plain(Runnable):
    def invoke(self, input, config=None, **kwargs):  # noqa: A002
        return [model().invoke(input).content, model().invoke("again").content]


class Passing(Runnable):
    def invoke(self, input, config=None, **kwargs):  # noqa: A002
        return [model().invoke(input, config).content, model().invoke("again", config).content]


class Streaming(Passing):
    def stream(self, input, config=None, **kwargs):  # noqa: A002
        for question in (input, "again"):
            yield model().invoke(question, config).content

    async def astream(self, input, config=None, **kwargs):  # noqa: A002
        for question in (input, "again"):
            yield (await model().ainvoke(question, config)).content

    async def ainvoke(self, input, config=None, **kwargs):  # noqa: A002
        return [text async for text in self.astream(input, config)]


class OnlyInvoke:
    """An object with `invoke` that is not a LangChain runnable."""

    def invoke(self, question):
        return [model().invoke(question).content, model().invoke("again").content]


class Refusing(Runnable):
    def invoke(self, input, config=None, **kwargs):  # noqa: A002
        model().invoke(input, config)
        raise LookupError("gone")


async def drain(stream):
    return [item async for item in stream]


WAYS = {
    "invoke": lambda agent, config: agent.invoke("hi", config),
    "ainvoke": lambda agent, config: asyncio.run(agent.ainvoke("hi", config)),
    "stream": lambda agent, config: list(agent.stream("hi", config)),
    "astream": lambda agent, config: asyncio.run(drain(agent.astream("hi", config))),
    "batch": lambda agent, config: agent.batch(["hi"], config),
    "abatch": lambda agent, config: asyncio.run(agent.abatch(["hi"], config)),
    "keywords": lambda agent, config: agent.invoke(input="hi", config=config),
}


def of(kind, journal):
    return [event for event in journal.events if isinstance(event, kind)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [Plain, Passing, Streaming])
def test_each_call_inside_belongs_to_one_run_under_an_id_of_its_own(journal, kind, way):
    one, two = Ids(), Ids()
    bare = WAYS[way](kind(), {"callbacks": [one]})
    wrapped = WAYS[way](burnish.wrap(kind(), agent="a"), {"callbacks": [two]})

    assert wrapped == bare
    assert len(set(two.seen)) == len(set(one.seen))
    assert len(of(RunStarted, journal)) == 1
    assert len(of(ModelStarted, journal)) == 2
    assert [event.status for event in of(RunEnded, journal)] == ["completed"]
    assert faults.counts().keys() <= {"ignored_runs"}


def test_events_of_its_models_are_all_streamed(journal):
    def names(agent):
        stream = agent.astream_events("hi", version="v2")
        return [event["event"] for event in asyncio.run(drain(stream)) if "model" in event["event"]]

    assert names(burnish.wrap(Passing(), agent="a")) == names(Passing())


@pytest.mark.parametrize(
    "made",
    [
        lambda: Passing().with_config(tags=["x"]),
        lambda: Passing().bind(),
        lambda: Passing().with_retry(),
        lambda: Passing().with_config(tags=["x"]).bind(),
    ],
)
def test_bindings_of_it_are_captured_alike(journal, made):
    ids = Ids()
    agent = burnish.wrap(made(), agent="a")
    assert agent.invoke("hi", {"callbacks": [ids]}) == ["hello", "hello"]

    assert len(set(ids.seen)) == 2
    assert len(of(ModelStarted, journal)) == 2
    assert len(of(RunStarted, journal)) == 1


def test_an_alternative_written_by_hand_beside_a_chain_is_captured_alike(journal):
    ids = Ids()
    chain = RunnableLambda(lambda text: text) | model()
    made = chain.configurable_alternatives(ConfigurableField(id="kind"), own=Passing())
    agent = burnish.wrap(made, agent="a")
    agent.invoke("hi", {"callbacks": [ids], "configurable": {"kind": "own"}})
    agent.invoke("hi")

    assert len(set(ids.seen)) == 2
    assert len(of(ModelStarted, journal)) == 3
    assert [event.status for event in of(RunEnded, journal)] == ["completed", "completed"]


def test_a_router_hands_its_config_on(journal):
    ids = Ids()
    agent = burnish.wrap(RouterRunnable(runnables={"own": Passing()}), agent="a")
    agent.invoke({"key": "own", "input": "hi"}, {"callbacks": [ids]})

    assert len(set(ids.seen)) == 2
    assert len(of(ModelStarted, journal)) == 2


def test_an_object_that_only_has_an_invoke_is_called_as_it_is(journal):
    assert burnish.wrap(OnlyInvoke(), agent="a").invoke("hi") == ["hello", "hello"]
    assert len(of(ModelStarted, journal)) == 2


def test_its_thread_tags_and_failure_are_recorded(journal):
    agent = burnish.wrap(Refusing(), agent="a")
    with pytest.raises(LookupError, match="gone"):
        agent.invoke("hi", {"configurable": {"thread_id": "t"}, "tags": ["vip"]})

    (started,), (ended,) = of(RunStarted, journal), of(RunEnded, journal)
    assert (started.thread_id, started.tags) == ("t", ["vip"])
    assert (ended.status, ended.error_type) == ("failed", "LookupError")


def test_inside_another_agent_it_is_a_part_of_its_run(journal):
    inner = burnish.wrap(Passing(), agent="inner")
    outer = burnish.wrap(RunnableLambda(inner.invoke), agent="o")
    outer.invoke("hi")

    assert len(of(RunStarted, journal)) == 1
    assert [event.speaker for event in of(ModelStarted, journal)] == ["inner", "inner"]


def test_it_survives_a_pickle(journal):
    again = pickle.loads(pickle.dumps(burnish.wrap(Passing(), agent="a")))
    again.invoke("hi")

    assert len(of(ModelStarted, journal)) == 2


def test_what_langchain_makes_is_not_written_by_hand():
    chain = RunnableLambda(lambda text: text) | model()
    assert not any(
        map(is_handwritten, (chain, model(), model().bind(stop=["x"]), chain.with_retry()))
    )
