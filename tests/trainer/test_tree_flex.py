"""FlexAttention gives the numbers of the other ways, and is tried on CUDA alone: on a processor it has no backward pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from model_families import make_family
from transformers import AutoModelForCausalLM

from burnish_trainer.tree.planner import ExecutionPlan
from burnish_trainer.tree.self_check import (
    execution,
    row_logprobs,
    settle_execution,
    ways_to_try,
)
from burnish_trainer.tree.tree_batch import compute_logprobs, make_batch

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


def branching_rows():
    rng = np.random.default_rng(0)
    stem = rng.integers(10, 280, 12)
    fork = np.r_[stem, rng.integers(10, 280, 7)]
    return [
        np.r_[start, rng.integers(10, 280, n)] for start, n in ((stem, 3), (fork, 9), (fork, 14))
    ]


# Grouped queries, a sliding window shorter than the path, and a soft cap.
@pytest.mark.parametrize("family", ["Llama", "Mistral, window", "Gemma 2", "Gemma 3"])
def test_flex_attention_has_the_log_probabilities_of_single_rows(family, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(make_family(family, tmp_path)).eval()
    rows = branching_rows()
    batch = make_batch(rows, [np.ones(len(row), np.bool_) for row in rows])
    wanted = row_logprobs(model, rows)
    with execution(model, "flex"), torch.no_grad():
        found = compute_logprobs(model, batch, "flex")
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_attention_sinks_are_left_to_blocks(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(make_family("gpt-oss", tmp_path)).eval()
    batch = make_batch([[10, 11, 12]], [[False, True, True]])
    with (
        execution(model, "flex"),
        torch.no_grad(),
        pytest.raises(NotImplementedError, match="sinks"),
    ):
        compute_logprobs(model, batch, "flex")


def test_flex_attention_is_tried_on_cuda_alone(tmp_path):
    assert ways_to_try("blocks", "cuda") == ("flex", "blocks", "mask")
    assert ways_to_try("blocks", "cpu") == ("blocks", "mask")
    assert "flex" not in (*ways_to_try("mask", "cuda"), *ways_to_try("depth_first", "cuda"))
    model = AutoModelForCausalLM.from_pretrained(make_family("Llama", tmp_path))
    plan = ExecutionPlan("blocks", "", 2, 1)
    assert settle_execution(model, plan, branching_rows()).kind == "blocks"
