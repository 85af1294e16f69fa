"""Make models that compute in double precision all the way."""

from __future__ import annotations

import torch


class _DoubleNorm(torch.nn.Module):
    """A root-mean-square norm that stays in double precision; transformers' own rounds to single on the way."""

    def __init__(self, norm, offset):
        super().__init__()
        self.weight, self.offset = norm.weight, offset
        self.eps = getattr(norm, "variance_epsilon", None) or norm.eps

    def forward(self, hidden):
        scale = torch.rsqrt(hidden.square().mean(-1, keepdim=True) + self.eps)
        return hidden * scale * (self.weight + self.offset)


def in_double(model):
    """Return the model in double precision, its norms too."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__.endswith("RMSNorm"):
                offset = 1.0 if "Gemma" in type(child).__name__ else 0.0
                setattr(parent, name, _DoubleNorm(child, offset))
    return model.double()
