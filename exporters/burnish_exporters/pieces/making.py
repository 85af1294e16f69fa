"""Runs become samples and rows, piece by piece: verify, curate one by one, render, redact.

Knows: the order of the steps over one run, and that a run leaves by its rows or by a counted reason.
Does not know: what a step does, and which of the rows will be chosen.

Runs stream through, some dozens at a time in the hands of a verifier; a piece is finished when a run of the next one
comes out at the end.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from burnish.protocols import traits_of
from burnish.records import Trajectory, Verdict
from burnish.redaction import Redactor
from burnish_exporters import curate
from burnish_exporters.curate.pools import requests_of
from burnish_exporters.curate.sample import Drop, Item, Sample, Step
from burnish_exporters.curate.slices import kind_of, tags_of
from burnish_exporters.dataset.parquet import stored
from burnish_exporters.dataset.spool import packed
from burnish_exporters.funnel import Funnel
from burnish_exporters.pieces.moment import known_at
from burnish_exporters.pieces.plan import Plan
from burnish_exporters.pieces.steps import refusals_of, source_steps, verified_steps
from burnish_exporters.redact import RowRedactor, finders_of
from burnish_exporters.rows import Row, Unrenderable, build_rows
from burnish_exporters.rows.docs import ToolDocs
from burnish_exporters.rows.keys import action_key, actions_of, content_key, request_of
from burnish_exporters.rows.row import RowSettings
from burnish_exporters.rows.stable import digest
from burnish_exporters.verify import combine, judge_all

Watch = Callable[[Funnel], None]
_LOOK = 256


class Piece(msgspec.Struct, kw_only=True):
    """What became of some runs.

    Attributes:
        name: Changes whenever the piece could come out otherwise.
        samples: The runs that are left; their `place` is within `rows`.
        stages: The funnel of these runs.
        replaced: What was redacted, by kind, and how many rows and calls it concerned.
        kinds: Runs and verified successes, by kind of task.
        rows: The rows, as the spool holds them.
        gone: Runs that left, each with stage and reason.
    """

    name: str
    samples: list[Sample] = []
    stages: list[dict[str, Any]] = []
    replaced: dict[str, int] = {}
    kinds: dict[str, list[int]] = {}
    rows: bytes = b""
    gone: list[tuple[str, str, str]] = []


class _Open:
    """A piece that is being made."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.funnel = Funnel()
        self.samples: list[Sample] = []
        self.kinds: dict[str, list[int]] = {}
        self._rows = bytearray()

    def saw(self, kind: str, place: int) -> None:
        """Count a run (place 0) or a verified success (place 1) of a kind."""
        self.kinds.setdefault(kind, [0, 0])[place] += 1

    def add(self, rows: list[Row]) -> tuple[int, int]:
        """Append the rows of one run; their place and size."""
        payload = packed([stored(row) for row in rows])
        place = len(self._rows), len(payload)
        self._rows += payload
        return place

    def finished(self, replaced: Counter[str]) -> Piece:
        """The piece, as it is kept."""
        return Piece(
            name=self.name,
            samples=self.samples,
            stages=self.funnel.stages(),
            replaced=dict(replaced),
            kinds=self.kinds,
            rows=bytes(self._rows),
            gone=self.funnel.gone,
        )


class PieceMaker:
    """Makes pieces after a plan.

    Args:
        plan: What decides about a run.
        watch: Called now and then with the funnel of the piece that runs enter.

    Raises:
        ExportError: If the recipe names something that is not there.
    """

    def __init__(self, plan: Plan, watch: Watch | None = None) -> None:
        self._plan, self._watch = plan, watch
        self._kinds = [traits_of(verifier).kind for verifier in plan.verifiers]
        self._source, self._verified = source_steps(plan), verified_steps(plan)
        docs, share = plan.recipe.tool_docs, plan.recipe.tool_docs_share
        self._docs = ToolDocs.read(Path(docs), share) if docs else None
        self._redactor = redactor_of(plan)
        self._refusals = refusals_of(plan.recipe)
        self._before = Counter[str]()
        self._open: deque[_Open] = deque()

    def run(self, runs: Iterable[tuple[str, Trajectory]]) -> Iterator[Piece]:
        """Make pieces of runs.

        Args:
            runs: Each with the name of its piece; runs of one piece follow each other.
        """
        entered = self._passing("source", self._source, self._entering(runs))
        for item, piece in self._passing("verify", self._verified, self._judged(entered)):
            while self._open[0] is not piece:
                yield self._close()
            sample = self._sample(item, piece)
            if sample is not None:
                piece.samples.append(sample)
        while self._open:
            yield self._close()

    def given(self, name: str, runs: Iterable[Trajectory], verdict: Verdict) -> Piece:
        """A piece of runs that are taken as they are, such as general conversations.

        Args:
            name: Name of the piece, and of its stage in the funnel.
            runs: The runs.
            verdict: What their rows say about who vouches for them.
        """
        piece = _Open(name)
        for trajectory in runs:
            item = Item(trajectory=trajectory, split="train", verdict=verdict)
            refused = self._refusals.of_requests(requests_of(trajectory))
            if refused:
                piece.funnel.drop(name, refused, trajectory.id)
                continue
            sample = self._sample(item, piece, name)
            if sample is not None:
                piece.samples.append(sample)
        self._open.append(piece)
        return self._close()

    def _entering(self, runs: Iterable[tuple[str, Trajectory]]) -> Iterator[tuple[Item, _Open]]:
        for count, (name, run) in enumerate(runs, 1):
            trajectory = known_at(run, self._plan.as_of_ns)
            if trajectory is None:
                continue
            if not self._open or self._open[-1].name != name:
                self._open.append(_Open(name))
            item = Item(trajectory=trajectory, split=self._split(trajectory))
            self._open[-1].saw(self._kind(trajectory), 0)
            yield item, self._open[-1]
            if self._watch and count % _LOOK == 0:
                self._watch(self._open[-1].funnel)

    def _kind(self, trajectory: Trajectory) -> str:
        """The kind of a run, as it may be written into the manifest."""
        return self._names([kind_of(trajectory)])[0]

    def _names(self, names: list[str]) -> list[str]:
        return self._redactor.clean_names(names) if self._redactor else names

    def _split(self, trajectory: Trajectory) -> str:
        """Depends on nothing but the run."""
        recipe = self._plan.recipe
        return curate.assign_split(trajectory, heldout=recipe.heldout, since_ns=recipe.since_ns())

    def _judged(self, items: Iterable[tuple[Item, _Open]]) -> Iterator[tuple[Item, _Open]]:
        """Items with what the verifiers say; they come out in the order in which they went in."""
        inside: deque[tuple[Item, _Open]] = deque()

        def entering() -> Iterator[Trajectory]:
            for item, piece in items:
                inside.append((item, piece))
                yield item.trajectory

        for trajectory, verdicts in judge_all(self._plan.verifiers, entering(), self._plan.pool):
            item, piece = inside.popleft()
            item.trajectory = trajectory
            item.verdict, item.verdicts = combine(verdicts, self._kinds), verdicts
            if item.verdict.label == "success":
                piece.saw(self._kind(trajectory), 1)
            yield item, piece

    def _passing(
        self, stage: str, steps: list[Step], items: Iterable[tuple[Item, _Open]]
    ) -> Iterator[tuple[Item, _Open]]:
        for item, piece in items:
            answers = (step(item) for step in steps)
            dropped = next((answer for answer in answers if isinstance(answer, Drop)), None)
            if dropped is None:
                piece.funnel.keep(stage)
                yield item, piece
            else:
                piece.funnel.drop(stage, dropped.reason, item.trajectory.id)

    def _sample(self, item: Item, piece: _Open, stage: str = "rows") -> Sample | None:
        """What the whole-set steps need to see of a run, once its rows are stored."""
        try:
            rows, problem = self._rows(item)
            sample = self._summary(item, rows, piece) if rows else None
        except Unrenderable as found:
            sample, problem = None, str(found)
        except (UnicodeError, OverflowError):
            sample, problem = None, "malformed: text or numbers that JSON cannot hold"
        if sample is None:
            piece.funnel.drop(stage, problem or "nothing to learn", item.trajectory.id)
        else:
            piece.funnel.keep(stage)
        return sample

    def _rows(self, item: Item) -> tuple[list[Row], str | None]:
        """The finished rows of a run, or none and the reason to count."""
        assert item.verdict is not None  # noqa: S101 - the steps before let nothing else pass
        recipe = self._plan.recipe
        settings = RowSettings(mask_errors=recipe.mask_errors, max_chars=recipe.max_message_chars)
        found, problem = build_rows(
            item.trajectory, item.verdict, split=item.split, settings=settings
        )
        if self._docs:
            for row in found:
                self._docs.add_to(row)
        if self._redactor:
            self._redactor.clean(found)
            self._redactor.refuse_leaks(found)
            overlooked = self._redactor.overlooked(found)
            if overlooked:
                return [], f"second look: {', '.join(sorted(overlooked))}"
        return found, problem

    def _summary(self, item: Item, rows: list[Row], piece: _Open) -> Sample:
        trajectory, verdict = item.trajectory, item.verdict or Verdict(label="unknown", verifier="")
        needs = self._plan.recipe.needs()
        tags = sorted(self._names(tags_of(trajectory, rows)))
        for row in rows:
            row.kind_tags = tags
        return Sample(
            trajectory_id=trajectory.id,
            task_id=rows[0].task_id,
            user=rows[0].user,
            split=item.split,
            source=self._names([trajectory.source])[0],
            started_ns=trajectory.started_ns,
            label=verdict.label,
            kind=self._kind(trajectory),
            tags=tags,
            rows=len(rows),
            steps=len(trajectory.model_calls),
            errors=sum(run.is_error or run.error is not None for run in trajectory.tool_runs),
            content_key=digest([content_key(row.messages) for row in rows]),
            action_key=digest([action_key(row.messages) for row in rows]),
            request=request_of(rows[0].messages) if "request" in needs else "",
            actions=[digest(action) for row in rows for action in actions_of(row.messages)]
            if "actions" in needs
            else [],
            place=piece.add(rows),
        )

    def _close(self) -> Piece:
        now = self._redactor.totals() if self._redactor else Counter[str]()
        replaced = now - self._before
        self._before = now
        return self._open.popleft().finished(replaced)


def redactor_of(plan: Plan) -> RowRedactor | None:
    """What cleans the rows of a plan; None where nothing is replaced."""
    recipe = plan.recipe
    if recipe.redact == "none":
        return None
    finders = finders_of(
        recipe.redact_patterns,
        recipe.redact_terms,
        engines=recipe.redact == "full",
        names_model=recipe.names_model,
    )
    return RowRedactor(Redactor(plan.key, finders=finders), plan.decoder)
