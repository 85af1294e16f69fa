"""A routed agent whose versions say their names, and rollouts of it; also a host with a wrong clock.

usage: python routed_agent.py HOME SECONDS NAME NUMBER   (threads NAME-0 ..., clock off by SECONDS)
"""

import sys
import time

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import END, START, MessagesState, StateGraph

import burnish
from burnish.adapters import SqlControlStore, Target
from burnish.canary import Rollout
from burnish.langchain.routing import route
from burnish.project import CanaryConfig, GuardsConfig

VERSION = "support@" + "b" * 12
NO_GUARDS = GuardsConfig(errors=False)


class PoliteChat(BaseChatModel):
    """Answers with its version's name; one version cannot do its work."""

    base_model: str = "m"
    adapter: str | None = None

    @property
    def _llm_type(self):
        return "polite"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        adapter = kwargs.get("adapter", self.adapter)
        if adapter and "broken" in adapter:
            raise RuntimeError("no answer")
        message = AIMessage(content=str(adapter))
        return ChatResult(generations=[ChatGeneration(message=message)])


def make_graph(*, routed=True):
    model = route(PoliteChat(), agent="support") if routed else PoliteChat()

    def answer(state):
        return {"messages": [model.invoke(state["messages"])]}

    built = StateGraph(MessagesState)
    built.add_node("answer", answer)
    built.add_edge(START, "answer")
    built.add_edge("answer", END)
    return burnish.wrap(built.compile(), agent="support")


def started(home, *, adapter=VERSION, **changes):
    """A rollout at half of the threads; the registry has its own tests."""
    given = {"steps": [0.5, 1.0], "min_threads": 400, "decides": "crm", "guards": NO_GUARDS}
    given["maturity_s"] = 0.0
    rollout = Rollout(home, "support")
    rollout.start(Target(base_model="m"), CanaryConfig(**given | changes))
    point_to_version(home, adapter)
    return rollout


def point_to_version(home, adapter=VERSION):
    """Let the canary be another version than the base model."""
    store = SqlControlStore(home)
    document, version = store.read("support")
    target = {"backend": "embedded", "base_model": "m", "adapter": adapter}
    document |= {"candidate": target, "canary": target}
    store.write("support", document, expected_version=version)


def run(graph, thread):
    return graph.invoke({"messages": [("user", "hi")]}, {"configurable": {"thread_id": thread}})[
        "messages"
    ][-1]


def serve(graph, thread, success=lambda arm: True):
    """Run a thread and report its outcome; return its arm."""
    arm = run(graph, thread).response_metadata["burnish"]["arm"]
    said = success(arm)
    if said is not None:
        burnish.outcome(thread_id=thread, success=said, source="crm")
    return arm


def main():
    home, seconds, name, number = sys.argv[1:]
    real, offset = time.time_ns, int(float(seconds) * 1e9)
    time.time_ns = lambda: real() + offset
    burnish.configure(home=home)
    graph = make_graph()
    for place in range(int(number)):
        serve(graph, f"{name}-{place}", lambda arm: arm != "canary")
    burnish.flush()


if __name__ == "__main__":
    main()
