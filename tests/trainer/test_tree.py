"""The prefix trie: structure, masks, and a plan that is exact when a trie is cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish_trainer.tree.planner import (
    PAYS,
    count_distinct,
    order_by_prefix,
    pack_rows,
    plan_execution,
)
from burnish_trainer.tree.prefix_trie import build_trie
from burnish_trainer.tree.tree_layout import dense_mask, make_layout

rows_of_tokens = st.lists(
    st.lists(st.integers(1, 3), min_size=1, max_size=12), min_size=1, max_size=10
)


def prefixes(rows):
    return {tuple(row[: end + 1]) for row in rows for end in range(len(row))}


@settings(max_examples=150, deadline=None)
@given(rows_of_tokens)
def test_each_distinct_context_and_token_is_one_node(rows):
    trie = build_trie(rows)
    assert trie.distinct_tokens == len(prefixes(rows))
    assert trie.flat_tokens == sum(map(len, rows))
    for row, path in zip(rows, trie.paths, strict=True):
        assert trie.tokens[path].tolist() == row
        assert trie.depths[path].tolist() == list(range(len(row)))
        assert trie.parents[path].tolist() == [-1, *path[:-1].tolist()]


@settings(max_examples=100, deadline=None)
@given(rows_of_tokens)
def test_the_mask_shows_each_node_its_ancestors_and_itself_alone(rows):
    import torch

    trie = build_trie(rows)
    seen = (dense_mask(trie, torch.float32, torch.device("cpu"))[0, 0] == 0).numpy()
    wanted = np.zeros_like(seen)
    for path in trie.paths:
        for end, node in enumerate(path):
            wanted[node, path[: end + 1]] = True
    assert (seen == wanted).all()


@settings(max_examples=100, deadline=None)
@given(rows_of_tokens, st.sampled_from([0, 3, 8, 100]), st.sampled_from([None, 2, 5]))
def test_the_blocks_together_show_the_same(rows, small, window):
    import torch

    trie = build_trie(rows)
    layout, segments = make_layout(trie, small), trie.segments
    depths, ends = trie.depths, trie.ends
    nodes = np.arange(trie.distinct_tokens)
    wanted = (nodes[None] <= nodes[:, None]) & (nodes[:, None] < ends[None])
    if window:
        wanted &= depths[:, None] - depths[None] < window
    seen = np.zeros_like(wanted)
    for place, block in enumerate(layout.blocks):
        own = np.arange(segments.starts[block.first], segments.ends[block.last - 1])
        context = layout.context_in(block, window)
        keys = np.concatenate(
            [*(np.arange(segments.starts[s], segments.ends[s]) for s in context), own]
        )
        mask = layout.mask_of(place, window, torch.device("cpu"))
        part = np.tril(np.ones((len(own), len(own)))) if mask is None else mask[0, 0].numpy()
        seen[np.ix_(own, keys)] = part
    assert (seen == wanted).all()


@settings(max_examples=100, deadline=None)
@given(rows_of_tokens)
def test_weights_of_rows_that_disagree_are_summed_in_every_stream(rows):
    trie = build_trie(rows)
    streams = [
        [[float(7 * i + j) for j in range(len(r))] for i, r in enumerate(rows)] for _ in "ab"
    ]
    streams[1] = [[-w for w in row] for row in streams[1]]
    first, second = (trie.sum_weights(stream) for stream in streams)
    assert (first == -second).all()
    for row, path in zip(rows, trie.paths, strict=True):
        for end, node in enumerate(path):
            wanted = sum(
                float(7 * i + end)
                for i, other in enumerate(rows)
                if other[: end + 1] == row[: end + 1]
            )
            assert first[node] == wanted


@settings(max_examples=100, deadline=None)
@given(rows_of_tokens, st.integers(1, 40))
def test_pieces_hold_every_row_once_within_the_budget(rows, budget):
    arrays = [np.array(row) for row in rows]
    pieces = pack_rows(arrays, budget)
    assert sorted(i for piece in pieces for i in piece) == list(range(len(rows)))
    for piece in pieces:
        assert build_trie([rows[i] for i in piece]).distinct_tokens <= budget or len(piece) == 1
    assert pack_rows(arrays, None) == [[i for piece in pieces for i in piece]]
    assert count_distinct(arrays) == build_trie(rows).distinct_tokens
    assert pieces == pack_rows(arrays, budget)


def calls(conversations, steps, rng):
    """Rows of calls that share a system prompt; each call of a conversation continues the last one."""
    system = rng.integers(0, 99, 40)
    found = []
    for _ in range(conversations):
        talk = rng.integers(0, 99, 20 * steps)
        found += [np.r_[system, talk[: 20 * (step + 1)]] for step in range(steps)]
    return found


def test_the_order_is_whole_mixed_and_keeps_relatives_together():
    rows = calls(16, 6, np.random.default_rng(0))
    order = order_by_prefix(rows, 8, 2, seed=0)
    assert sorted(order[:96]) == sorted(order[96:]) == list(range(96))
    assert order[:96] != order[96:]
    assert order == order_by_prefix(rows, 8, 2, seed=0) != order_by_prefix(rows, 8, 2, seed=1)
    steps = [order[at : at + 8] for at in range(0, 96, 8)]
    assert all(len({i // 6 for i in step}) > 1 for step in steps)
    plain = [list(range(at, 96, 12)) for at in range(12)]
    shared = sum(count_distinct([rows[i] for i in step]) for step in steps)
    assert 1.5 * shared < sum(count_distinct([rows[i] for i in step]) for step in plain)


def test_the_plan_shares_where_it_pays_and_says_why():
    rng = np.random.default_rng(0)
    rows = calls(4, 6, rng)
    steps = [list(range(at, at + 6)) for at in range(0, 24, 6)]
    plan = plan_execution(rows, steps, token_budget=500)
    assert (plan.kind, plan.token_budget) == ("blocks", 500)
    assert plan.flat_tokens == sum(map(len, rows))
    assert plan.distinct_tokens == 4 * 160
    apart = [rng.integers(0, 99, 50) for _ in range(12)]
    plain = plan_execution(apart, [list(range(12))])
    assert plain.kind == "rows"
    assert plain.ratio < PAYS
    assert "below" in plain.reason
    assert plan_execution(rows, steps, wish="off").kind == "rows"
    assert plan_execution(apart, [list(range(12))], wish="depth_first").kind == "depth_first"
