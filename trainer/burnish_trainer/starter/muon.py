"""Optimise the weight matrices of a small model on a CPU with Muon, in single precision.

Muon makes the momentum orthogonal by Newton-Schulz iterations (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/). pretrain.py chooses the matrices and the schedule.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def orthogonal(batch_brc: torch.Tensor) -> torch.Tensor:
    """Return approximately the nearest semi-orthogonal matrices: all singular values near 1.

    Args:
        batch_brc: Matrices with no more rows than columns (batch, row, column).
    """
    a, b, c = _COEFFICIENTS
    x = batch_brc / (batch_brc.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Steps along the orthogonalised momentum; matrices of one shape are stepped together.

    Args:
        matrices: Two-dimensional parameters.
        lr: Step length, in units of the spectral norm.
        momentum: Share of the past in the running gradient, 0 to 1.
    """

    def __init__(
        self, matrices: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95
    ) -> None:
        by_shape: dict[tuple[int, ...], list[torch.nn.Parameter]] = {}
        for matrix in matrices:
            by_shape.setdefault(tuple(sorted(matrix.shape)), []).append(matrix)
        groups = [{"params": same} for same in by_shape.values()]
        super().__init__(groups, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Step every matrix once."""
        for group in self.param_groups:
            wide = [_wide(matrix.grad) for matrix in group["params"]]
            gradient = torch.stack(wide)
            state = self.state[group["params"][0]]
            running = state.setdefault("running", torch.zeros_like(gradient))
            running.lerp_(gradient, 1 - group["momentum"])
            steps = orthogonal(gradient.lerp(running, group["momentum"]))
            for matrix, step in zip(group["params"], steps, strict=True):
                rows, columns = matrix.shape
                turned = step if rows <= columns else step.T
                matrix.add_(turned, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)


def _wide(matrix: torch.Tensor) -> torch.Tensor:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
