"""LoRA slots: linear layers that add an adapter's product to the rows that asked for it.

Knows: how the rows of a forward map to slots, and how a layer adds a slot's product.
Does not know: where a slot's weights come from (loader) and who runs the forward (worker).

Axes: `B` rows of a batch, `T` tokens, `I`/`O` inputs and outputs of a layer, `R` rank.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from burnish.records import AdapterManifest


@dataclasses.dataclass(frozen=True)
class Pair:
    """The two matrices of one layer, laid out for `x @ down @ up`; the scale is in `up`."""

    down: torch.Tensor  # I x R
    up: torch.Tensor  # R x O


@dataclasses.dataclass(eq=False)
class Slot:
    """One loaded adapter version. Its weights never change; requests hold the object itself."""

    version: str
    path: Path
    pairs: tuple[Pair | None, ...]  # by the index of the layer
    rank: int
    manifest: AdapterManifest | None = None
    users: int = 0  # running and waiting requests; guarded by the engine's lock


class RowPlan:
    """Which rows of the forward that runs now belong to which slot.

    One object is shared by all layers of a model. Rows of the base model are in no group and cost
    nothing.
    """

    def __init__(self) -> None:
        self.groups: list[tuple[Slot, torch.Tensor | None]] = []

    def set(self, slots: Sequence[Slot | None], device: torch.device) -> None:
        """Plan the next forward: one slot, or none for the base model, per row."""
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
    """A linear layer that adds, row by row, the product of the slot that the row belongs to."""

    plan: RowPlan
    index: int

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's own name
        """`B x ... x I` to `B x ... x O`."""
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
    """The slot layers of one model: their names in order, and the plan that they share."""

    plan: RowPlan
    layers: dict[str, SlotLinear]


def install(model: nn.Module) -> Slots:
    """Replace every plain linear layer of a model by a slot layer over the same weights."""
    plan, layers = RowPlan(), {}
    found = [(name, m) for name, m in model.named_modules() if type(m) is nn.Linear]
    for index, (name, linear) in enumerate(found):
        layer = SlotLinear(
            linear.in_features,
            linear.out_features,
            bias=linear.bias is not None,
            device="meta",
        )
        layer.weight, layer.bias = linear.weight, linear.bias
        layer.plan, layer.index = plan, index
        layer.eval()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer)
        layers[name] = layer
    return Slots(plan=plan, layers=layers)
