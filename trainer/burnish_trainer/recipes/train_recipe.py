"""Define the settings of training, their defaults and their ranges."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from burnish.config.decoding import Fault, decode_table
from burnish.errors import TrainingError
from burnish.project import TrainConfig, TrainTable


class TrainRecipe(TrainTable, frozen=True, kw_only=True):
    """Settings of one training run; all of them enter its plan and its lineage.

    Most of its fields are keys of `[agent.NAME.train]`: `TrainTable` defines them with defaults and ranges.
    """

    name: str = "adapter"  # an adapter version is called name@sha12
    method: Literal["lora", "rslora", "dora", "qlora", "qdora", "full"] = "lora"
    peft: dict[str, Any] | None = None  # any configuration of PEFT, with its peft_type; for method
    dropout: Annotated[float, Meta(ge=0, le=0.9)] = 0.0
    warmup_steps: Annotated[int, Meta(ge=0, le=1_000_000)] = 5
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    weight_decay: Annotated[float, Meta(ge=0, le=10)] = 0.0
    max_grad_norm: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    init_adapter: str | None = None  # a version to continue from; None starts a fresh adapter
    threads: int | None = None  # of the processor; by default one for tiny models, else all
    checkpoints: Annotated[int, Meta(ge=0, le=1000)] = 8  # over the whole run
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def method_name(self) -> str:
        """Return the name of the method, or the kind of PEFT configuration that is passed through."""
        return self.method if self.peft is None else str(self.peft.get("peft_type", "peft")).lower()


_PLACE = "look at [agent.NAME.train] in burnish.toml"
_FAULT = Fault(TrainingError, _PLACE, _PLACE)


def recipe_of_agent(table: TrainConfig) -> dict[str, Any]:
    """Return the settings of a recipe in `[agent.NAME.train]`, with those of its table `recipe`.

    Args:
        table: The table of burnish.toml.

    Raises:
        TrainingError: A setting of the table `recipe` is unknown, out of its range, or a key of the outer table.
    """
    settings = msgspec.structs.asdict(table)
    further = settings.pop("recipe")
    del settings["start"]
    twice = sorted(further.keys() & settings.keys())
    if twice:
        raise TrainingError(
            f"{twice[0]} is a setting of [agent.NAME.train.recipe]",
            "only settings there that [agent.NAME.train] itself does not have",
            f"write {twice[0]} into [agent.NAME.train]",
        )
    make_recipe(further)
    return {**settings, **further}


def make_recipe(given: TrainRecipe | dict[str, Any] | None = None, **changes: Any) -> TrainRecipe:
    """Return a checked recipe from another recipe, from plain settings, or from the defaults.

    Raises:
        TrainingError: A setting is unknown or out of its range.
    """
    values = msgspec.structs.asdict(given) if isinstance(given, TrainRecipe) else dict(given or {})
    values |= changes
    return decode_table(values, TrainRecipe, "recipe", fault=_FAULT, strict=False)
