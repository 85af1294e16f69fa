"""A published adapter follows from its rows, recipe and seed: the same run, step by step in plain torch.

The second way shares with the first only the base model, the fresh adapter and the order of the
rows: no TRL, no padding, one row at a time, twice the precision.
"""

from __future__ import annotations

import json
import random

import pytest

from burnish import settings
from burnish.serving.fingerprint import distance
from burnish_trainer import Recipe, console, train

QUICK = Recipe(
    name="shop", rank=4, epochs=4, learning_rate=1e-2, batch_size=4, warmup_steps=2, prefix_sharing="off"
)  # fmt: skip
SAME = 1e-4
"""Total variation of next-token distributions. Measured between both ways, with one thread and two, and with kernels of
three instruction sets: at most 6e-6. Between the last step and the one before, the nearest mistake: at least 6e-4."""


@pytest.fixture(scope="module")
def published(base, tmp_path_factory, made):
    """Rows of different weights, and the version that was trained on them."""
    rng = random.Random(0)
    rows = [
        made.row(
            made.conversation(rng.randint(1000, 9999), rng.randint(1000, 9999)),
            row_id=str(number),
            weight=1.0 + number % 3,
        )
        for number in range(24)
    ]
    settings.configure(home=tmp_path_factory.mktemp("home"))
    with console.silenced():
        version = train(made.Rows(found=rows), base_model=base, recipe=QUICK)
    settings.reset()
    return rows, version


def steps_by_hand(base, rows):
    """The adapted model after each step of a run, in double precision."""
    import torch

    from burnish_trainer.recipes.lora import add_adapter, load_base
    from burnish_trainer.rows import tokenise_rows
    from burnish_trainer.run.plan import plan_order

    model, tokenizer = load_base(base, QUICK)
    found, _ = tokenise_rows(rows, tokenizer)
    model = add_adapter(model, QUICK, None).to(torch.float64)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, weight_decay=QUICK.weight_decay)
    order = plan_order([len(row.input_ids) for row in found], QUICK)
    steps = len(order) // QUICK.batch_size
    for step in range(steps):
        batch = [found[i] for i in order[QUICK.batch_size * step :][: QUICK.batch_size]]
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(weights, QUICK.max_grad_norm)
        rising, falling = step / QUICK.warmup_steps, (steps - step) / (steps - QUICK.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = QUICK.learning_rate * min(rising, falling)
        optimizer.step()
        yield model


def loss_of(model, batch):
    """-sum(w log p) / sum(w) over the labelled tokens of a few rows."""
    import torch

    total, counted = 0.0, 0.0
    for row in batch:
        logprobs = model(input_ids=torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        for place, label in enumerate(row.labels):
            if label != -100:
                total -= row.weight * logprobs[place - 1, label]
                counted += row.weight
    return total / counted


def away(model, prompts, whose="adapter"):
    """Return the largest distance between a model's next-token distributions and the fingerprint's, over all prompts."""
    import torch

    model.eval()
    found = []
    for prompt in prompts:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt["token_ids"]])).logits[0, -1]
        values, ids = logits.log_softmax(-1).topk(20)
        found.append(distance(list(zip(ids.tolist(), values.tolist(), strict=True)), prompt[whose]))
    return max(found)


def prompts_of(version):
    return json.loads((version.path / "fingerprint.json").read_text())["prompts"]


@pytest.mark.slow
def test_an_adapter_is_what_the_same_run_gives_by_hand_and_no_step_less(published, base):
    rows, version = published
    prompts = prompts_of(version)

    distances = [away(model, prompts) for model in steps_by_hand(base, rows)]

    assert len(distances) == 24
    assert distances[-1] < SAME < min(distances[:-1])
    assert distances[0] > 0.5


@pytest.mark.slow
def test_the_published_weights_are_those_that_the_fingerprint_tells_of(published, base):
    from peft import PeftModel

    from burnish_trainer.recipes.lora import ignore_future_warnings, load_base

    _, version = published
    model, _ = load_base(base, QUICK)
    assert away(model, prompts_of(version), "base") < SAME
    with ignore_future_warnings():
        read = PeftModel.from_pretrained(model, str(version.path))
    assert away(read, prompts_of(version)) < SAME
