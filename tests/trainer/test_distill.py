"""A slower agent's successes train the fast one, with the prompt and the tools of the fast one."""

from __future__ import annotations

import msgspec
import pytest

import burnish
from burnish.errors import EmptyDataset
from burnish.records import ModelCall, Trajectory
from burnish_trainer.online import distill
from burnish_trainer.online.distillation import take_over

CAREFUL = """
from shop import *

def build(model):
    model = model.bind(max_tokens=12)
    def ask(state):  # the slow way: it asks until the answer has an even length
        for _ in range(6):
            said = model.invoke([("system", "You are careful.")] + state["messages"])
            if len(said.content) % 2 == 0:
                break
        return {"messages": [said]}
    graph = StateGraph(State)
    graph.add_node("note", note)
    graph.add_node("ask", ask)
    graph.add_edge(START, "note")
    graph.add_edge("note", "ask")
    graph.add_edge("ask", END)
    return graph.compile()
"""


@pytest.fixture
def both(shop, base, made):
    (shop / "careful.py").write_text(CAREFUL)
    own = made.TOML.format(base=base, predicate="even_length")
    careful = own.split("[agent.quiet]")[0].replace("agent.shop", "agent.careful")
    careful = careful.replace("shop:build", "careful:build").replace(
        "max_steps = 3", "max_steps = 8"
    )
    (shop / "burnish.toml").write_text(own + careful)
    return shop


@pytest.mark.slow
def test_the_fast_agent_is_trained_on_the_slow_ones_successes(both, engine):
    report = distill(
        from_="careful",
        to="shop",
        attempts=2,
        recipe={"rank": 4, "learning_rate": 1e-2, "epochs": 4, "name": "shop"},
    )
    assert report.teacher_success > 0.8  # half of single answers have an even length
    assert report.teacher_cost["steps"] > 1.2
    assert report.kept >= 8
    assert report.dropped == {}
    pool = report.evaluation.pools["heldout"]
    assert pool.cost["steps"] == {"before": 1.0, "after": 1.0}
    rows = report.adapter.rows
    assert rows["captured"] == 0  # tokens of the teacher's prompt are not taken over
    assert rows["rendered"] == rows["rows"] > 0
    sources = {run.source for run in burnish.Workspace().trajectories(agent="careful")}
    assert sources == {"teacher"}


def test_prompt_and_tools_are_replaced_and_tokens_removed():
    system = {"role": "system", "parts": [{"type": "text", "content": "long scaffold"}]}
    own = {"role": "system", "parts": [{"type": "text", "content": "short"}]}
    asked = {"role": "user", "parts": [{"type": "text", "content": "order 7"}]}
    call = ModelCall(
        span_id="1" * 16,
        parent_id=None,
        messages=[system, asked],
        tools=[],
        prompt_token_ids=[1],
        token_ids=[2],
        logprobs=[-0.1],
    )
    run = Trajectory(id="t", agent="slow", status="completed", model_calls=[call])
    found = take_over(run, [own], [{"type": "function", "name": "get"}], "fast")
    assert found.agent == "fast"
    assert found.model_calls[0].messages == [own, asked]
    assert found.model_calls[0].tools == [{"type": "function", "name": "get"}]
    assert found.model_calls[0].prompt_token_ids is found.model_calls[0].token_ids is None
    assert msgspec.structs.replace(run) == run  # the run itself is unchanged


def test_a_teacher_without_a_success_is_refused(both, engine):
    text = (both / "burnish.toml").read_text()
    (both / "burnish.toml").write_text(text.replace("shop:even_length", "shop:unsure"))
    with pytest.raises(EmptyDataset, match="it had none"):
        distill(from_="careful", to="shop", attempts=1, measure=False)
