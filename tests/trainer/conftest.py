"""A tiny base model made on the spot, and rows that it can be trained on."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from burnish import settings

TEMPLATE = """{%- for m in messages -%}
{{- '<|im_start|>' + m.role + '\\n' -}}
{%- if m.role == 'system' -%}{{- m.content -}}{%- for t in tools or [] -%}{{- '\\n' + t.function.name -}}{%- endfor -%}{{- '<|im_end|>' -}}
{%- elif m.role == 'assistant' -%}{% generation %}
{%- if m.content -%}{{- m.content -}}{%- endif -%}
{%- for c in m.tool_calls or [] -%}{{- '<tool_call>{"name": "' + c.function.name + '", "arguments": ' + (c.function.arguments | tojson) + '}</tool_call>' -}}{%- endfor -%}
{{- '<|im_end|>' -}}{% endgeneration %}
{%- else -%}{{- m.content + '<|im_end|>' -}}{%- endif -%}
{{- '\\n' -}}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_order",
            "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}},
        },
    }
]


def make_tokenizer(template: str = TEMPLATE) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d{1,2}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]
    bpe.train_from_iterator(
        [
            "You are the shop agent. total order get_order name arguments status open Done system user assistant tool"
        ]
        * 3,
        trainers.BpeTrainer(
            vocab_size=360,
            show_progress=False,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        chat_template=template,
    )


def make_base(folder: Path, *, seed: int = 0, length: int = 512) -> Path:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        intermediate_size=64,
        max_position_embeddings=length,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config)
    _teach(model, tokenizer, random.Random(seed))
    model.save_pretrained(folder)
    return folder


def _teach(model: Any, tokenizer: Any, rng: random.Random) -> None:
    """A second of training, after which it answers any order with one to four digits and stops."""
    import torch

    rows = []
    for _ in range(256):
        digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 4)))
        messages = [
            {"role": "user", "content": f"total of order {rng.randint(1, 99)}"},
            {"role": "assistant", "content": f"Done: {digits}"},
        ]
        rows.append(tokenizer.apply_chat_template(messages, return_dict=False))
    width = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(120):
        batch = ids[torch.arange(16 * step, 16 * step + 16) % 256]
        labels = batch.masked_fill(batch == tokenizer.pad_token_id, -100)
        optimizer.zero_grad()
        model(input_ids=batch, labels=labels).loss.backward()
        optimizer.step()


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def home(tmp_path: Path):
    settings.configure(home=tmp_path / "home")
    yield tmp_path / "home"
    settings.reset()


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BURNISH_QUIET", "1")


def conversation(order: int, total: int) -> list[dict[str, Any]]:
    """A question, a look-up, an answer."""
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_order", "arguments": json.dumps({"order": order})},
    }
    return [
        {"role": "system", "content": "You are the shop agent.", "loss": False},
        {"role": "user", "content": f"total of order {order}", "loss": False},
        {"role": "assistant", "content": "", "tool_calls": [call], "loss": True},
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": json.dumps({"total": total}),
            "loss": False,
        },
        {"role": "assistant", "content": f"Done: {total}", "loss": True},
    ]


def make_row(
    messages: list[dict[str, Any]], calls: list[dict[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "row_id": "r",
        "messages": json.dumps(messages),
        "tools": json.dumps(TOOLS),
        "calls": json.dumps(calls or []),
        "weight": 1.0,
        **more,
    }


@dataclass
class Rows:
    """A dataset version as the trainer sees it."""

    id: str = "shop@000000000000"
    found: list[dict[str, Any]] = field(default_factory=list)

    def rows(self, split: str = "train") -> list[dict[str, Any]]:
        return self.found if split == "train" else []


@pytest.fixture
def orders() -> Rows:
    rng = random.Random(0)
    rows = [
        make_row(conversation(rng.randint(1000, 9999), rng.randint(1000, 9999)), row_id=str(i))
        for i in range(24)
    ]
    return Rows(found=rows)


SHOP = """
import contextvars
from typing import Annotated, TypedDict
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

world = contextvars.ContextVar("world")

class State(TypedDict):
    messages: Annotated[list, add_messages]

class Environment:
    def __init__(self): self.seen, self.closed = [], False
    def open(self, task): self.task = task; world.set(self)
    def state(self): return {"task": self.task["id"], "seen": self.seen}
    def close(self): self.closed = True

def note(state):
    world.get().seen.append(world.get().task["number"])
    return {}

def build(model):
    model = model.bind(max_tokens=12)
    def ask(state):
        if world.get().task["number"] == 13:
            raise RuntimeError("no thirteenth order")
        return {"messages": [model.invoke(state["messages"])]}
    def again(state):
        return "ask" if world.get().task["number"] == 7 else END
    graph = StateGraph(State)
    graph.add_node("note", note)
    graph.add_node("ask", ask)
    graph.add_edge(START, "note")
    graph.add_edge("note", "ask")
    graph.add_conditional_edges("ask", again)
    return graph.compile()

def tasks(pool, n=None, seed=0):
    start = {"heldout": 20, "standing": 40, "capability": 60, "train": 80}[pool]
    count = 8 if n is None else n
    return [{"id": f"{pool}-{i}", "number": i, "kind": "even" if i % 2 == 0 else "odd",
             "input": {"messages": [("user", f"total of order {i}")]}} for i in range(start, start + count)]

def even_length(trajectory, state):
    assert state == {"task": trajectory.task_id, "seen": [int(trajectory.task_id.split("-")[-1])]}
    return len(trajectory.answer) % 2 == 0

def unsure(trajectory, state):
    raise KeyError("no idea")
"""

TOML = """
[agent.shop]
build = "shop:build"
environment = "shop:Environment"
tasks = "shop:tasks"
verify = [{{ goal_state = "shop:{predicate}" }}]
base_model = "{base}"
[agent.shop.evaluate]
concurrency = 4
max_steps = 3
[agent.shop.dataset]
max_per_task = 4
[agent.shop.train]
rank = 4
epochs = 16
learning_rate = 1e-2
batch_size = 4
[agent.shop.canary]
decides = "goal_state"
steps = [0.5, 1.0]
min_threads = 4
[agent.quiet]
build = "shop:build"
tasks = "shop:tasks"
base_model = "{base}"
"""


@pytest.fixture
def shop(base, home, tmp_path):
    """A project with a LangGraph agent over the tiny model."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "shop.py").write_text(SHOP)
    (folder / "burnish.toml").write_text(TOML.format(base=base, predicate="even_length"))
    settings.configure(config=folder / "burnish.toml")
    return folder


@pytest.fixture(scope="module")
def engine():
    yield
    from burnish.serving.embedded.engine import Engine

    Engine.close_shared()


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """The makers above, for tests that need variants."""
    return SimpleNamespace(
        SHOP=SHOP,
        TEMPLATE=TEMPLATE,
        TOML=TOML,
        Rows=Rows,
        base=make_base,
        conversation=conversation,
        row=make_row,
        tokenizer=make_tokenizer,
    )
