"""source -> verify -> curate -> dataset version, with the funnel.

Knows: the order of the stages, and that each run leaves by a row or by a counted reason.
Does not know: what a stage does.

Runs stream through: of each, only a few hundred bytes stay in memory, its rows wait on disk until the steps over the
whole set have spoken.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from burnish import settings
from burnish.errors import EmptyDataset, ExportError, NoVerifier
from burnish.protocols import Verifier
from burnish.records import DatasetManifest, Trajectory, Verdict
from burnish.redaction import Redactor, workspace_key
from burnish_exporters import curate
from burnish_exporters.curate.contamination import benchmark_texts
from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Sample, SetStep, Step
from burnish_exporters.curate.slices import tags_of
from burnish_exporters.dataset.parquet import stored
from burnish_exporters.dataset.publish import Draft, check_name
from burnish_exporters.dataset.recipe import Recipe, as_recipe
from burnish_exporters.dataset.spool import Columns, Spool
from burnish_exporters.dataset.version import PARTS, DatasetVersion
from burnish_exporters.funnel import Funnel
from burnish_exporters.redact import Decoder, RowRedactor, finders_of
from burnish_exporters.rows import Row, Unrenderable, build_rows
from burnish_exporters.rows.keys import action_key, actions_of, content_key, request_of
from burnish_exporters.rows.row import RowSettings
from burnish_exporters.rows.stable import digest
from burnish_exporters.sources import Source, describe, read
from burnish_exporters.verify import PoolSettings, combine, judge_all, make_verifiers

Progress = Callable[[str, int], None]


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What shapes the work, but not the version.

    Attributes:
        home: Folder of all versions; by default the workspace's, else `datasets` in the home folder.
        pool: Limits of verification.
        progress: Called with the name of a stage and the runs that it has seen.
        decoder: Reads captured token ids, so that the leak check looks at them too.
        key: Key of stand-ins for personal data; by default the workspace's.
    """

    home: Path | None = None
    pool: PoolSettings = field(default_factory=PoolSettings)
    progress: Progress | None = None
    decoder: Decoder | None = None
    key: bytes | None = None


def build_dataset(
    source: Source,
    *,
    agent: str,
    verify: Sequence[Any],
    recipe: Any = None,
    name: str | None = None,
    options: BuildOptions | None = None,
) -> DatasetVersion:
    """Turn captured runs into an immutable, verified dataset version.

    Args:
        source: A `Workspace`, a `SpanSource` or an iterable of trajectories; it is only read.
        agent: Whose runs.
        verify: Verifiers, or their names as in burnish.toml; all of them must say success.
        recipe: A `Recipe`, or a mapping of some of its fields.
        name: Name of the dataset; by default the agent's.
        options: Where and how, none of which changes the version.

    Returns:
        The version `name@sha12`; the same inputs and recipe give the same one.

    Raises:
        NoVerifier: If there is no verifier.
        EmptyDataset: If fewer rows than the recipe's `min_rows` are left.
        ExportError: If the recipe or the name is wrong.
    """
    if not verify:
        raise NoVerifier(
            "no verifier was given", "at least one", 'build_dataset(..., verify=["outcome"])'
        )
    build = _Build(
        agent=agent,
        verifiers=make_verifiers(list(verify), Path.cwd()),
        recipe=as_recipe(recipe),
        name=check_name(name or agent),
        options=options or BuildOptions(),
    )
    home = build.options.home or _home_of(source)
    build.redactor = _redactor(build.recipe, build.options, home.parent)
    with Spool(home) as spool:
        samples = list(build.samples(read(source, agent), spool))
        chosen = build.choose(samples)
        return build.publish(chosen, spool, home, describe(source))


@dataclass(kw_only=True)
class _Build:
    """One run of the pipeline."""

    agent: str
    verifiers: list[Verifier]
    recipe: Recipe
    name: str
    options: BuildOptions
    funnel: Funnel = field(default_factory=Funnel)
    redactor: RowRedactor | None = None

    def samples(self, trajectories: Iterable[Trajectory], spool: Spool) -> Iterator[Sample]:
        """Verify and curate one by one; rows go to the spool."""
        items = self._passing("source", self._source_steps(), map(self._item, trajectories))
        steps = [curate.verified(self._labels())]
        if self.recipe.luck in ("observations", "both"):
            steps.append(_for_success(curate.supported_by_observations()))
        judged = self._passing("verify", steps, self._verified(items))
        for item in judged:
            sample = self._sample(item, spool)
            if sample is not None:
                yield sample

    def choose(self, samples: list[Sample]) -> list[Sample]:
        """Apply the steps that look at the whole set."""
        for stage, step in self._set_steps():
            kept = []
            for found in step(samples):
                if isinstance(found, Drop):
                    self.funnel.drop(stage, found.reason)
                else:
                    kept.append(found)
            self.funnel.keep(stage, len(kept))
            samples = kept
        return samples

    def publish(
        self, samples: list[Sample], spool: Spool, home: Path, source: dict[str, Any]
    ) -> DatasetVersion:
        """Write the chosen rows and give the version its name."""
        train = sum(s.rows for s in samples if _part(s) == "train")
        if train < self.recipe.min_rows:
            raise EmptyDataset(
                f"{train} training rows are left. {self.funnel.sentence()}",
                f"at least {self.recipe.min_rows} (min_rows)",
                f"burnish traces list --agent {self.agent}",
            )
        recipe = self._recipe_facts()
        draft, slices = Draft(home, recipe), Counter[str]()
        try:
            for columns, part in _rows_in_order(samples, spool):
                draft.add(columns, part)
                if part == "train":
                    slices.update(columns["kind_tags"])
            sha = draft.digest()
            manifest = DatasetManifest(
                id=f"{self.name}@{sha[:12]}",
                name=self.name,
                sha256=sha,
                agent=self.agent,
                created_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
                rows=dict(draft.rows),
                funnel=self.funnel.stages(),
                recipe=recipe,
                verifiers=[{"name": v.name, "version": v.version} for v in self.verifiers],
                sources=[source],
                slices=dict(sorted(slices.items())),
                extras=self._extras(samples),
            )
            return DatasetVersion.open(draft.publish(manifest))
        except BaseException:
            draft.discard()
            raise

    def _item(self, trajectory: Trajectory) -> Item:
        """A run with its split, which depends on nothing but the run."""
        since_ns = self.recipe.since_ns()
        split = curate.assign_split(trajectory, heldout=self.recipe.heldout, since_ns=since_ns)
        return Item(trajectory=trajectory, split=split)

    def _verified(self, items: Iterable[Item]) -> Iterator[Item]:
        """Items with what the verifiers say."""
        kinds = [getattr(verifier, "kind", "check") for verifier in self.verifiers]
        trajectories = (item.trajectory for item in items)
        for trajectory, verdicts in judge_all(self.verifiers, trajectories, self.options.pool):
            item = self._item(trajectory)
            item.verdict, item.verdicts = combine(verdicts, kinds), verdicts
            yield item

    def _passing(self, stage: str, steps: list[Step], items: Iterable[Item]) -> Iterator[Item]:
        for count, item in enumerate(items, 1):
            answers = (step(item) for step in steps)
            dropped = next((answer for answer in answers if isinstance(answer, Drop)), None)
            if dropped is None:
                self.funnel.keep(stage)
                yield item
            else:
                self.funnel.drop(stage, dropped.reason)
            if self.options.progress:
                self.options.progress(stage, count)

    def _sample(self, item: Item, spool: Spool) -> Sample | None:
        """What the whole-set steps need to see of a run, once its rows are on disk."""
        assert item.verdict is not None  # noqa: S101 - the step before lets nothing else pass
        settings_ = RowSettings(mask_errors=self.recipe.mask_errors)
        rows: list[Row] = []
        try:
            rows, problem = build_rows(
                item.trajectory, item.verdict, split=item.split, settings=settings_
            )
            if self.redactor:
                self.redactor.clean(rows)
                self.redactor.refuse_leaks(rows)
            sample = _summary(item, rows, spool) if rows else None
        except Unrenderable as found:
            sample, problem = None, str(found)
        except (UnicodeError, OverflowError):
            sample, problem = None, "malformed: text or numbers that JSON cannot hold"
        if sample is None:
            self.funnel.drop("rows", problem or "nothing to learn")
            return None
        self.funnel.keep("rows")
        return sample

    def _labels(self) -> tuple[str, ...]:
        both = self.recipe.contrast or self.recipe.luck in ("siblings", "both")
        return ("success", "fail") if both else ("success",)

    def _source_steps(self) -> list[Step]:
        recipe = self.recipe
        return [
            curate.finished(self.agent),
            curate.refuse_pools(recipe.heldout_pools, recipe.refuse_tasks, recipe.sources),
            curate.without_losses(),
        ]

    def _set_steps(self) -> list[tuple[str, SetStep]]:
        texts = [t for path in self.recipe.benchmarks for t in benchmark_texts(Path(path))]
        steps: list[tuple[str, SetStep]] = [
            ("split", curate.no_shared_tasks()),
            ("decontamination", curate.without_overlap(texts)),
        ]
        if self.recipe.luck in ("siblings", "both"):
            steps.append(("luck", curate.unlike_siblings()))
            if not self.recipe.contrast:
                steps.append(("failures", _without_failures))
        steps.append(("duplicates", curate.exact_duplicates()))
        if self.recipe.near_duplicates:
            steps.append(("near duplicates", curate.near_duplicates()))
        steps.append(("balance", curate.cap_per_task(self.recipe.max_per_task)))
        if self.recipe.weigh == "task":
            steps.append(("weigh", curate.weigh_by_task()))
        return [*steps, *((path, _user_step(path)) for path in self.recipe.steps)]

    def _extras(self, samples: list[Sample]) -> dict[str, Any]:
        report = self.redactor.report() if self.redactor else None
        return {"trajectories": len(samples), "redaction": report}

    def _recipe_facts(self) -> dict[str, Any]:
        """The recipe as it enters the hash: with agent and verifiers."""
        return {
            **msgspec.to_builtins(self.recipe),
            "agent": self.agent,
            "verify": [[verifier.name, verifier.version] for verifier in self.verifiers],
        }


def _summary(item: Item, rows: list[Row], spool: Spool) -> Sample:
    trajectory, verdict = item.trajectory, item.verdict or Verdict(label="unknown", verifier="")
    tags = tags_of(trajectory, rows)
    for row in rows:
        row.kind_tags = tags
    tools = [run.name for run in trajectory.tool_runs]
    return Sample(
        trajectory_id=trajectory.id,
        task_id=trajectory.task_id,
        user=trajectory.user,
        split=item.split,
        source=trajectory.source,
        started_ns=trajectory.started_ns,
        label=verdict.label,
        tags=tags,
        rows=len(rows),
        steps=len(trajectory.model_calls),
        errors=sum(run.is_error or run.error is not None for run in trajectory.tool_runs),
        tools=tools,
        content_key=digest([content_key(row.messages) for row in rows]),
        action_key=digest([action_key(row.messages) for row in rows]),
        request=request_of(rows[0].messages),
        actions=[action for row in rows for action in actions_of(row.messages)],
        place=spool.add([stored(row) for row in rows]),
    )


def _part(sample: Sample) -> str:
    return sample.split if sample.label == "success" else f"{sample.split}-contrast"


def _rows_in_order(samples: list[Sample], spool: Spool) -> Iterator[tuple[Columns, str]]:
    """Columns of rows in the order of parts and ids, whatever order the source had."""
    order = {part: place for place, part in enumerate(PARTS)}
    for sample in sorted(samples, key=lambda s: (order[_part(s)], s.trajectory_id)):
        for row in spool.read(sample.place):
            row["weight"] = round(sample.weight, 9)
            yield row, _part(sample)


def _for_success(step: Step) -> Step:
    """A step that looks at successes only."""

    def checked(item: Item) -> Keep | Drop:
        failed = item.verdict is None or item.verdict.label != "success"
        return KEEP if failed else step(item)

    return checked


def _without_failures(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
    """Failures have told what they know about luck."""
    for sample in samples:
        yield sample if sample.label == "success" else Drop("failed", sample.trajectory_id)


def _user_step(path: str) -> SetStep:
    from burnish.import_path import resolve

    found: Any = resolve(path, Path.cwd())
    if not callable(found):
        raise ExportError(f"recipe step {path!r} is no function", '"module:function"')
    return cast("SetStep", found)


def _redactor(recipe: Recipe, options: BuildOptions, home: Path) -> RowRedactor | None:
    if recipe.redact == "none":
        return None
    finders = finders_of(
        recipe.redact_patterns,
        recipe.redact_terms,
        engines=recipe.redact == "full",
        names_model=recipe.names_model,
    )
    key = options.key or workspace_key(home)
    return RowRedactor(Redactor(key, finders=finders), options.decoder)


def _home_of(source: Source) -> Path:
    """Where versions of a source go: into its workspace, else into the home folder's."""
    home = getattr(source, "datasets", None)
    if isinstance(home, (str, Path)):
        return Path(home)
    return settings.current().home / "datasets"
