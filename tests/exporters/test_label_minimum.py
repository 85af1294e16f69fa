"""A verifier's floor counts from the number of labels on that can reach it."""

from __future__ import annotations

import pytest

from burnish.records import Verdict
from burnish_exporters.verify.trust.metrics import audit, count_labels_needed, wilson
from burnish_exporters.verify.trust.verifier_quality import (
    Measurement,
    QualityStore,
    below_floor,
    count_missing_labels,
    unbelieved,
)


class Fixed:
    version, isolated = "1", False

    def __init__(self, kind):
        self.name, self.kind = kind, kind

    def verify(self, trajectory):
        return Verdict(label="success", verifier=self.name)


def doubts(home, kind, right, wrong):
    """Return what is said of a verifier of which so many successes were right and wrong."""
    verifier, store = Fixed(kind), QualityStore(home)
    pairs = [("success", "success")] * right + [("success", "fail")] * wrong
    found = Measurement(verifier=kind, version="1", quality=audit(pairs), floor=0.9, measured_ns=1)
    store.put("support", [found])
    return unbelieved([verifier], store, "support"), below_floor([verifier], store, "support")


def test_the_number_needed_is_the_first_with_which_the_bound_can_reach_the_floor():
    for floor in (0.5, 0.8, 0.9, 0.95):
        needed = count_labels_needed(floor)
        assert wilson(needed, needed).low >= floor > wilson(needed - 1, needed - 1).low
    assert count_labels_needed(0.9) == 35
    assert count_labels_needed(0.0) == 1
    assert count_labels_needed(1.0) == count_labels_needed(0.99) == 381


@pytest.mark.parametrize(("right", "wrong"), [(1, 0), (0, 1), (9, 0), (5, 4), (34, 0), (30, 4)])
def test_few_labels_switch_no_check_off(home, right, wrong):
    assert doubts(home, "check", right, wrong) == ({}, [])


@pytest.mark.parametrize(("right", "wrong"), [(0, 10), (3, 9), (15, 15), (33, 2), (80, 12)])
def test_enough_labels_against_it_do(home, right, wrong):
    said, warned = doubts(home, "check", right, wrong)
    assert said == {"check": "precision of check is below the floor"}
    assert f"{right} of {right + wrong} audited successes" in warned[0]


def test_a_check_that_reaches_the_floor_is_believed(home):
    assert doubts(home, "check", 35, 0) == ({}, [])


def test_a_judge_is_believed_from_enough_labels_on_and_the_missing_ones_are_counted(home):
    said, warned = doubts(home, "judge", 20, 0)
    assert "15 more of its successes must be labelled" in said["judge"]
    assert warned == []
    assert doubts(home, "judge", 35, 0) == ({}, [])


def test_missing_labels_are_counted_until_the_floor_counts():
    assert count_missing_labels(wilson(3, 3), 0.9) == 32
    assert count_missing_labels(wilson(30, 40), 0.9) == 0
    assert count_missing_labels(wilson(5, 5), 1.0) == 376
