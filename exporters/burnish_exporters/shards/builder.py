"""Turn runs into samples and rows, shard by shard: verify, curate one by one, render, redact.

`ShardBuilder` states the order of the steps over one run, and a run leaves by its rows or by a
counted reason. dataset_steps.py selects among the rows later.

How it works: runs stream through, a verifier holds some dozens of them at a time. A shard is
finished when a run of the next shard leaves the last step.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from burnish.protocols import traits_of
from burnish.records import Trajectory, Verdict
from burnish.redaction.redactor import Redactor
from burnish_exporters import curate
from burnish_exporters.curate.sample import Drop, Item, Sample, Step
from burnish_exporters.curate.slices import kind_of, tags_of
from burnish_exporters.curate.steps.pools import requests_of
from burnish_exporters.dataset.parquet import encode_row
from burnish_exporters.dataset.spool import pack_rows
from burnish_exporters.funnel import Funnel
from burnish_exporters.redact.engines import make_finders
from burnish_exporters.redact.rows import RowRedactor
from burnish_exporters.rows import Row, Unrenderable, build_rows
from burnish_exporters.rows.canonical_json import hash_json
from burnish_exporters.rows.docs import ToolDocs
from burnish_exporters.rows.keys import action_key, actions_of, content_key, request_of
from burnish_exporters.rows.row import RowSettings
from burnish_exporters.shards.as_of import restrict_to_moment
from burnish_exporters.shards.plan import Plan
from burnish_exporters.shards.shard import Shard
from burnish_exporters.shards.steps import make_refusals, source_steps, verified_steps
from burnish_exporters.verify.running.combination import combine
from burnish_exporters.verify.running.pool import judge_all

FunnelWatch = Callable[[Funnel], None]
_WATCH_INTERVAL = 256


class _OpenShard:
    """A shard that is being built."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.funnel = Funnel()
        self.samples: list[Sample] = []
        self.kinds: dict[str, list[int]] = {}
        self._rows = bytearray()

    def count_run(self, kind: str, place: int) -> None:
        """Count a run (place 0) or a verified success (place 1) of a kind."""
        self.kinds.setdefault(kind, [0, 0])[place] += 1

    def add_rows(self, rows: list[Row]) -> tuple[int, int]:
        """Append the rows of one run and return their place and size."""
        payload = pack_rows([encode_row(row) for row in rows])
        place = len(self._rows), len(payload)
        self._rows += payload
        return place

    def to_shard(self, replaced: Counter[str]) -> Shard:
        """Return the shard as the cache stores it."""
        return Shard(
            name=self.name,
            samples=self.samples,
            stages=self.funnel.stages(),
            replaced=dict(replaced),
            kinds=self.kinds,
            rows=bytes(self._rows),
            gone=self.funnel.gone,
        )


class ShardBuilder:
    """Builds shards according to a plan.

    Args:
        plan: Settings that decide how a run becomes rows.
        watch: Called at intervals with the funnel of the shard that runs enter.

    Raises:
        ExportError: If the recipe names a function or a file that does not exist.
    """

    def __init__(self, plan: Plan, watch: FunnelWatch | None = None) -> None:
        self._plan, self._watch = plan, watch
        self._kinds = [traits_of(verifier).kind for verifier in plan.verifiers]
        self._source, self._verified = source_steps(plan), verified_steps(plan)
        docs, share = plan.recipe.tool_docs, plan.recipe.tool_docs_share
        self._docs = ToolDocs.read_file(Path(docs), share) if docs else None
        self._redactor = make_redactor(plan)
        self._refusals = make_refusals(plan.recipe)
        self._needs = plan.recipe.compared_fields()
        self._before = Counter[str]()
        self._open: deque[_OpenShard] = deque()

    def build_shards(self, runs: Iterable[tuple[str, Trajectory]]) -> Iterator[Shard]:
        """Build shards of runs.

        Args:
            runs: Each with the name of its shard; runs of one shard follow each other.
        """
        entered = self._apply_steps("source", self._source, self._enter_runs(runs))
        for item, shard in self._apply_steps("verify", self._verified, self._verify_items(entered)):
            while self._open[0] is not shard:
                yield self._close_shard()
            sample = self._build_sample(item, shard)
            if sample is not None:
                shard.samples.append(sample)
        while self._open:
            yield self._close_shard()

    def build_unverified(self, name: str, runs: Iterable[Trajectory], verdict: Verdict) -> Shard:
        """Build a shard of runs that need no verification, such as general conversations.

        Args:
            name: Name of the shard, and of its stage in the funnel.
            runs: The runs.
            verdict: The verdict that their rows carry.
        """
        shard = _OpenShard(name)
        for trajectory in runs:
            item = Item(trajectory=trajectory, split="train", verdict=verdict)
            refused = self._refusals.of_requests(requests_of(trajectory))
            if refused:
                shard.funnel.drop(name, refused, trajectory.id)
                continue
            sample = self._build_sample(item, shard, name)
            if sample is not None:
                shard.samples.append(sample)
        self._open.append(shard)
        return self._close_shard()

    def _enter_runs(
        self, runs: Iterable[tuple[str, Trajectory]]
    ) -> Iterator[tuple[Item, _OpenShard]]:
        for count, (name, run) in enumerate(runs, 1):
            trajectory = restrict_to_moment(run, self._plan.as_of_ns)
            if trajectory is None:
                continue
            if not self._open or self._open[-1].name != name:
                self._open.append(_OpenShard(name))
            item = Item(trajectory=trajectory, split=self._assign_split(trajectory))
            self._open[-1].count_run(self._clean_kind(trajectory), 0)
            yield item, self._open[-1]
            if self._watch and count % _WATCH_INTERVAL == 0:
                self._watch(self._open[-1].funnel)

    def _clean_kind(self, trajectory: Trajectory) -> str:
        """Return the kind of a run, redacted for the manifest."""
        return self._clean_names([kind_of(trajectory)])[0]

    def _clean_names(self, names: list[str]) -> list[str]:
        return self._redactor.clean_names(names) if self._redactor else names

    def _assign_split(self, trajectory: Trajectory) -> str:
        """Return the split of a run, which depends on the run and the recipe alone."""
        recipe = self._plan.recipe
        return curate.assign_split(trajectory, heldout=recipe.heldout, since_ns=recipe.since_ns())

    def _verify_items(
        self, items: Iterable[tuple[Item, _OpenShard]]
    ) -> Iterator[tuple[Item, _OpenShard]]:
        """Yield items with the verdicts of the verifiers, in the order in which they entered."""
        inside: deque[tuple[Item, _OpenShard]] = deque()

        def enter_trajectories() -> Iterator[Trajectory]:
            for item, shard in items:
                inside.append((item, shard))
                yield item.trajectory

        for trajectory, verdicts in judge_all(
            self._plan.verifiers, enter_trajectories(), self._plan.pool
        ):
            item, shard = inside.popleft()
            item.trajectory = trajectory
            item.verdict, item.verdicts = combine(verdicts, self._kinds), verdicts
            if item.verdict.label == "success":
                shard.count_run(self._clean_kind(trajectory), 1)
            yield item, shard

    def _apply_steps(
        self, stage: str, steps: list[Step], items: Iterable[tuple[Item, _OpenShard]]
    ) -> Iterator[tuple[Item, _OpenShard]]:
        for item, shard in items:
            answers = (step(item) for step in steps)
            dropped = next((answer for answer in answers if isinstance(answer, Drop)), None)
            if dropped is None:
                shard.funnel.keep(stage)
                yield item, shard
            else:
                shard.funnel.drop(stage, dropped.reason, item.trajectory.id)

    def _build_sample(self, item: Item, shard: _OpenShard, stage: str = "rows") -> Sample | None:
        """Return the facts that the steps over the whole set need, once the rows of the run are stored."""
        try:
            rows, problem = self._build_rows(item)
            sample = self._summarize_run(item, rows, shard) if rows else None
        except Unrenderable as found:
            sample, problem = None, str(found)
        except (UnicodeError, OverflowError):
            sample, problem = None, "malformed: text or numbers that JSON cannot hold"
        if sample is None:
            shard.funnel.drop(stage, problem or "nothing to learn", item.trajectory.id)
        else:
            shard.funnel.keep(stage)
        return sample

    def _build_rows(self, item: Item) -> tuple[list[Row], str | None]:
        """Return the finished rows of a run, or no rows and the reason to count."""
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
            self._redactor.clean_rows(found)
            self._redactor.refuse_leaks(found)
            overlooked = self._redactor.find_overlooked(found)
            if overlooked:
                return [], f"second look: {', '.join(sorted(overlooked))}"
        return found, problem

    def _summarize_run(self, item: Item, rows: list[Row], shard: _OpenShard) -> Sample:
        trajectory, verdict = item.trajectory, item.verdict or Verdict(label="unknown", verifier="")
        needs, actions = self._needs, [actions_of(row.messages) for row in rows]
        tags = sorted(self._clean_names(tags_of(trajectory, rows)))
        for row in rows:
            row.kind_tags = tags
        return Sample(
            trajectory_id=trajectory.id,
            task_id=rows[0].task_id,
            user=rows[0].user,
            split=item.split,
            source=self._clean_names([trajectory.source])[0],
            started_ns=trajectory.started_ns,
            label=verdict.label,
            kind=self._clean_kind(trajectory),
            tags=tags,
            rows=len(rows),
            steps=len(trajectory.model_calls),
            errors=sum(run.is_error or run.error is not None for run in trajectory.tool_runs),
            content_key=hash_json([content_key(row.messages) for row in rows]),
            action_key=hash_json(
                [action_key(row.messages, done) for row, done in zip(rows, actions, strict=True)]
            ),
            request=request_of(rows[0].messages) if "request" in needs else "",
            actions=[hash_json(action) for done in actions for action in done]
            if "actions" in needs
            else [],
            place=shard.add_rows(rows),
        )

    def _close_shard(self) -> Shard:
        now = self._redactor.replacement_totals() if self._redactor else Counter[str]()
        replaced = now - self._before
        self._before = now
        return self._open.popleft().to_shard(replaced)


def make_redactor(plan: Plan) -> RowRedactor | None:
    """Return the redactor for the rows of a plan; None if the recipe redacts nothing."""
    recipe = plan.recipe
    if recipe.redact == "none":
        return None
    finders = make_finders(
        recipe.redact_patterns,
        recipe.redact_terms,
        engines=recipe.redact == "full",
        names_model=recipe.names_model,
    )
    return RowRedactor(Redactor(plan.key, finders=finders), plan.decoder)
