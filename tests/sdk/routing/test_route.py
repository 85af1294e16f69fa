"""A routed model is the user's model whose every call follows the pointer."""

import asyncio
import pickle

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from burnish.adapters import SqlControlStore
from burnish.canary.assignment import assign
from burnish.canary.router import Router
from burnish.errors import CaptureError, ServingError
from burnish.langchain.routing import is_routed, route

STABLE = {"backend": "embedded", "base_model": "m", "adapter": "support@" + "a" * 12}
CANARY = {"backend": "embedded", "base_model": "m", "adapter": "support@" + "b" * 12}


class EchoChat(BaseChatModel):
    """Answers with its name and its tools; accepts an adapter as the engine does."""

    base_model: str = "m"
    adapter: str | None = None

    @property
    def _llm_type(self):
        return "echo"

    def bind_tools(self, tools, **kwargs):
        return self.bind(tools=[tool["name"] for tool in tools], **kwargs)

    def _text(self, given):
        version = given.get("adapter", self.adapter)
        return f"{version} {sorted(given.get('tools') or ())}"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        answered = kwargs.get("adapter", self.adapter)
        message = AIMessage(
            content=self._text(kwargs), response_metadata={"burnish": {"adapter": answered}}
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        for word in self._text(kwargs).split():
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        own = {"adapter": kwargs.get("adapter", self.adapter), "token_ids": [1, 2]}
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", response_metadata={"burnish": own})
        )


class SyncOnlyChat(EchoChat):
    """A model without its own stream."""

    _stream = BaseChatModel._stream


@pytest.fixture
def point(tmp_path):
    """Sets the pointer of the agent."""
    store = SqlControlStore(tmp_path)

    def set_pointer(**document):
        _, version = store.read("support")
        store.write("support", document, expected_version=version)

    return set_pointer


def on_thread(thread):
    return {"configurable": {"thread_id": thread}}


def burnish_of(message):
    return message.response_metadata["burnish"]


def test_without_a_pointer_the_users_own_model_answers(tmp_path):
    model = route(EchoChat(), agent="support", home=tmp_path)

    answer = model.invoke("hi", on_thread("t"))

    assert answer.content == "None []"
    assert burnish_of(answer) == {"adapter": None, "arm": "stable"}


def test_a_routed_model_is_still_an_instance_of_the_users_class(tmp_path):
    given = EchoChat(adapter="x")
    model = route(given, agent="support", home=tmp_path)

    assert isinstance(model, EchoChat)
    assert type(model).__name__ == "EchoChat"
    assert is_routed(model)
    assert not is_routed(given)
    assert model.adapter == "x"


def test_each_call_follows_the_pointer_of_its_moment(tmp_path, point):
    model = route(EchoChat(), agent="support", home=tmp_path)
    seen = []
    for target in (STABLE, CANARY, STABLE):
        point(stable=target)
        seen.append(model.invoke("hi").content.split()[0])

    assert seen == [STABLE["adapter"], CANARY["adapter"], STABLE["adapter"]]


def test_threads_are_split_by_the_hash_and_stay_where_they_are(tmp_path, point):
    point(stable=STABLE, canary=CANARY, share=0.5, salt="s1")
    model = route(EchoChat(), agent="support", home=tmp_path)

    for thread in map(str, range(40)):
        arm = "canary" if assign(thread, "s1", 0.5) else "stable"
        adapter = (CANARY if arm == "canary" else STABLE)["adapter"]
        for _ in range(2):
            answer = model.invoke("hi", on_thread(thread))
            assert answer.content.startswith(adapter)
            stamp = {"adapter": adapter, "arm": arm, "rollout": "s1", "share": 0.5}
            assert burnish_of(answer) == stamp


def test_a_growing_share_does_not_move_a_thread_that_has_begun(tmp_path, point):
    point(stable=STABLE, canary=CANARY, share=0.1, salt="s1")
    model = route(EchoChat(), agent="support", home=tmp_path)
    late = next(t for t in map(str, range(99)) if 0.1 < place(t) < 0.5)
    fresh = next(t for t in map(str, range(99)) if 0.1 < place(t) < 0.5 and t != late)
    model.invoke("hi", on_thread(late))

    point(stable=STABLE, canary=CANARY, share=0.5, salt="s1")

    assert burnish_of(model.invoke("hi", on_thread(late)))["arm"] == "stable"
    assert burnish_of(model.invoke("hi", on_thread(fresh)))["arm"] == "canary"


def place(thread):
    from burnish.canary.assignment import draw_position

    return draw_position(thread, "s1")


def test_after_a_rollback_the_next_call_of_every_thread_is_stable(tmp_path, point):
    point(stable=STABLE, canary=CANARY, share=1.0, salt="s1")
    model = route(EchoChat(), agent="support", home=tmp_path)
    assert burnish_of(model.invoke("hi", on_thread("t")))["arm"] == "canary"

    point(stable=STABLE, canary=None, share=0.0, salt="s1")

    assert burnish_of(model.invoke("hi", on_thread("t"))) == {
        "adapter": STABLE["adapter"],
        "arm": "stable",
    }


def test_after_a_promotion_a_call_says_whether_its_thread_is_held_back(tmp_path, point):
    point(stable=CANARY, previous=STABLE, holdback=0.4, salt="s1")
    model = route(EchoChat(), agent="support", home=tmp_path)

    for thread in map(str, range(20)):
        held = place(thread) >= 0.6
        assert burnish_of(model.invoke("hi", on_thread(thread))) == {
            "adapter": (STABLE if held else CANARY)["adapter"],
            "arm": "holdback" if held else "stable",
            "rollout": "s1",
            "share": 0.6,
        }


def test_a_call_without_a_thread_is_stable_and_counted(tmp_path, point):
    point(stable=STABLE, canary=CANARY, share=1.0, salt="s1")
    model = route(EchoChat(), agent="support", home=tmp_path)

    assert burnish_of(model.invoke("hi"))["arm"] == "stable"
    assert Router.shared(tmp_path, "support").counts["no_thread"] == 1


def test_a_stream_that_has_begun_keeps_its_version(tmp_path, point):
    point(stable=STABLE, canary=CANARY, share=1.0, salt="s1")
    model = route(EchoChat(), agent="support", home=tmp_path)
    stream = model.stream("hi", on_thread("t"))
    whole = next(stream)

    point(stable=STABLE)
    for chunk in stream:
        whole += chunk

    assert whole.content == CANARY["adapter"] + "[]"
    assert burnish_of(whole) == {
        "adapter": CANARY["adapter"],
        "arm": "canary",
        "rollout": "s1",
        "share": 1.0,
        "token_ids": [1, 2],
    }


async def test_all_paths_of_generation_are_routed_and_stamped_alike(tmp_path, point):
    point(stable=STABLE, canary=CANARY, share=1.0, salt="s1")
    model = route(EchoChat(), agent="support", home=tmp_path)
    tool = {"name": "look_up"}
    config = on_thread("t")

    streamed = None
    async for chunk in model.astream("hi", config):
        streamed = chunk if streamed is None else streamed + chunk
    answers = [
        model.invoke("hi", config),
        await model.ainvoke("hi", config),
        model.batch(["hi"], config)[0],
        (await model.abatch(["hi"], config))[0],
        streamed,
        model.bind_tools([tool]).invoke("hi", config),
        model.with_retry().invoke("hi", config),
        model.with_fallbacks([EchoChat()]).invoke("hi", config),
    ]

    assert {answer.content.split("[")[0].strip() for answer in answers} == {CANARY["adapter"]}
    assert {burnish_of(answer)["adapter"] for answer in answers} == {CANARY["adapter"]}
    assert {burnish_of(answer)["arm"] for answer in answers} == {"canary"}
    assert answers[5].content.endswith("['look_up']")


async def test_a_model_that_only_knows_whole_answers_is_routed_once_a_call(tmp_path, point):
    point(stable=STABLE, canary=CANARY, share=1.0, salt="s1")
    model = route(SyncOnlyChat(), agent="support", home=tmp_path)

    answers = [
        await model.ainvoke("hi", on_thread("t")),
        *[chunk async for chunk in model.astream("hi", on_thread("t"))],
        *model.stream("hi", on_thread("t")),
    ]

    assert {burnish_of(a)["adapter"] for a in answers if a.content} == {CANARY["adapter"]}
    assert Router.shared(tmp_path, "support").counts["canary"] == 3


def test_an_answer_of_another_version_than_the_one_asked_for_is_an_error(tmp_path, point):
    point(stable=STABLE)
    model = route(WrongVersion(), agent="support", home=tmp_path)

    with pytest.raises(
        ServingError, match=rf"answered as 'the-base'; expected adapter {STABLE['adapter']}"
    ):
        model.invoke("hi")


class WrongVersion(EchoChat):
    """A server that answers with any version that it has."""

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        message = AIMessage(content="x", response_metadata={"model_name": "the-base"})
        return ChatResult(generations=[ChatGeneration(message=message)])


def test_the_answer_cache_keeps_versions_apart(tmp_path, point):
    model = route(EchoChat(cache=InMemoryCache()), agent="support", home=tmp_path)
    seen = []
    for target in (STABLE, CANARY, STABLE):
        point(stable=target)
        seen.append(model.invoke("hi").content.split()[0])

    assert seen == [STABLE["adapter"], CANARY["adapter"], STABLE["adapter"]]


def test_changes_to_a_routed_model_and_its_copies_take_effect(tmp_path, point):
    model = route(EchoChat(), agent="support", home=tmp_path)
    model.adapter = "mine"

    assert model.invoke("hi").content == "mine []"
    assert model.model_copy(update={"adapter": "other"}).invoke("hi").content == "other []"


def test_a_routed_model_survives_pickling(tmp_path, point):
    point(stable=STABLE)
    model = pickle.loads(pickle.dumps(route(EchoChat(), agent="support", home=tmp_path)))

    assert isinstance(model, EchoChat)
    assert model.invoke("hi").content.startswith(STABLE["adapter"])


def test_routing_twice_is_harmless(tmp_path, point):
    point(stable=STABLE)
    once = route(EchoChat(), agent="other", home=tmp_path)
    twice = route(once, agent="support", home=tmp_path)

    assert type(twice).__bases__ == type(once).__bases__ == (EchoChat,)
    assert twice.invoke("hi").content.startswith(STABLE["adapter"])
    assert once.invoke("hi").content.startswith("None")


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda model: model.bind(stop=["x"]),
        lambda model: model.bind_tools([{"name": "t"}]),
        lambda model: model.with_retry(),
        lambda model: model.with_fallbacks([EchoChat()]),
        lambda model: model.bind(stop=["x"]).with_retry(),
        lambda model: model.configurable_alternatives(__field("llm"), other=EchoChat()),
    ],
)
def test_what_only_holds_a_model_is_refused_with_the_name_of_the_inner_one(tmp_path, wrapped):
    with pytest.raises(CaptureError, match=r"the chat model inside it, EchoChat.*burnish\.route\("):
        route(wrapped(EchoChat()), agent="support", home=tmp_path)


def __field(name):
    from langchain_core.runnables import ConfigurableField

    return ConfigurableField(id=name)


def test_a_configurable_model_is_refused_with_the_model_it_would_make(tmp_path):
    from langchain.chat_models import init_chat_model

    with pytest.raises(CaptureError, match='init_chat_model\\("gpt-x"\\)'):
        route(
            init_chat_model("gpt-x", model_provider="openai", configurable_fields="any"),
            agent="support",
            home=tmp_path,
        )


def test_something_else_is_refused(tmp_path):
    with pytest.raises(CaptureError, match="got a str; expected a LangChain chat model"):
        route("gpt-x", agent="support", home=tmp_path)


def test_concurrent_threads_never_mix_versions(tmp_path, point):
    point(stable=STABLE, canary=CANARY, share=0.5, salt="s1")
    model = route(EchoChat(), agent="support", home=tmp_path)

    async def all_at_once():
        calls = [model.ainvoke("hi", on_thread(str(number))) for number in range(100)]
        return await asyncio.gather(*calls)

    for number, answer in enumerate(asyncio.run(all_at_once())):
        target = CANARY if assign(str(number), "s1", 0.5) else STABLE
        assert answer.content.startswith(target["adapter"])
        assert burnish_of(answer)["adapter"] == target["adapter"]
