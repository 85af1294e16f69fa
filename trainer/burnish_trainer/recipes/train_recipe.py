"""Define the settings of training, their defaults and their ranges."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from burnish.errors import TrainingError
from burnish.records import Record


class TrainRecipe(Record, frozen=True, kw_only=True):
    """Settings of one training run; all of them enter its plan and its lineage."""

    name: str = "adapter"  # an adapter version is called name@sha12
    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    epochs: float = 3.0
    learning_rate: float = 2e-4
    batch_size: int = 16  # sequences a step
    warmup_steps: int = 5
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int | None = None  # tokens; longer rows are dropped and counted, never cut
    seed: int = 0
    init_adapter: str | None = None  # a version to continue from; None starts a fresh adapter
    threads: int | None = None  # of the processor; by default one for tiny models, else all
    checkpoints: int = 8  # over the whole run
    dtype: Literal["float32", "bfloat16"] = "float32"


_RANGES: dict[str, tuple[float, float]] = {
    "rank": (1, 512),
    "alpha": (1e-3, 4096),
    "dropout": (0, 0.9),
    "epochs": (1e-3, 1000),
    "learning_rate": (1e-9, 1),
    "batch_size": (1, 65536),
    "warmup_steps": (0, 1_000_000),
    "weight_decay": (0, 10),
    "max_grad_norm": (0, 1e6),
    "checkpoints": (0, 1000),
}


def make_recipe(given: TrainRecipe | dict[str, Any] | None = None, **changes: Any) -> TrainRecipe:
    """Return a checked recipe from another recipe, from plain settings, or from the defaults.

    Raises:
        TrainingError: A setting is unknown or out of its range.
    """
    values = msgspec.structs.asdict(given) if isinstance(given, TrainRecipe) else dict(given or {})
    values |= changes
    try:
        recipe = msgspec.convert(values, TrainRecipe, strict=False)
    except msgspec.ValidationError as error:
        raise TrainingError(
            f"the recipe is wrong: {error}",
            "settings as burnish_trainer.Recipe documents them",
            "look at [agent.NAME.train] in burnish.toml",
        ) from error
    unknown = set(values) - set(TrainRecipe.__struct_fields__)
    if unknown:
        raise TrainingError(
            f"the recipe has unknown settings: {', '.join(sorted(unknown))}",
            f"some of {', '.join(TrainRecipe.__struct_fields__)}",
            "look at [agent.NAME.train] in burnish.toml",
        )
    for name, (low, high) in _RANGES.items():
        if not low <= getattr(recipe, name) <= high:
            raise TrainingError(
                f"the recipe's {name} is {getattr(recipe, name)}",
                f"a number from {low:g} to {high:g}",
                f"set {name} in [agent.NAME.train] of burnish.toml",
            )
    return recipe
