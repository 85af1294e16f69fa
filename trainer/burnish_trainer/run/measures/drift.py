"""Measure how far an adapter has moved the model from its base: next-token distributions, adapter on against off.

`measure_drift` is the entry. It reads held-out rows where the dataset has some, else training rows, and says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from burnish_trainer.logits import logits_at
from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.rows.token_rows import TokenRow

_MOST_TOKENS = 8192  # of the rows
_MOST_LOGITS = 2**26  # numbers of one forward pass: a quarter of a GiB in single precision


@dataclass(frozen=True, slots=True)
class Drift:
    """The distance of an adapter from its base model.

    Attributes:
        rows: "heldout" or "train".
        tokens: Tokens of replies over which the means are taken.
        kl: Mean of KL(adapter || base) in nats, over the whole vocabulary.
        changed: Share of tokens where the likeliest next token is another one.
        gain: Mean rise of the log-probability of the rows' own tokens.
    """

    rows: str
    tokens: int
    kl: float
    changed: float
    gain: float

    def as_dict(self) -> dict[str, Any]:
        """Return the measure as plain data."""
        return asdict(self)


@torch.no_grad()
def measure_drift(
    model: Any, heldout: Sequence[TokenRow], trained: Sequence[TokenRow]
) -> Drift | None:
    """Return the drift over the replies of some rows; None if no row has a learned token.

    KL(p || q) = sum_v p(v) (log p(v) - log q(v)), with p of the model with its adapter and q without it (Kullback and
    Leibler 1951), in the context of the rows and not of the adapter's own replies.

    Args:
        model: The adapted model, as peft returns it.
        heldout: Rows that it was not trained on.
        trained: Rows that it was trained on; used if there are no others.
    """
    model.eval()
    sums, tokens = torch.zeros(3, dtype=torch.float64), 0
    for ids, chosen, targets in _find_targets(model, _spread(heldout or trained)):
        adapted = logits_at(model, ids, chosen).float().log_softmax(-1)
        with model.disable_adapter():
            base = logits_at(model, ids, chosen).float().log_softmax(-1)
        moved = adapted - base
        places = torch.arange(len(targets), device=targets.device)
        found = (
            (adapted.exp() * moved).sum(),
            (adapted.argmax(-1) != base.argmax(-1)).sum(),
            moved[places, targets].sum(),
        )
        sums += torch.stack([one.double() for one in found]).cpu()
        tokens += len(targets)
    if not tokens:
        return None
    kl, changed, gain = (round(float(one) / tokens, 6) for one in sums)
    return Drift("heldout" if heldout else "train", tokens, max(kl, 0.0), changed, gain)


def _spread(rows: Sequence[TokenRow]) -> list[TokenRow]:
    """Return rows from all over the set, up to a number of tokens."""
    total = sum(len(row.input_ids) for row in rows)
    every = max(1, -(-total // _MOST_TOKENS))
    return list(rows[::every])


def _find_targets(
    model: Any, rows: Sequence[TokenRow]
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield for each row its tokens, some of the learned positions and the tokens that follow there.

    A row with many learned tokens comes several times, since a large vocabulary makes their logits large.
    """
    device = next(model.parameters()).device
    vocabulary = model.get_output_embeddings().weight.shape[0]
    for row in rows:
        ids = torch.tensor([row.input_ids], device=device)
        labels = torch.tensor(row.labels[1:], device=device)
        places = (labels != IGNORE).nonzero().flatten()
        for part in places.split(max(1, _MOST_LOGITS // vocabulary)):
            if len(part):
                chosen = torch.zeros_like(labels, dtype=torch.bool)
                chosen[part] = True
                yield ids, chosen[None], labels[part]
