"""Ids are drawn without system calls, and no two are equal."""

from __future__ import annotations

import os
import random

from burnish.capture.recorder.ids import new_id, new_uuid


def drawn() -> list[str]:
    return [new_id(8), new_id(16), new_uuid().hex]


def in_a_child() -> list[str]:
    """Return the ids that a forked process draws next."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, " ".join(drawn()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        found = told.read().split()
    os.waitpid(child, 0)
    return found


def test_ids_have_their_length_and_a_uuid_its_version():
    assert [len(new_id(size)) for size in (8, 16)] == [16, 32]
    made = [new_uuid() for _ in range(100)]
    assert {(one.version, one.variant) for one in made} == {(4, "specified in RFC 4122")}
    assert len(set(made)) == 100


def test_an_agent_that_seeds_its_own_numbers_does_not_repeat_ids():
    random.seed(7)
    before = drawn()
    random.seed(7)
    assert not set(before) & set(drawn())


def test_a_fork_draws_other_ids_than_its_parent_and_its_siblings():
    first, second, own = in_a_child(), in_a_child(), drawn()
    assert len({*first, *second, *own}) == 9
