"""Write TRL's form for process rewards: a prompt, the steps of a run as texts, and a label for each.

`PRMTrainer` reads it (TRL 0.13 to 1.9 has one, 1.16 has none). A label is Math-Shepherd's hard
estimate (arXiv 2312.08935, section 3.3) over logged attempts instead of new rollouts: a step is
good if some attempt at the task that took the same steps up to it succeeded. A reply whose call
failed is bad even if the run succeeded. The form is text alone: tool results stand at the beginning
of the step that answers them. It needs failures too, else every label is good: build the version
with the recipe's `contrast`.
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
        contrast: Marks that the form needs failures too.
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
        """Yield runs as steps; their values depend on all runs of a task, so all rows are read first and wait on disk."""
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
            ExportError: If prompt or steps are not texts, or the numbers of labels and steps
                differ.
        """
        require(row, self.columns)
        texts = [row["prompt"], *row["completions"]]
        if not row["completions"] or not all(isinstance(text, str) and text for text in texts):
            raise ExportError("a prompt or a step is not text", "texts, and at least one step")
        if [type(label) for label in row["labels"]] != [bool] * len(row["completions"]):
            raise ExportError(
                f"{len(row['labels'])} labels for {len(row['completions'])} steps",
                "true or false for each step",
            )


def _places_of_replies(row: dict[str, Json]) -> list[int]:
    """Return the places of the replies that were made in this run."""
    return [int(call["message"]) for call in row["calls"]]


def _build_attempt(row: dict[str, Json]) -> Attempt:
    """Return the run as one attempt, with a key for each of its replies."""
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
    """Return for each step of each run 1 if some attempt at the task with the same steps up to it succeeded, else 0."""
    found = [b""] * runs
    for places in tasks.values():
        attempts = [aside.get(place, Attempt) for _, place in places]
        values = step_values(attempts)
        for (run, _), attempt in zip(places, attempts, strict=True):
            taken = (attempt.actions[:length] for length in range(1, len(attempt.actions) + 1))
            found[run] = bytes(values[attempt.task, steps][0] > 0 for steps in taken)
    return found


def _render_steps(messages: list[Chat], places: list[int]) -> list[str]:
    """Return each reply as a text, after the messages since the reply before."""
    starts = [places[0], *(place + 1 for place in places)]
    pairs = zip(starts, places, strict=False)
    return [_render_messages(messages[start : place + 1]) for start, place in pairs]


def _render_messages(messages: list[Chat]) -> str:
    """Return messages as one text; replies unchanged, all others under their role."""
    said = [
        turn_text(message) if message["role"] == "assistant" else f"{message['role']}: {turn_text(message)}"
        for message in messages
    ]  # fmt: skip
    return "\n".join(said)
