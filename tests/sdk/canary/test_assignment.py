"""The assignment of threads to the canary is a pure function with three guarantees."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.adapters import Pointer, Target
from burnish.canary import assign
from burnish.canary.assignment import choose_target, draw_position

SHARES = st.floats(0, 1)


@given(st.text(), st.text(max_size=16), SHARES, SHARES)
def test_a_thread_on_the_canary_stays_there_when_the_share_grows(thread, salt, one, other):
    small, large = sorted((one, other))

    assert not assign(thread, salt, small) or assign(thread, salt, large)


@given(st.text(), st.text(max_size=16))
def test_nobody_is_on_a_canary_of_nothing_and_everybody_on_one_of_all(thread, salt):
    assert not assign(thread, salt, 0.0)
    assert assign(thread, salt, 1.0)


def test_the_share_of_threads_is_the_share_that_was_asked_for():
    """20,000 threads at 25 %: four standard deviations are 1.2 points."""
    hits = sum(assign(f"t-{number}", "salt", 0.25) for number in range(20_000))

    assert hits / 20_000 == pytest.approx(0.25, abs=0.0123)


def test_two_salts_draw_independently():
    """Both at 10 %: 1 % of 40,000 threads are on both, four deviations are 0.2 points."""
    both = sum(
        assign(f"t-{number}", "one", 0.1) and assign(f"t-{number}", "two", 0.1)
        for number in range(40_000)
    )

    assert both / 40_000 == pytest.approx(0.01, abs=0.002)


def test_another_process_assigns_the_same():
    code = "from burnish.canary import assign; print([assign(str(n), 's', .5) for n in range(50)])"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert printed.strip() == str([assign(str(n), "s", 0.5) for n in range(50)])


def test_the_hash_is_the_documented_one():
    """blake2b of the thread, keyed by the salt, as a number from 0 to 1."""
    from hashlib import blake2b

    digest = blake2b(b"t-42", digest_size=8, key=b"salt").digest()

    assert draw_position("t-42", "salt") == pytest.approx(int.from_bytes(digest, "big") / 2**64)


def test_after_a_promotion_the_hold_back_stays_on_the_previous_version():
    new, old = Target(adapter="new"), Target(adapter="old")
    pointer = Pointer(stable=new, previous=old, holdback=0.05, salt="s")
    chosen = [choose_target(pointer, str(number)) for number in range(4000)]

    held = [target for target, _ in chosen if target == old]
    assert {arm for _, arm in chosen} == {"stable"}
    assert len(held) / 4000 == pytest.approx(0.05, abs=0.015)
    assert choose_target(pointer, None) == (new, "stable")
