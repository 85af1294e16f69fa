"""Count how many runs entered, stayed and left, stage by stage, with reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


class Funnel:
    """Counts of a pipeline; every run that enters leaves by a row or by a reason.

    Attributes:
        gone: Each run that left, with the stage and the reason.
    """

    def __init__(self) -> None:
        self.gone: list[tuple[str, str, str]] = []
        self._stages: dict[str, tuple[Counter[str], Counter[str]]] = {}

    def keep(self, stage: str, count: int = 1) -> None:
        """Count what passed a stage."""
        self._stage_counts(stage)[0]["kept"] += count

    def drop(self, stage: str, reason: str, run: str = "") -> None:
        """Count what left at a stage, and why; note the run if its id is given."""
        self._stage_counts(stage)[1][reason] += 1
        if run:
            self.gone.append((run, stage, reason))

    def add_stages(self, stages: Iterable[Mapping[str, Any]]) -> None:
        """Add the counts of another funnel, as its stages() returns them."""
        for stage in stages:
            self.keep(stage["name"], stage["kept"])
            self._stage_counts(stage["name"])[1].update(stage["dropped"])

    def count_entered(self) -> int:
        """Return how many runs entered so far."""
        return next(iter(self.stages()), {"in": 0})["in"]

    def stages(self) -> list[dict[str, Any]]:
        """Return one entry a stage: `name`, `in`, `kept`, `dropped` by reason."""
        return [
            {
                "name": name,
                "in": kept["kept"] + dropped.total(),
                "kept": kept["kept"],
                "dropped": dict(sorted(dropped.items())),
            }
            for name, (kept, dropped) in self._stages.items()
        ]

    def count_dropped(self) -> dict[str, int]:
        """Return the count of everything that left, by reason."""
        total: Counter[str] = Counter()
        for _, dropped in self._stages.values():
            total += dropped
        return dict(sorted(total.items()))

    def to_sentence(self) -> str:
        """Return the funnel as one line for messages."""
        entered = self.stages()[0]["in"] if self._stages else 0
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.count_dropped().items())
        return f"{entered} runs came in: {reasons or 'none was dropped'}"

    def _stage_counts(self, stage: str) -> tuple[Counter[str], Counter[str]]:
        return self._stages.setdefault(stage, (Counter(), Counter()))
