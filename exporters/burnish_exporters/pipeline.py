"""source -> verify -> curate -> dataset version, with the funnel.

Knows: the order of the halves: pieces of runs (pieces/), what else goes in (mixing.py), the choice among all of them
(selecting.py), publication. Does not know: what a step does.

Runs stream through: of each, only a few hundred bytes stay in memory, its rows wait on disk until the steps over the
whole set have spoken. Of a workspace, finished pieces wait on disk too: a build that was killed goes on with them.
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
from burnish.journal.erasure import Forgotten, tombstones
from burnish.records import DatasetManifest, Trajectory
from burnish.redaction import Redactor, workspace_key
from burnish.workspace import Workspace
from burnish_exporters import curate, mixing
from burnish_exporters.curate.sample import Sample
from burnish_exporters.dataset.publish import Draft, check_name
from burnish_exporters.dataset.recipe import as_recipe
from burnish_exporters.dataset.shelf import Shelf
from burnish_exporters.dataset.spool import Columns, Spool, quieted
from burnish_exporters.dataset.version import PARTS, DatasetVersion
from burnish_exporters.funnel import Funnel
from burnish_exporters.pieces import Decoder, Job, Piece, PieceStore, Plan, made
from burnish_exporters.pieces.making import PieceMaker
from burnish_exporters.redact import clean_manifest, report, second_look_name
from burnish_exporters.selecting import chosen
from burnish_exporters.sources import Source, describe, read, workspace_of
from burnish_exporters.sources.cutting import cuts_of, numbered
from burnish_exporters.verify import PoolSettings, make_verifiers
from burnish_exporters.verify.trust import QualityStore, facts_of, unbelieved

Progress = Callable[[Funnel], None]
_FEW = 500


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What shapes the work, but not the rows of a run.

    Attributes:
        home: Folder of all versions; by default the workspace's, else `datasets` in the home folder.
        from_: Parent, whose rows of runs that the source has lost are carried over: "newest" is the newest version of
            that name where the source is a workspace, None begins anew, else the id of a version.
        as_of_ns: Only what was recorded up to this moment counts, in nanoseconds since the epoch; None: everything.
        workers: Processes that make pieces of a workspace's runs side by side.
        pool: Limits of verification.
        progress: Called now and then with the funnel so far: what came in, stayed and left, by reason.
        decoder: Reads captured token ids, so that the leak check looks at them too.
        key: Key of stand-ins for personal data; by default the workspace's.
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
        agent: Whose runs.
        verify: Verifiers, or their names as in burnish.toml; all of them must say success.
        recipe: A `Recipe`, or a mapping of some of its fields.
        name: Name of the dataset; by default the agent's.
        options: Where and how.

    Returns:
        The version `name@sha12`; the same inputs and recipe give the same one.

    Raises:
        NoVerifier: If there is no verifier.
        EmptyDataset: If fewer rows than the recipe's `min_rows` are left.
        ExportError: If the recipe or the name is wrong, or too little data from outside is left.
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
    build = _Build(plan=plan, name=check_name(name or agent), options=options, home=home)
    return build.run(source)


@dataclass(kw_only=True)
class _Build:
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
        """From a source to a version; finished pieces are thrown away once they are not needed any more."""
        began, workspace = self.plan.as_of_ns or time.time_ns(), workspace_of(source)
        told = {**describe(source), "as_of_ns": began}
        fingerprint = self.plan.fingerprint()
        with PieceStore.of(self.home, fingerprint) as store, Spool(self.home) as spool:
            try:
                samples: list[Sample] = []
                for piece in self._pieces(source, workspace, store):
                    samples += self._taken(piece, spool)
                recipe, folder = self.plan.recipe, self.plan.folder
                samples = chosen(self._unforgotten(samples), recipe, self.funnel, folder)
                version = self._publish(samples, spool, told)
            except BurnishError:
                store.clear()
                raise
            store.clear()
        return version

    def _pieces(
        self, source: Source, workspace: Workspace | None, store: PieceStore
    ) -> Iterator[Piece]:
        """What the source holds, what the parent holds beside it, and general data."""
        present: set[str] = set()
        if workspace is None:
            runs = _noted(read(source, self.plan.agent), present)
            yield from PieceMaker(self.plan, self._watched).run(numbered(runs))
        else:
            cuts = cuts_of(workspace, self.plan.agent)
            present |= {entry.id for cut in cuts for entry in cut.entries}
            job = Job(plan=self.plan, home=workspace.home, store=store, cuts=cuts)
            yield from made(job, self.options.workers, self._watched)
        parent = self._parent(workspace)
        if parent is not None:
            self.parents = [parent.id]
            present |= self._forgotten()
            yield mixing.carried(parent, present, self.plan)
        if self.plan.recipe.general:
            yield mixing.general(self.plan)

    def _parent(self, workspace: Workspace | None) -> DatasetVersion | None:
        """The version to go on from.

        Raises:
            ExportError: If there is none of the id that was asked for, or it is another agent's.
        """
        wanted, shelf = self.options.from_, Shelf(self.home)
        if wanted is None or (wanted == "newest" and workspace is None):
            return None
        if wanted == "newest":
            known = (v for v in shelf.versions() if v.manifest.name == self.name)
            return next((v for v in known if v.manifest.agent == self.plan.agent), None)
        found = shelf.find(wanted)
        if found.manifest.agent != self.plan.agent:
            raise ExportError(
                f"{found.id} holds runs of {found.manifest.agent!r}",
                f"a version of {self.plan.agent!r}",
                "burnish dataset list",
            )
        return found

    def _forgotten(self) -> set[str]:
        """Runs that must not come back."""
        return Forgotten(tombstones(self.home.parent)).trajectories

    def _unforgotten(self, samples: list[Sample]) -> list[Sample]:
        """Leave out what was forgotten while it was read."""
        gone = self._forgotten()
        for sample in samples:
            if sample.trajectory_id in gone:
                self.funnel.drop("forgotten", "forgotten meanwhile", sample.trajectory_id)
        return [sample for sample in samples if sample.trajectory_id not in gone]

    def _taken(self, piece: Piece, spool: Spool) -> Iterator[Sample]:
        """Count a piece, and yield its samples with their places in the spool."""
        self.funnel.add(piece.stages)
        self.funnel.gone += piece.gone
        self.replaced.update(piece.replaced)
        for kind, counts in piece.kinds.items():
            known = self.kinds.setdefault(kind, [0, 0])
            known[:] = [one + other for one, other in zip(known, counts, strict=True)]
        start = spool.append(piece.rows)
        for sample in piece.samples:
            sample.place = start + sample.place[0], sample.place[1]
            yield sample
        if self.options.progress:
            self.options.progress(self.funnel)

    def _watched(self, funnel: Funnel) -> None:
        """Tell the progress within a piece."""
        if self.options.progress:
            both = Funnel()
            both.add(self.funnel.stages())
            both.add(funnel.stages())
            self.options.progress(both)

    def _publish(
        self, samples: list[Sample], spool: Spool, source: dict[str, Any]
    ) -> DatasetVersion:
        """Write the chosen rows and give the version its name."""
        self._check(samples)
        facts = self.plan.facts()
        draft, slices = Draft(self.home, facts), Counter[str]()
        try:
            for columns, part in _rows_in_order(samples, spool):
                draft.add(columns, part)
                if part == "train":
                    slices.update(columns["kind_tags"])
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
                verifiers=self._verifiers(),
                sources=[source],
                parents=[parent for parent in self.parents if parent != found],
                slices=dict(sorted(slices.items())),
                extras=self._extras(samples),
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

    def _verifiers(self) -> list[dict[str, Any]]:
        """Who judged, and how far that was found to be right."""
        store = QualityStore(self.home.parent)
        return [facts_of(verifier, store, self.plan.agent) for verifier in self.plan.verifiers]

    def _check(self, samples: list[Sample]) -> None:
        """Refuse a set that is too small, or has too little from outside."""
        recipe, train = self.plan.recipe, sum(s.rows for s in samples if _part(s) == "train")
        if train < recipe.min_rows:
            told = (
                self.funnel.sentence()
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

    def _extras(self, samples: list[Sample]) -> dict[str, Any]:
        recipe = self.plan.recipe
        table = curate.coverage(self.kinds, samples)
        return {
            "trajectories": len(samples),
            "redaction": None
            if recipe.redact == "none"
            else report(self.replaced, second_look_name()),
            "coverage": table,
            "warnings": [*_too_few(samples), *curate.gaps(table, recipe.kinds)],
            "external_share": round(curate.external_share(samples), 6),
            "licenses": _named(recipe.licenses, "license:", samples),
            "rights": _named(recipe.rights, "rights:", samples),
        }


def _noted(runs: Iterable[Trajectory], seen: set[str]) -> Iterator[Trajectory]:
    for run in runs:
        seen.add(run.id)
        yield run


def _too_few(samples: list[Sample]) -> list[str]:
    """A warning where so few runs are trained on that only the held-out result can say whether they are enough."""
    runs = sum(_part(sample) == "train" for sample in samples)
    return [f"{runs} training runs, fewer than {_FEW}"] if runs < _FEW else []


def _named(given: list[str], prefix: str, samples: list[Sample]) -> list[str]:
    """What the recipe names and what the tags of the chosen runs name."""
    tags = {tag for sample in samples for tag in sample.tags if tag.startswith(prefix)}
    return sorted({*given, *(tag.removeprefix(prefix) for tag in tags)})


def _part(sample: Sample) -> str:
    return sample.split if sample.label == "success" else f"{sample.split}-contrast"


def _rows_in_order(samples: list[Sample], spool: Spool) -> Iterator[tuple[Columns, str]]:
    """Columns of rows in the order of parts and ids, whatever order the source had."""
    order = {part: place for place, part in enumerate(PARTS)}
    for sample in sorted(samples, key=lambda s: (order[_part(s)], s.trajectory_id)):
        rows = spool.read(sample.place)
        for row in quieted(rows, sample.quiet) if sample.quiet else rows:
            row["weight"], row["kind_tags"] = round(sample.weight, 9), sample.tags
            yield row, _part(sample)


def _home_of(source: Source) -> Path:
    """Where versions of a source go: into its workspace, else into the home folder's."""
    home = getattr(source, "datasets", None)
    if isinstance(home, (str, Path)):
        return Path(home)
    return settings.current().home / "datasets"
