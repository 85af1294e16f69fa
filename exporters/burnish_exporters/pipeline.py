"""Build a dataset version: source -> verify -> curate -> version, with the funnel.

`build_dataset` is the entry. It states the order of the halves: shards of runs (shards/), rows from
elsewhere (extra_rows.py), the selection among all of them (dataset_steps.py), publication
(dataset/draft.py).

How it works: runs stream through. Of each run a few hundred bytes stay in memory; its rows wait on
disk until the steps over the whole set have decided. Finished shards of a workspace wait on disk
too, and a build that was killed reuses them.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish import settings
from burnish.errors import BurnishError, EmptyDataset, ExportError, NoVerifier
from burnish.journal.lifecycle.erasure import Forgotten, tombstones
from burnish.records import DatasetManifest, Trajectory
from burnish.redaction import Redactor, workspace_key
from burnish.trajectories.run_reader import RunReader
from burnish_exporters import curate, extra_rows
from burnish_exporters.curate.sample import Sample
from burnish_exporters.dataset.draft import Draft
from burnish_exporters.dataset.recipe import as_recipe
from burnish_exporters.dataset.spool import Columns, Spool, mute_calls
from burnish_exporters.dataset.store import DatasetStore
from burnish_exporters.dataset.version import PARTS, DatasetVersion
from burnish_exporters.dataset.version_folder import check_name
from burnish_exporters.dataset_steps import select_samples
from burnish_exporters.funnel import Funnel
from burnish_exporters.redact.rows import clean_manifest, redaction_report
from burnish_exporters.redact.second_look import second_look_name
from burnish_exporters.rows.reply_models import read_reply_models
from burnish_exporters.shards.builder import ShardBuilder
from burnish_exporters.shards.cache import ShardCache
from burnish_exporters.shards.job import ShardJob, cut_workspace, number_stream
from burnish_exporters.shards.plan import Decoder, Plan
from burnish_exporters.shards.shard import Shard
from burnish_exporters.shards.worker_pool import build_shards
from burnish_exporters.sources.reading import (
    Source,
    describe_source,
    read_trajectories,
    workspace_of,
)
from burnish_exporters.verify import PoolSettings, make_verifiers
from burnish_exporters.verify.trust.verifier_quality import QualityStore, facts_of, unbelieved

Progress = Callable[[Funnel], None]
_FEW_RUNS = 500


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Options of the work that do not change the rows of a run.

    Attributes:
        home: Folder of all versions; by default the workspace's, else `datasets` in the home folder.
        from_: Parent whose rows are carried over for runs that the source has lost: "newest" is the newest version of
            that name if the source is a workspace, None starts without a parent, else the id of a version.
        as_of_ns: Only facts recorded up to this moment count, in nanoseconds since the epoch; None uses everything.
        workers: Number of processes that build shards of a workspace's runs in parallel.
        pool: Limits of verification.
        progress: Called at intervals with the funnel so far: what entered, stayed and left, by reason.
        decoder: Reads captured token ids, so that the leak check covers them too.
        key: Key of the pseudonyms for personal data; by default the workspace's.
    """

    home: Path | None = None
    from_: str | None = "newest"
    as_of_ns: int | None = None
    workers: int = 1
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
        agent: Agent whose runs are read.
        verify: Verifiers, or their names as in burnish.toml; all of them must say success.
        recipe: A `Recipe`, or a mapping of some of its fields.
        name: Name of the dataset; by default the agent's.
        options: Folder, limits and progress of the build.

    Returns:
        The version `name@sha12`; the same inputs and recipe give the same one.

    Raises:
        NoVerifier: If there is no verifier.
        EmptyDataset: If fewer rows than the recipe's `min_rows` are left.
        ExportError: If the recipe or the name is wrong, or the share of external data is too small.
    """
    if not verify:
        raise NoVerifier(
            "no verifier was given", "at least one", 'build_dataset(..., verify=["outcome"])'
        )
    options = options or BuildOptions()
    home = options.home or _home_of(source)
    full, store = as_recipe(recipe), QualityStore(home.parent)
    verifiers = make_verifiers(list(verify), Path.cwd())
    plan = Plan(
        agent=agent,
        verifiers=verifiers,
        unbelieved=unbelieved(verifiers, store, agent, floor=full.verifier_floor),
        recipe=full,
        key=options.key or workspace_key(home.parent),
        pool=options.pool,
        decoder=options.decoder,
        as_of_ns=options.as_of_ns,
    )
    build = DatasetBuild(plan=plan, name=check_name(name or agent), options=options, home=home)
    return build.run(source)


@dataclass(kw_only=True)
class DatasetBuild:
    """One run of the pipeline."""

    plan: Plan
    name: str
    options: BuildOptions
    home: Path
    funnel: Funnel = field(default_factory=Funnel)
    replaced: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, list[int]] = field(default_factory=dict)
    parents: list[str] = field(default_factory=list)

    def run(self, source: Source) -> DatasetVersion:
        """Build a version from a source and clear the cache of shards."""
        began, workspace = self.plan.as_of_ns or time.time_ns(), workspace_of(source)
        told = {**describe_source(source), "as_of_ns": began}
        fingerprint = self.plan.fingerprint()
        with ShardCache.open_for(self.home, fingerprint) as store, Spool(self.home) as spool:
            try:
                samples: list[Sample] = []
                for shard in self._build_shards(source, workspace, store):
                    samples += self._spool_shard(shard, spool)
                recipe, folder = self.plan.recipe, self.plan.folder
                samples = select_samples(self._drop_forgotten(samples), recipe, self.funnel, folder)
                version = self._publish_version(samples, spool, told)
            except BurnishError:
                store.clear()
                raise
            store.clear()
        return version

    def _build_shards(
        self, source: Source, workspace: RunReader | None, store: ShardCache
    ) -> Iterator[Shard]:
        """Yield the shards of the source, of the parent version and of general data."""
        present: set[str] = set()
        if workspace is None:
            runs = _note_ids(read_trajectories(source, self.plan.agent), present)
            yield from ShardBuilder(self.plan, self._report_progress).build_shards(
                number_stream(runs)
            )
        else:
            cuts = cut_workspace(workspace, self.plan.agent)
            present |= {entry.id for cut in cuts for entry in cut.entries}
            job = ShardJob(plan=self.plan, home=workspace.home, store=store, cuts=cuts)
            yield from build_shards(job, self.options.workers, self._report_progress)
        parent = self._find_parent(workspace)
        if parent is not None:
            self.parents = [parent.id]
            present |= self._forgotten_runs()
            yield extra_rows.build_carried_shard(parent, present, self.plan)
        if self.plan.recipe.general:
            yield extra_rows.build_general_shard(self.plan)

    def _find_parent(self, workspace: RunReader | None) -> DatasetVersion | None:
        """Return the version to continue from.

        Raises:
            ExportError: If no version has the id that was asked for, or it belongs to another agent.
        """
        wanted, shelf = self.options.from_, DatasetStore(self.home)
        if wanted is None or (wanted == "newest" and workspace is None):
            return None
        if wanted == "newest":
            known = (v for v in shelf.versions() if v.manifest.name == self.name)
            return next((v for v in known if v.manifest.agent == self.plan.agent), None)
        found = shelf.find_version(wanted)
        if found.manifest.agent != self.plan.agent:
            raise ExportError(
                f"{found.id} holds runs of {found.manifest.agent!r}",
                f"a version of {self.plan.agent!r}",
                "burnish dataset list",
            )
        return found

    def _forgotten_runs(self) -> set[str]:
        """Return the ids of runs that must not come back."""
        return Forgotten(tombstones(self.home.parent)).trajectories

    def _drop_forgotten(self, samples: list[Sample]) -> list[Sample]:
        """Drop the samples of runs that were forgotten during the build."""
        gone = self._forgotten_runs()
        for sample in samples:
            if sample.trajectory_id in gone:
                self.funnel.drop("forgotten", "forgotten meanwhile", sample.trajectory_id)
        return [sample for sample in samples if sample.trajectory_id not in gone]

    def _spool_shard(self, shard: Shard, spool: Spool) -> Iterator[Sample]:
        """Count a shard, spool its rows, and yield its samples with their places in the spool."""
        self.funnel.add_stages(shard.stages)
        self.funnel.gone += shard.gone
        self.replaced.update(shard.replaced)
        for kind, counts in shard.kinds.items():
            known = self.kinds.setdefault(kind, [0, 0])
            known[:] = [one + other for one, other in zip(known, counts, strict=True)]
        start = spool.append(shard.rows)
        for sample in shard.samples:
            sample.place = start + sample.place[0], sample.place[1]
            yield sample
        if self.options.progress:
            self.options.progress(self.funnel)

    def _report_progress(self, funnel: Funnel) -> None:
        """Report the progress within a shard."""
        if self.options.progress:
            both = Funnel()
            both.add_stages(self.funnel.stages())
            both.add_stages(funnel.stages())
            self.options.progress(both)

    def _publish_version(
        self, samples: list[Sample], spool: Spool, source: dict[str, Any]
    ) -> DatasetVersion:
        """Write the selected rows and publish the version."""
        self._check_size(samples)
        facts = self.plan.hashed_recipe()
        draft, slices, models = Draft(self.home, facts), Counter[str](), Counter[str]()
        try:
            for columns, part in _rows_in_order(samples, spool):
                draft.add(columns, part)
                if part == "train":
                    slices.update(columns["kind_tags"])
                    models.update(read_reply_models(columns["calls"]))
            sha = draft.digest()
            found = f"{self.name}@{sha[:12]}"
            manifest = DatasetManifest(
                id=found,
                name=self.name,
                sha256=sha,
                agent=self.plan.agent,
                created_at=dt.datetime.now(dt.UTC).isoformat(timespec="microseconds"),
                rows=dict(draft.rows),
                funnel=self.funnel.stages(),
                recipe=facts,
                verifiers=self._describe_verifiers(),
                sources=[source],
                parents=[parent for parent in self.parents if parent != found],
                slices=dict(sorted(slices.items())),
                extras={**self._manifest_extras(samples), "models": dict(sorted(models.items()))},
            )
            gone = self.funnel.gone
            if self.plan.recipe.redact != "none":
                redactor = Redactor(self.plan.key)
                manifest = clean_manifest(manifest, redactor)
                gone = [(run, stage, redactor.clean(reason)) for run, stage, reason in gone]
            draft.note_dropped(gone)
            return DatasetVersion.open(draft.publish(manifest))
        except BaseException:
            draft.discard()
            raise

    def _describe_verifiers(self) -> list[dict[str, Any]]:
        """Return the verifiers with their measured quality."""
        store = QualityStore(self.home.parent)
        return [facts_of(verifier, store, self.plan.agent) for verifier in self.plan.verifiers]

    def _check_size(self, samples: list[Sample]) -> None:
        """Refuse a set that is too small or has too little external data."""
        recipe, train = self.plan.recipe, sum(s.rows for s in samples if _part_of(s) == "train")
        if train < recipe.min_rows:
            told = (
                self.funnel.to_sentence()
            )  # reasons name sources and kinds, which outsiders may choose
            if recipe.redact != "none":
                told = Redactor(self.plan.key).clean(told)
            raise EmptyDataset(
                f"{train} training rows are left. {told}",
                f"at least {recipe.min_rows} (min_rows)",
                f"burnish traces list --agent {self.plan.agent}",
            )
        outside = curate.external_share(samples)
        if outside < recipe.min_external:
            raise ExportError(
                f"{outside:.1%} of the training runs come from outside",
                f"at least {recipe.min_external:.1%} (min_external)",
                "burnish import demonstrations, or lower min_external",
            )

    def _manifest_extras(self, samples: list[Sample]) -> dict[str, Any]:
        recipe = self.plan.recipe
        table = curate.count_coverage(self.kinds, samples)
        return {
            "trajectories": len(samples),
            "redaction": None
            if recipe.redact == "none"
            else redaction_report(self.replaced, second_look_name()),
            "coverage": table,
            "warnings": [*_warn_if_few(samples), *curate.coverage_warnings(table, recipe.kinds)],
            "external_share": round(curate.external_share(samples), 6),
            "licenses": _join_named(recipe.licenses, "license:", samples),
            "rights": _join_named(recipe.rights, "rights:", samples),
        }


def _note_ids(runs: Iterable[Trajectory], seen: set[str]) -> Iterator[Trajectory]:
    for run in runs:
        seen.add(run.id)
        yield run


def _warn_if_few(samples: list[Sample]) -> list[str]:
    """Warn if there are so few training runs that only the held-out result can show if they are enough."""
    runs = sum(_part_of(sample) == "train" for sample in samples)
    return [f"{runs} training runs, fewer than {_FEW_RUNS}"] if runs < _FEW_RUNS else []


def _join_named(given: list[str], prefix: str, samples: list[Sample]) -> list[str]:
    """Join what the recipe names with what the tags of the selected runs name."""
    tags = {tag for sample in samples for tag in sample.tags if tag.startswith(prefix)}
    return sorted({*given, *(tag.removeprefix(prefix) for tag in tags)})


def _part_of(sample: Sample) -> str:
    return sample.split if sample.label == "success" else f"{sample.split}-contrast"


def _rows_in_order(samples: list[Sample], spool: Spool) -> Iterator[tuple[Columns, str]]:
    """Yield the columns of rows in the order of parts and ids, independent of the order of the source."""
    order = {part: place for place, part in enumerate(PARTS)}
    for sample in sorted(samples, key=lambda s: (order[_part_of(s)], s.trajectory_id)):
        rows = spool.read(sample.place)
        for row in mute_calls(rows, sample.quiet) if sample.quiet else rows:
            row["weight"], row["kind_tags"] = round(sample.weight, 9), sample.tags
            yield row, _part_of(sample)


def _home_of(source: Source) -> Path:
    """Return the folder for versions of a source: in its workspace, else in the home folder."""
    home = getattr(source, "datasets", None)
    if isinstance(home, (str, Path)):
        return Path(home)
    return settings.current().home / "datasets"
