"""A model scores text for the filter of needless calls."""

import pickle

import pytest

from burnish_exporters.curate import call_gain
from burnish_trainer.scoring import ModelScorer, starter


def test_every_token_of_the_continuation_has_a_log_probability_given_all_before():
    """Later tokens change no earlier probability; earlier tokens change later ones."""
    whole, first = starter("Order 4411 is", " in Oslo today"), starter("Order 4411 is", " in Oslo")

    assert all(value < 0 for value in whole)
    assert whole[: len(first)] == pytest.approx(first, abs=1e-3)
    assert len(whole) > len(first)
    assert starter("Order 9 is", " in Oslo") != pytest.approx(first, abs=1e-3)


def test_without_anything_before_it_the_first_token_is_left_out():
    assert len(starter("", "in Oslo")) == len(starter("x", "in Oslo")) - 1
    assert starter("", "") == []


def test_a_result_that_is_repeated_gains_and_another_one_does_not():
    context, said = "Where is order 4411?", " 73192"

    right = call_gain(starter, "find_order(4411)", "73192", context, said)
    wrong = call_gain(starter, "find_order(4411)", "50468", context, said)

    assert right > wrong
    assert wrong <= 0.5


def test_a_scorer_travels_to_another_process():
    assert pickle.loads(pickle.dumps(ModelScorer("starter"))) == starter
