"""TRL's form for process rewards: a prompt, the steps of a run as texts, and a label for each.

Knows: what a `PRMTrainer` reads (TRL 0.13 to 1.9 ships one, 1.16 none), and how a step gets its label.
Does not know: how rows were made.

A label is Math-Shepherd's hard estimate (arXiv 2312.08935, section 3.3) over logged attempts instead of new rollouts: a
step is good if some attempt at the task that took the same steps up to it succeeded. A reply whose call failed is bad
whatever came of the run. The form is text alone: the results that a step answers to stand at its beginning. It needs
failures too, else every label is good: build with the recipe's `contrast`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.curate.steps.values import Attempt, step_values
from burnish_exporters.formats.aside import Aside
from burnish_exporters.formats.columns import require
from burnish_exporters.formats.plain import Chat, turn_text
from burnish_exporters.rows.keys import actions_of


@dataclass(frozen=True, kw_only=True)
class TrlPrm:
    """Prompt, completions and labels; one row per run.

    Attributes:
        contrast: That the form needs failures too.
    """

    name: str = "trl-prm"
    columns: list[str] = field(default_factory=lambda: ["prompt", "completions", "labels"])
    kinds: dict[str, str] = field(
        default_factory=lambda: {
            "prompt": "text",
            "completions": "list of text",
            "labels": "list of bool",
        }
    )
    contrast: bool = True

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Runs as steps; the values of steps come from all runs of a task, so all are read first and wait on disk."""
        with Aside() as aside:
            runs: list[int] = []
            tasks: dict[str, list[tuple[int, int]]] = {}
            for row in rows:
                if row["calls"]:
                    attempt = _build_attempt(row)
                    tasks.setdefault(attempt.task, []).append((len(runs), aside.put(attempt)))
                    runs.append(aside.put((row["messages"], _places_of_replies(row))))
            for place, won in zip(runs, _label_steps(tasks, aside, len(runs)), strict=True):
                messages, replies = aside.get(place)
                labels = zip(won, (messages[reply]["loss"] for reply in replies), strict=True)
                yield {
                    "prompt": _render_messages(messages[: replies[0]]),
                    "completions": _render_steps(messages, replies),
                    "labels": [bool(step and is_learned) for step, is_learned in labels],
                }

    def check(self, row: dict[str, Json]) -> None:
        """Check that each step is a text with its label.

        Raises:
            ExportError: If prompt or steps are no texts, or labels and steps are not as many.
        """
        require(row, self.columns)
        texts = [row["prompt"], *row["completions"]]
        if not row["completions"] or not all(isinstance(text, str) and text for text in texts):
            raise ExportError("a prompt or a step that is no text", "texts, and at least one step")
        if [type(label) for label in row["labels"]] != [bool] * len(row["completions"]):
            raise ExportError(
                f"{len(row['labels'])} labels for {len(row['completions'])} steps",
                "true or false for each step",
            )


def _places_of_replies(row: dict[str, Json]) -> list[int]:
    """Places of the replies that were made in this run."""
    return [int(call["message"]) for call in row["calls"]]


def _build_attempt(row: dict[str, Json]) -> Attempt:
    """The run as one attempt, with a key for each of its replies."""
    messages, actions, seen = row["messages"], [], 0
    for place in _places_of_replies(row):
        calls = actions_of(messages[: place + 1])
        new, seen = calls[seen:], len(calls)
        actions.append("\n".join(new) or " ".join(turn_text(messages[place]).split()))
    return Attempt(
        task=row["task_id"] or row["trajectory_id"],
        actions=tuple(actions),
        success=row["verdict"]["label"] == "success",
    )


def _label_steps(tasks: dict[str, list[tuple[int, int]]], aside: Aside, runs: int) -> list[bytes]:
    """For each step of each run 1 if some attempt at the task that took the same steps up to it succeeded."""
    found = [b""] * runs
    for places in tasks.values():
        attempts = [aside.get(place, Attempt) for _, place in places]
        values = step_values(attempts)
        for (run, _), attempt in zip(places, attempts, strict=True):
            taken = (attempt.actions[:length] for length in range(1, len(attempt.actions) + 1))
            found[run] = bytes(values[attempt.task, steps][0] > 0 for steps in taken)
    return found


def _render_steps(messages: list[Chat], places: list[int]) -> list[str]:
    """Each reply as a text, behind what was said since the reply before."""
    starts = [places[0], *(place + 1 for place in places)]
    pairs = zip(starts, places, strict=False)
    return [_render_messages(messages[start : place + 1]) for start, place in pairs]


def _render_messages(messages: list[Chat]) -> str:
    """Messages as one text; replies as they are, all else under its role."""
    said = [
        turn_text(message) if message["role"] == "assistant" else f"{message['role']}: {turn_text(message)}"
        for message in messages
    ]  # fmt: skip
    return "\n".join(said)
