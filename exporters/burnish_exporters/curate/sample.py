"""Define what a curation step takes and returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from burnish.records import Trajectory, Verdict


class Item(msgspec.Struct, kw_only=True):
    """A run in curation: the trajectory, its split, and the verdicts so far."""

    trajectory: Trajectory
    split: str = "train"
    verdict: Verdict | None = None  # the combined one
    verdicts: list[Verdict] = []


class Sample(msgspec.Struct, kw_only=True):
    """The view of a run for a step over the whole set; the run's rows are on disk by then.

    Attributes:
        content_key: Equal for conversations that are the same up to call ids.
        action_key: Equal for the same request and calls, up to times and generated ids.
        kind: Kind of task (`slices.kind_of`).
        request: Text of the user messages; empty unless the recipe compares requests.
        actions: Key of each call, in order; empty unless the recipe compares attempts.
        quiet: Places among the actions whose turns carry no loss.
        errors: Number of failed tool runs.
        place: Position and size of the run's rows in the spool.
    """

    trajectory_id: str
    task_id: str | None
    user: str | None
    split: str
    source: str
    started_ns: int
    label: str
    tags: list[str]
    rows: int
    steps: int
    errors: int
    content_key: str
    action_key: str
    kind: str = ""
    request: str = ""
    actions: list[str] = []
    quiet: list[int] = []
    weight: float = 1.0
    place: tuple[int, int] = (0, 0)

    @property
    def task(self) -> str:
        """Return the task's id; the run's id if it has none."""
        return self.task_id or self.trajectory_id


class Keep(msgspec.Struct, frozen=True):
    """The item goes on to the next step."""


class Drop(msgspec.Struct, frozen=True):
    """The item stops here; the pipeline counts the reason."""

    reason: str
    trajectory_id: str = ""


KEEP = Keep()

Step = Callable[[Item], Keep | Drop]
SetStep = Callable[[Iterable[Sample]], Iterator[Sample | Drop]]
