"""Every family of base models: loads, is adapted, trained, published and served token for token, or refused by name."""

from __future__ import annotations

import re

import pytest
import torch
from model_families import FAMILIES, make_family
from pages import check_page, table
from peft import PeftModel
from transformers import AutoModelForCausalLM

from burnish import settings
from burnish.errors import BurnishError
from burnish.serving.contract.model_contract import read_contract
from burnish.serving.embedded.engine import Engine
from burnish.serving.embedded.requests import EngineRequest
from burnish_trainer import Recipe, train
from burnish_trainer.logits import logits_at
from burnish_trainer.recipes.lora import add_adapter

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("models"),  # the page is made of what the other tests measured
    pytest.mark.filterwarnings(
        "ignore:.is_gradient_checkpointing:FutureWarning", "ignore:.*:UserWarning"
    ),
]
QUICK = Recipe(name="tiny", rank=4, epochs=5, learning_rate=1e-2, batch_size=2, checkpoints=0)
PROMPTS = [[7 + (at * step) % 270 for at in range(length)] for step, length in ((1, 3), (5, 30), (11, 17))]  # fmt: skip
HEAD = ("family", "attention", "before the logits", "adapter on", "loss, gradients", "20 steps", "served")  # fmt: skip


def rows(made):
    found = []
    for number in range(8):
        reply = {"role": "assistant", "content": f"answer {number}", "loss": True}
        messages = [{"role": "user", "content": f"question {number}", "loss": False}, reply]
        found.append(made.row(messages, row_id=str(number), tools="[]"))
    return made.Rows(found=found)


def check_loss_and_gradients(folder):
    """Compare our loss and its gradients, with an adapter that changes the model, with the model's own."""
    model = add_adapter(AutoModelForCausalLM.from_pretrained(folder), QUICK, None).eval()
    torch.manual_seed(3)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, 0, 0.2)
    ids = torch.randint(10, 280, (2, 24))
    labels = ids.clone()
    labels[:, :5] = labels[1, 15:] = -100
    chosen = labels[:, 1:] != -100
    logits = logits_at(model, ids, chosen).float()
    loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:][chosen])
    own = model(input_ids=ids, labels=labels).loss
    assert abs(float(loss - own)) < 1e-5
    ours, theirs = gradients(model, loss), gradients(model, own)
    assert theirs.norm() > 0
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()


def gradients(model, loss):
    """Return the gradients of all adapter weights as one vector."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    found = torch.autograd.grad(loss, weights, allow_unused=True)  # towers that no text passes
    pairs = zip(found, weights, strict=True)
    return torch.cat([(one if one is not None else torch.zeros_like(w)).flatten() for one, w in pairs])  # fmt: skip


def answers_of_peft(folder, adapter):
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, adapter).eval()

    def greedy(prompt):
        given = torch.tensor([prompt])
        mask = torch.ones_like(given)
        said = model.generate(
            input_ids=given, attention_mask=mask, max_new_tokens=12, do_sample=False
        )
        return said[0, len(prompt) :].tolist()

    adapted_answers = [greedy(prompt) for prompt in PROMPTS]
    with model.disable_adapter():
        return adapted_answers, [greedy(prompt) for prompt in PROMPTS]


def answers_of_engine(folder, version):
    engine = Engine(folder)
    try:
        engine.load(version.id, version.path)
        futures = [
            [
                engine.submit_request(EngineRequest(prompt=p, adapter=name, max_tokens=12))
                for p in PROMPTS
            ]
            for name in (version.id, None)
        ]  # all at once, so that the adapter and its base share forwards
        adapted_answers, base_answers = ([f.result().token_ids for f in group] for group in futures)
        return (adapted_answers, base_answers), engine.one_by_one
    finally:
        engine.close()


def cells(name, folder, made):
    contract = read_contract(folder)
    kinds = sorted(kind.replace("_attention", "") for kind in contract.attention_kinds)
    head = ", ".join(sorted(contract.head)) or "plain"
    facts = [", ".join(kinds), head + (", tied" if contract.tied else "")]
    before = bytes_of(folder)
    try:
        version = train(rows(made), base_model=folder, recipe=QUICK)
    except BurnishError as error:
        return [*facts, f"refused: {short(error)}", "-", "-", "-"]
    targets = ", ".join(version.manifest.targets)
    assert bytes_of(folder) == before, "training changed its base"
    check_loss_and_gradients(folder)
    trained = [*facts, targets, "equal", "published"]
    try:
        found, one_by_one = answers_of_engine(folder, version)
    except BurnishError as error:
        return [*trained, f"refused: {short(error)}"]
    assert found == answers_of_peft(folder, version.path)
    assert found[0] != found[1], "the adapter changes nothing"
    return [*trained, "token for token" + (", one by one" if one_by_one else "")]


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def short(error):
    return re.sub(r"the (base )?model (in \S+ )?(\(\w+\) )?(has )?", "", error.found).partition(
        ":"
    )[0]


ROWS: dict[str, list[str]] = {}


def measure(name, home, made):
    if name in ROWS:
        return
    settings.configure(home=home / "home")
    try:
        ROWS[name] = cells(name, make_family(name, home / "base"), made)
    finally:
        settings.reset()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_trained_and_served_exactly_or_refused_by_name(name, tmp_path, made):
    torch.set_num_threads(1)
    measure(name, tmp_path, made)


@pytest.mark.timeout(900)  # it measures every family that no test above has measured yet
def test_the_page_of_models_says_what_was_measured(tmp_path, made):
    torch.set_num_threads(1)
    for name in FAMILIES:
        measure(name, tmp_path / re.sub(r"\W", "", name), made)
    ordered = {name: ROWS[name] for name in FAMILIES}
    check_page("models.md", f"{INTRODUCTION}\n{table(HEAD, ordered)}\n")


INTRODUCTION = """# Base models

This page is generated by `tests/trainer/test_model_matrix.py` from tiny random models of each family.

The folder of a base model defines it: kinds of attention, what lies between hidden state and logits, every token that
ends a generation, context length, chat template and the syntax of its tool calls.
`burnish.serving.contract.model_contract` reads it once, without torch. Training and serving check it before any work,
and refuse by name the parts that they cannot reproduce exactly.

```python
from burnish.serving.contract.model_contract import read_contract
from burnish.serving.contract.base_models import resolve_model

contract = read_contract(resolve_model("starter"))
print(contract.model_type, contract.context, sorted(contract.attention_kinds), contract.syntax)
```

- *loss, gradients*: those of all adapter weights equal the ones of `model(input_ids, labels=labels).loss`, with an
  adapter that changes the model.
- *20 steps*: trained for 20 steps by `train` and published.
- *served*: the embedded engine gives the tokens of transformers' and PEFT's `generate`, for the adapter and for its base
  in one batch, with prompts shorter and longer than the window. *one by one*: the past of its layers is more than keys
  and values, so each request has the cache that transformers makes for it, and a forward of its own. A model that is
  refused can still be served by vLLM.

A model that is not in the table is checked when it is loaded: its answer step by step must equal that of one whole
forward pass. One that fails this in a batch is served one by one if that is exact, and refused otherwise. The page on
[chat templates](templates.md) lists what each template can train.
"""
