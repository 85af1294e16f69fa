"""Write TRL's forms for preferences: DPO by run and by step, KTO.

`DPOTrainer` and `KTOTrainer` read these forms; pairs.py builds the pairs. The forms need failures
too: build the version with the recipe's `contrast`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.formats.columns import require
from burnish_exporters.formats.contrast import Tally, each_fit_pair
from burnish_exporters.formats.pairs import MOST_PER_TASK, Pair, run_pairs, step_pairs
from burnish_exporters.formats.plain import Unfit, each_fit
from burnish_exporters.formats.trl.sft import chat_message, check_messages


@dataclass(frozen=True, kw_only=True)
class TrlDpo:
    """Prompt, chosen and rejected.

    Attributes:
        steps: Whether a side is the one reply at the fork; otherwise the rest of the run.
        contrast: Marks that the form needs failures too.
        most_per_task: Most pairs of one task.
    """

    name: str = "trl-dpo"
    columns: list[str] = field(default_factory=lambda: ["prompt", "chosen", "rejected", "tools"])
    steps: bool = False
    objects: bool = True
    contrast: bool = True
    most_per_task: int = MOST_PER_TASK
    tally: Tally = field(default_factory=Tally)
    refused: Counter[str] = field(default_factory=Counter)

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Yield one row per pair."""
        self.tally.clear()
        self.refused.clear()
        make = step_pairs if self.steps else run_pairs
        pairs = make(rows, self.most_per_task, unpaired=self.refused)
        return each_fit_pair(pairs, self._row, self.tally, self.refused)

    def _row(self, pair: Pair) -> dict[str, Json]:
        sides = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
        made: dict[str, Json] = {
            name: [chat_message(message, objects=self.objects) for message in messages]
            for name, messages in sides.items()
        }
        return {**made, "tools": pair.tools}

    def facts(self) -> dict[str, Json]:
        """Return the differences between the sides of the pairs that were rendered last."""
        return self.tally.report()

    def check(self, row: dict[str, Json]) -> None:
        """Check what chat templates rely on, and that the two sides differ.

        Raises:
            ExportError: If a side does not have the form that templates read, or the sides are
                equal.
        """
        require(row, self.columns)
        for side in ("chosen", "rejected"):
            check_messages([*row["prompt"], *row[side]])
        if row["chosen"] == row["rejected"]:
            raise ExportError("a pair whose sides are the same", "two different continuations")


@dataclass(frozen=True, kw_only=True)
class TrlKto:
    """Prompt, completion and whether it is wanted; no pairs needed."""

    name: str = "trl-kto"
    columns: list[str] = field(default_factory=lambda: ["prompt", "completion", "label", "tools"])
    objects: bool = True
    contrast: bool = True
    refused: Counter[str] = field(default_factory=Counter)

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Yield one row per run, cut at its first sampled reply."""
        return each_fit(rows, self._run, self.refused)

    def _run(self, row: dict[str, Json]) -> dict[str, Json]:
        messages = [chat_message(message, objects=self.objects) for message in row["messages"]]
        first = next((p for p, m in enumerate(row["messages"]) if m["loss"]), None)
        if first is None:
            raise Unfit("no reply that is learned")
        return {
            "prompt": messages[:first],
            "completion": messages[first:],
            "label": row["verdict"]["label"] == "success",
            "tools": row["tools"],
        }

    def check(self, row: dict[str, Json]) -> None:
        """Check what chat templates rely on.

        Raises:
            ExportError: If prompt or completion does not have the form that templates read.
        """
        require(row, self.columns)
        check_messages([*row["prompt"], *row["completion"]])
