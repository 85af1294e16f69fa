"""Gradients on a trie equal those of rows computed one by one: in double precision, for every objective and every cut."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from double_precision import in_double
from hypothesis import given, settings
from hypothesis import strategies as st
from model_families import FAMILIES, make_family
from transformers import AutoModelForCausalLM

from burnish_trainer.objectives.policy_gradient import LoggedTokens, policy_gradient
from burnish_trainer.objectives.preference import LabelledScores, PairScores, dpo_sigmoid, kto
from burnish_trainer.objectives.supervised import weighted_nll
from burnish_trainer.recipes.lora import add_adapter
from burnish_trainer.recipes.train_recipe import TrainRecipe
from burnish_trainer.tree import self_check
from burnish_trainer.tree.planner import ExecutionPlan
from burnish_trainer.tree.self_check import execution, settle_execution
from burnish_trainer.tree.tree_batch import backward_in_pieces, compute_logprobs, make_batch

SAME = 1e-12
pytestmark = pytest.mark.filterwarnings("ignore:.*:FutureWarning", "ignore:.*:UserWarning")


@functools.cache
def adapted(family, checkpointing, folder):
    model = in_double(AutoModelForCausalLM.from_pretrained(make_family(family, folder)))
    model = add_adapter(model, TrainRecipe(rank=2), None).double()
    torch.manual_seed(3)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, 0, 0.2)
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model.train()


def loss_of(objective, counts, seed):
    """A loss over the log-probabilities of the counted tokens, and whether it is linear in them."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(counts)

    def drawn(size):
        return torch.randn(size, generator=generator, dtype=torch.float64)

    rows = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    half = len(counts) // 2
    sizes, first, second = torch.tensor(counts), drawn(len(counts)), drawn(len(counts))
    advantages, logged, weights = drawn(total), drawn(total) - 5, drawn(total).abs()

    def sums(logprobs):
        return torch.zeros(len(counts), dtype=logprobs.dtype).index_add(0, rows, logprobs)

    def sft(logprobs):
        return weighted_nll(logprobs, weights)

    def dpo(logprobs):
        sides = sums(logprobs)
        pairs = (x[: 2 * half].chunk(2) for x in (sides, first, sizes))
        (chosen, rejected), (one, other), (long, short) = pairs
        return dpo_sigmoid(PairScores(chosen, rejected, one, other, long, short))

    def kto_of(logprobs):
        replies = sums(logprobs)
        wanted = torch.arange(len(counts)) % 2 == 0
        return kto(LabelledScores(replies, first, wanted, replies.detach() + 1, second))

    def gradient(logprobs):
        return policy_gradient(logprobs, LoggedTokens(advantages, rows, logged))

    return {
        "sft": (sft, True),
        "dpo": (dpo, False),
        "kto": (kto_of, False),
        "pg": (gradient, False),
    }[objective]


def gradients(model):
    found = [w.grad.flatten() for w in model.parameters() if w.grad is not None]
    model.zero_grad()
    return torch.cat(found)


def by_rows(model, rows, counted, loss):
    """Gradients by transformers' own forward, one row at a time."""
    parts = []
    for row, mask in zip(rows, counted, strict=True):
        logprobs = model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
        places = [at for at in range(1, len(row)) if mask[at]]
        parts.append(logprobs[[at - 1 for at in places], [row[at] for at in places]])
    value = loss(torch.cat(parts))
    value.backward()
    return float(value), gradients(model)


def on_trie(model, rows, counted, loss, linear, kind, budget):
    batch = make_batch(rows, counted, budget)
    with execution(model, kind):
        value, _ = backward_in_pieces(model, batch, kind, loss, linear=linear)
        return float(value), gradients(model)


@st.composite
def random_tries(draw):
    """Rows that share beginnings at random, the counted tokens of each, and a budget that may cut the trie."""
    rows = [draw(st.lists(st.integers(10, 13), min_size=3, max_size=14))]
    for _ in range(draw(st.integers(1, 5))):
        before = draw(st.sampled_from(rows))
        kept = before[: draw(st.integers(0, len(before)))]
        rows.append(kept + draw(st.lists(st.integers(10, 40), min_size=2, max_size=8)))
    counted = [[draw(st.booleans()) for _ in row[:-1]] + [True] for row in rows]
    return rows, counted, draw(st.sampled_from([None, 20, 30]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("families")


def compare(model, case, objective, kinds):
    rows, counted, budget = case
    counts = [sum(mask[1:]) for mask in counted]
    loss, linear = loss_of(objective, counts, seed=len(rows[0]))
    value, wanted = by_rows(model, rows, counted, loss)
    for kind in kinds:
        found, slopes = on_trie(model, rows, counted, loss, linear, kind, budget)
        assert abs(found - value) <= 1e-10 * max(1, abs(value))
        # Gradients that cancel to nothing, as of a pair of equal sides, are compared on an absolute scale.
        assert (slopes - wanted).norm() <= SAME * max(float(wanted.norm()), 0.01), kind


@pytest.mark.parametrize("objective", ["sft", "dpo", "kto", "pg"])
@pytest.mark.parametrize("family", ["Llama", "Qwen 3", "Gemma"])
def test_gradients_on_a_trie_equal_those_of_single_rows(family, objective, folder):
    torch.set_num_threads(1)
    model = adapted(family, False, folder / family)

    @settings(max_examples=4, deadline=None, derandomize=True)
    @given(random_tries())
    def check(case):
        compare(model, case, objective, ("blocks", "mask", "depth_first"))

    check()


@pytest.mark.parametrize("objective", ["sft", "dpo", "kto", "pg"])
def test_gradient_checkpointing_changes_nothing(objective, folder):
    model = adapted("Llama", True, folder / "checkpointed")

    @settings(max_examples=3, deadline=None, derandomize=True)
    @given(random_tries())
    def check(case):
        compare(model, case, objective, ("blocks", "mask"))

    check()


@pytest.mark.parametrize("family", ["Qwen 2, 2.5, window", "Gemma 3", "Mistral, window"])
def test_a_sliding_window_that_is_shorter_than_the_path_is_exact_too(family, folder):
    model = adapted(family, False, folder / family.replace(", ", "-"))
    rng = np.random.default_rng(1)
    stem = rng.integers(10, 280, 12)
    rows = [np.r_[stem, rng.integers(10, 280, n)].tolist() for n in (3, 9, 14)]
    counted = [[True] * len(row) for row in rows]
    compare(model, (rows, counted, None), "sft", ("blocks", "depth_first"))


def plan(kind="blocks"):
    return ExecutionPlan(kind, "", 2, 1)


def rows_of(rng):
    stem = rng.integers(10, 280, 12)
    return [np.r_[stem, rng.integers(10, 280, n)] for n in (3, 9, 14)]


# Layers that carry a state from token to token, and Llama 4's attention in chunks.
ON_ROWS = (
    "Falcon-H1", "LFM 2", "Mamba 2", "Qwen 3.5", "Recurrent Gemma", "Granite 4", "Llama 4",
)  # fmt: skip


@pytest.mark.parametrize("family", [*FAMILIES])
def test_every_family_is_exact_on_a_trie_or_falls_back_to_rows_by_name(family, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(make_family(family, tmp_path))
    settled = settle_execution(model, plan(), rows_of(np.random.default_rng(0)))
    assert settled.kind == ("rows" if family in ON_ROWS else "blocks"), settled.reason
    if family in ON_ROWS:
        assert "log-probabilities differ by" in settled.reason
    assert model.config._attn_implementation != "burnish_tree"


def test_the_check_of_a_model_with_many_tokens_computes_few_logits(folder, monkeypatch):
    model = adapted("Llama", False, folder / "Llama")
    head = model.get_output_embeddings()
    monkeypatch.setattr(self_check, "_MOST_LOGITS", 40 * head.weight.shape[0])
    seen: list[int] = []
    head.register_forward_hook(lambda *_: seen.append(_[2].numel() // _[2].shape[-1]))
    rows = rows_of(np.random.default_rng(0)) * 20

    assert settle_execution(model, plan(), rows).kind == "blocks"
    assert max(seen) <= 40, "one forward never scores more tokens than its limit"


def test_depth_first_execution_gives_way_where_nothing_is_kept(folder):
    rows = rows_of(np.random.default_rng(0))
    model = adapted("Llama", True, folder / "checkpointed")
    assert settle_execution(model, plan("depth_first"), rows).kind == "blocks"
    model = adapted("Llama", False, folder / "Llama")
    assert settle_execution(model, plan("depth_first"), rows).kind == "depth_first"


def test_a_batch_without_a_counted_token_has_no_gradient(folder):
    model = adapted("Llama", False, folder / "Llama")
    batch = make_batch([[11, 12, 13]], [[False] * 3])
    assert compute_logprobs(model, batch, "mask").shape == (0,)
    value, _ = backward_in_pieces(model, batch, "mask", lambda logprobs: logprobs.sum())
    assert float(value) == 0
    assert all(weight.grad is None for weight in model.parameters())
