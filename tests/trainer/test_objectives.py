"""The losses move log-probabilities in the right direction, and runs of an old policy are refused."""

from __future__ import annotations

import functools

import pytest
import torch

from burnish.errors import TrainingError
from burnish_trainer.objectives.policy_gradient import (
    LoggedTokens,
    effective_sample_share,
    policy_gradient,
    refuse_stale_runs,
)
from burnish_trainer.objectives.preference import (
    PAIR_LOSSES,
    LabelledScores,
    PairScores,
    kto,
    orpo,
)
from burnish_trainer.objectives.supervised import dft, weighted_nll

LOSSES = {**PAIR_LOSSES, "orpo": functools.partial(orpo)}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_preference_raises_the_chosen_side_and_lowers_the_rejected_one(loss):
    chosen = torch.tensor([-4.0, -9.0], requires_grad=True)
    rejected = torch.tensor([-5.0, -7.0], requires_grad=True)
    known, counts = torch.tensor([-4.5, -8.0]), torch.tensor([2, 4])
    loss(PairScores(chosen, rejected, known, known, counts, counts)).backward()
    assert (chosen.grad < 0).all()
    assert (rejected.grad > 0).all()


def test_kto_raises_wanted_replies_and_lowers_the_others():
    logprobs = torch.tensor([-4.0, -5.0], requires_grad=True)
    known, wanted = torch.tensor([-4.5, -4.5]), torch.tensor([True, False])
    kto(LabelledScores(logprobs, known, wanted, known + 0.1, known)).backward()
    assert logprobs.grad[0] < 0 < logprobs.grad[1]


def test_supervised_losses_by_hand():
    logprobs, weights = torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 3.0])
    assert float(weighted_nll(logprobs, weights)) == pytest.approx(7 / 4)
    wanted = (2.718281828**-1 + 6 * 2.718281828**-2) / 4
    assert float(dft(logprobs, weights)) == pytest.approx(wanted)


def tokens(logged, advantages=(1.0, -1.0, 1.0)):
    return LoggedTokens(torch.tensor(advantages), torch.tensor([0, 0, 1]), logged)


def test_policy_gradient_follows_the_advantage_until_the_ratio_is_clipped():
    logprobs = torch.tensor([-1.0, -1.0, -1.0], requires_grad=True)
    policy_gradient(logprobs, tokens(torch.tensor([-1.0, -1.0, -2.0]))).backward()
    assert logprobs.grad[0] < 0 < logprobs.grad[1]
    assert logprobs.grad[2] == 0
    plain = torch.tensor([-1.0, -2.0, -3.0])
    assert float(policy_gradient(plain, tokens(None))) == pytest.approx((1 - 2 + 3) / 3)


def test_runs_of_a_policy_that_is_far_away_are_refused():
    now = torch.tensor([-1.0, -1.0, -1.0])
    assert effective_sample_share(now, tokens(now)) == pytest.approx(1)
    old = tokens(torch.tensor([-9.0, -9.0, -1.0]))
    assert effective_sample_share(now, old) == pytest.approx(0.5, abs=1e-3)
    assert refuse_stale_runs(now, tokens(now)) == pytest.approx(1)
    with pytest.raises(TrainingError, match="effective sample size"):
        refuse_stale_runs(now, old, least=0.6)
    with pytest.raises(TrainingError, match="no log-probabilities"):
        refuse_stale_runs(now, tokens(None))
