"""A project with an agent whose system prompt decides what it answers, and a chat model that proposes prompts."""

from __future__ import annotations

CLERK = '''
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import START, MessagesState, StateGraph

import burnish

SYSTEM = "You are a clerk of the shop."


class Clerk(BaseChatModel):
    """Does what its system prompt says: doubles numbers, and ends with a dot."""

    @property
    def _llm_type(self):
        return "clerk"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        system, question = messages[0].text, messages[-1].text
        number = int(question.split()[-1])
        text = str(2 * number if "double" in system else number) + ("." if "dot" in system else "")
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


def build(model):
    clerk = burnish.route(Clerk(), agent="clerk")

    def answer(state):
        system = SystemMessage(burnish.prompt("clerk", SYSTEM))
        return {"messages": [clerk.invoke([system, *state["messages"]])]}

    return StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()


def build_deaf(model):
    """Never asks for its prompt."""

    def answer(state):
        return {"messages": [Clerk().invoke([SystemMessage(SYSTEM), *state["messages"]])]}

    return StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()


class Environment:
    def open(self, task):
        self.task = task

    def state(self):
        return {"number": self.task["number"]}

    def close(self):
        pass


def tasks(pool, n=None, seed=0):
    start, size = {"heldout": (100, 12), "standing": (200, 2), "capability": (300, 2), "train": (10, 8)}[pool]
    numbers = range(start, start + min(n or size, size))
    return [
        {"id": f"{pool}-{i}", "number": i, "kind": "sum",
         "input": {"messages": [("user", f"please tell me the price of {i}")]}} for i in numbers
    ]


def doubled(trajectory, state):
    return trajectory.answer.rstrip(".") == str(2 * state["number"])
'''

PROPOSALS = """
from burnish.testing.chat_model import ScriptedChatModel

seen = []


def propose(text):
    def answer(messages):
        seen.append(messages)
        return f"Here is a better one:\\n```\\n{text}\\n```"
    return answer


def make(*answers):
    return ScriptedChatModel(script=list(answers), repeat=True)


good = make(propose("You are a clerk. Be polite."), propose("You are a clerk. Always double the price."))
broken = make(ConnectionError("the proxy is down"))
empty = make("")
flaky = make(ConnectionError("the proxy is down"), propose("You are a clerk. Always double the price."))
quoting = make(propose("Double it: please tell me the price of 101 is 202. Also double."))
no_model = "gpt"
"""

TOML = """
[agent.clerk]
build = "clerk:{build}"
environment = "clerk:Environment"
tasks = "clerk:tasks"
verify = [{{ goal_state = "clerk:doubled" }}]
base_model = "{base}"
prompts = {{ system = "clerk:SYSTEM" }}
[agent.clerk.evaluate]
concurrency = 4
[agent.clerk.gate]
confidence = 0.9
[agent.clerk.canary]
decides = "goal_state"
steps = [0.5, 1.0]
min_threads = 4
"""


def write_project(folder, base, build="build"):
    """Write the project into a folder, and return the path of its burnish.toml."""
    folder.mkdir(exist_ok=True)
    (folder / "clerk.py").write_text(CLERK)
    (folder / "proposals.py").write_text(PROPOSALS)
    path = folder / "burnish.toml"
    path.write_text(TOML.format(base=base, build=build))
    return path
