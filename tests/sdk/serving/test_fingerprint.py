"""A fingerprint distinguishes an adapter from its base and from other adapters."""

from __future__ import annotations

import math
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from burnish.errors import ServingError
from burnish.serving import EmbeddedBackend
from burnish.serving.embedded.tiny import make_adapter
from burnish.serving.fingerprint import (
    check_fingerprint,
    distance,
    make_fingerprint,
    read_fingerprint,
    write_fingerprint,
)

PROMPTS = [[at, at + 1, at + 2] for at in range(10, 30)]


@pytest.fixture(scope="module")
def prints(adapters):
    return {name: read_fingerprint(folder) for name, folder in adapters.items()}


def test_the_prompts_that_differ_most_are_kept_with_twenty_tokens_each(loaded, adapters):
    name = next(iter(adapters))
    made = make_fingerprint(loaded, name, PROMPTS)
    assert len(made["prompts"]) == 8
    assert all(len(entry["adapter"]) == len(entry["base"]) == 20 for entry in made["prompts"])
    apart = {
        tuple(p): distance(loaded.rank_next_tokens(p, name), loaded.rank_next_tokens(p))
        for p in PROMPTS
    }
    kept = [apart[tuple(entry["token_ids"])] for entry in made["prompts"]]
    assert kept == sorted(apart.values(), reverse=True)[:8]


def test_what_is_served_passes_only_under_its_own_fingerprint(loaded, prints):
    for name, fingerprint in prints.items():
        for other in (None, *prints):
            serve = lambda asked, other=other: loaded.rank_next_of_each(asked, other)  # noqa: E731
            if other == name:
                facts = check_fingerprint(fingerprint, serve, version=name, dtype="float32")
                assert facts["to_adapter"] < 1e-4
                assert facts["to_base"] > 0.04
            else:
                with pytest.raises(ServingError, match="from the adapter's"):
                    check_fingerprint(fingerprint, serve, version=name, dtype="float32")


def test_an_adapter_that_cannot_be_told_from_its_base_is_refused(engine, base, tmp_path):
    folder = make_adapter(tmp_path / "weak", base)
    path = folder / "adapter_model.safetensors"
    save_file({key: value * 1e-3 for key, value in load_file(path).items()}, path)
    engine.load("weak@000000000000", folder)
    with pytest.raises(ServingError, match="cannot be distinguished from its base"):
        make_fingerprint(engine, "weak@000000000000", PROMPTS)
    with pytest.raises(ServingError, match="0 prompts"):
        make_fingerprint(engine, "weak@000000000000", [])


def test_a_version_without_a_whole_fingerprint_is_not_proven(base, engine, adapters, tmp_path):
    folder = next(iter(adapters.values()))
    bare = shutil.copytree(folder, tmp_path / "bare")
    engine.load("bare@000000000000", bare)
    backend = EmbeddedBackend(base, engine)
    for content in (None, "{", "[]", '{"prompts": []}', '{"prompts": [{"token_ids": []}]}'):
        (bare / "fingerprint.json").unlink(missing_ok=True)
        if content is not None:
            (bare / "fingerprint.json").write_text(content)
        with pytest.raises(ServingError, match=r"fingerprint\.json cannot be used"):
            backend.probe("bare@000000000000")
    write_fingerprint(bare, read_fingerprint(folder))
    assert backend.probe("bare@000000000000")["passed"]


def test_a_distance_is_worked_out_by_hand():
    """(.5, .3 | .2 left) and (.5, .1 | .4 left): half of |.3-.1| + |.2-.4| is .2."""
    one = [(1, math.log(0.5)), (2, math.log(0.3))]
    other = [(1, math.log(0.5)), (2, math.log(0.1))]
    assert distance(one, other) == pytest.approx(0.2)
    assert distance([(1, 0.0)], [(2, 0.0)]) == 1.0


tops = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=8).map(
    lambda weights: [(at, math.log(w / (sum(weights) + 0.1))) for at, w in enumerate(weights)]
)


@given(tops, tops)
def test_a_distance_lies_between_0_and_1_and_is_0_for_the_same(one, other):
    assert 0.0 <= distance(one, other) <= 1.0
    assert distance(one, one) == pytest.approx(0.0)
