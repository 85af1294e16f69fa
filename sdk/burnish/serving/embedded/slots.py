"""Apply LoRA adapters row by row: linear layers that add each row's adapter product.

Axes: `B` rows of a batch, `T` tokens, `I`/`O` inputs and outputs of a layer, `R` rank.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from burnish.records import AdapterManifest


@dataclasses.dataclass(frozen=True)
class LoraPair:
    """The two matrices of one layer, for `x @ down @ up`; the scale is in `up`."""

    down: torch.Tensor  # I x R
    up: torch.Tensor  # R x O


@dataclasses.dataclass(eq=False)
class Slot:
    """One loaded adapter version. Its weights never change; requests hold the object itself."""

    version: str
    path: Path
    pairs: tuple[LoraPair | None, ...]  # by the index of the layer
    rank: int
    manifest: AdapterManifest | None = None
    users: int = 0  # running and waiting requests; guarded by the engine's lock


class RowPlan:
    """Assignment of the rows of the current forward to slots.

    All layers of a model share one object. Rows of the base model are in no group and cost nothing.
    """

    def __init__(self) -> None:
        self.groups: list[tuple[Slot, torch.Tensor | None]] = []

    def assign_rows(self, slots: Sequence[Slot | None], device: torch.device) -> None:
        """Plan the next forward: one slot per row, or None for the base model."""
        rows: dict[int, list[int]] = {}
        seen: dict[int, Slot] = {}
        for row, slot in enumerate(slots):
            if slot is not None:
                rows.setdefault(id(slot), []).append(row)
                seen[id(slot)] = slot
        self.groups = [
            (seen[key], None if len(at) == len(slots) else torch.tensor(at, device=device))
            for key, at in rows.items()
        ]


class SlotLinear(nn.Linear):
    """A linear layer that adds to each row the product of the row's slot."""

    plan: RowPlan
    index: int

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's own name
        """Map `B x ... x I` to `B x ... x O`."""
        output = functional.linear(input, self.weight, self.bias)
        for slot, rows in self.plan.groups:
            pair = slot.pairs[self.index]
            if pair is None:
                continue
            if rows is None:
                flat = output.view(-1, self.out_features)
                flat.addmm_(input.reshape(-1, self.in_features) @ pair.down, pair.up)
            else:
                output.index_add_(0, rows, input.index_select(0, rows) @ pair.down @ pair.up)
        return output


@dataclasses.dataclass(frozen=True)
class Slots:
    """The slot layers of one model, by name, and their shared plan."""

    plan: RowPlan
    layers: dict[str, SlotLinear]


def install_slots(model: nn.Module) -> Slots:
    """Replace every plain linear layer of a model by a slot layer over the same weights."""
    plan, layers = RowPlan(), {}
    found = [(name, m) for name, m in model.named_modules() if type(m) is nn.Linear]
    for index, (name, linear) in enumerate(found):
        layer = SlotLinear(
            linear.in_features,
            linear.out_features,
            bias=cast("object", linear.bias) is not None,  # torch does not say that it may be None
            device="meta",
        )
        layer.weight, layer.bias = linear.weight, linear.bias
        layer.plan, layer.index = plan, index
        layer.eval()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer)
        layers[name] = layer
    return Slots(plan=plan, layers=layers)
