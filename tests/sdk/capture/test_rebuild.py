"""The request of any call can be rebuilt from storage, byte for byte as canonical JSON."""

import copy

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import START, MessagesState, StateGraph

import burnish
from burnish.capture.messages import decode_message, encode_for_storage
from burnish.capture.requests import decode_tool
from burnish.journal.events import ModelStarted, canonical
from burnish.testing import ScriptedChatModel, capturing

texts = st.text(max_size=20)
numbers = st.integers(-(2**70), 2**70) | st.floats()
plain = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(texts, plain, max_size=3)
messages = st.one_of(
    st.builds(SystemMessage, content=texts),
    st.builds(HumanMessage, content=texts, additional_kwargs=objects, name=st.none() | texts),
    st.builds(
        AIMessage,
        content=texts,
        tool_calls=st.lists(
            st.fixed_dictionaries({"name": texts, "args": objects, "id": texts}), max_size=2
        ),
    ),
    st.builds(ToolMessage, content=texts, tool_call_id=texts, artifact=plain),
)
tools = st.lists(
    st.builds(
        lambda name, schema: {
            "type": "function",
            "function": {"name": name, "parameters": schema},
        },
        texts,
        objects,
    ),
    max_size=2,
)
parameters = st.dictionaries(
    st.sampled_from(["temperature", "top_p", "min_p", "seed", "extra_body", "logit_bias"]),
    plain.filter(lambda value: value is not None),
    max_size=3,
)
requests = st.fixed_dictionaries(
    {
        "messages": st.lists(messages, min_size=1, max_size=4),
        "tools": tools,
        "tool_choice": st.none() | texts | objects,
        "response_format": st.none() | objects,
        "parameters": parameters,
    }
)


class Witness(BaseChatModel):
    """Keeps what it was really asked."""

    seen: list = []  # noqa: RUF012 - a pydantic field

    @property
    def _llm_type(self):
        return "witness"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.seen.append((copy.deepcopy(messages), copy.deepcopy(kwargs)))
        return ChatResult(generations=[ChatGeneration(message=AIMessage("ok"))])


def rebuilt(journal, event):
    """The request as it stands in the journal."""
    request = journal.value(event.request) or {}
    sent = {**request.get("sampling", {})}
    sent |= {key: request[key] for key in ("tool_choice", "response_format") if key in request}
    offered = journal.value(event.tools)
    if offered:
        sent["tools"] = [decode_tool(tool) for tool in offered]
    stored = [decode_message(journal.value(ref)) for ref in event.messages]
    return canonical([[encode_for_storage(message) for message in stored], sent])


def really(seen):
    asked, kwargs = seen
    sent = {key: value for key, value in kwargs.items() if value is not None}
    return canonical([[encode_for_storage(message) for message in asked], sent])


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(requests)
def test_any_request_is_rebuilt(request):
    model = Witness(seen=[])
    options = {key: request[key] for key in ("tools", "tool_choice", "response_format")}
    options = {key: value for key, value in options.items() if value}

    with capturing() as journal:
        burnish.wrap(model, agent="w").invoke(
            request["messages"], **options, **request["parameters"]
        )

    assert rebuilt(journal, journal.of(ModelStarted)[0]) == really(model.seen[0])


changes = st.sampled_from(["content", "args", "kwargs", "id", "append", "nothing"])


@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(messages, min_size=1, max_size=3), st.lists(changes, max_size=4), plain)
def test_messages_that_change_between_calls_are_rebuilt_as_they_were(history, steps, value):
    model = Witness(seen=[])
    history = list(history)

    def node(state):
        model.invoke(history)
        for step in steps:
            change(history, step, value)
            model.invoke(history)
        return {}

    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    with capturing() as journal:
        burnish.wrap(builder.compile(), agent="w").invoke({"messages": []})

    assert [rebuilt(journal, event) for event in journal.of(ModelStarted)] == [
        really(seen) for seen in model.seen
    ]


def change(history, step, value):
    last = history[-1]
    if step == "content":
        last.content = f"{last.content}!"
    elif step == "kwargs":
        last.additional_kwargs.setdefault("deep", {})["value"] = value
    elif step == "id":
        last.id = "new"
    elif step == "append":
        history.append(HumanMessage("more"))
    elif step == "args" and getattr(last, "tool_calls", None):
        last.tool_calls[0]["args"]["value"] = value


def test_a_thousand_messages_are_rebuilt():
    history = [HumanMessage(f"message {number}", id=str(number)) for number in range(1000)]
    model = ScriptedChatModel(script=["ok"])

    with capturing() as journal:
        burnish.wrap(model, agent="long").invoke(history)

    (event,) = journal.of(ModelStarted)
    assert [decode_message(journal.value(ref)) for ref in event.messages] == history
