"""Delete what was recorded of a thread or user, and name what was built from it.

`forget` is the entry; `journal/lifecycle/erasure.py` blanks the segments.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from burnish import settings
from burnish.capture.content.redaction_door import own_stand_ins, stand_ins
from burnish.capture.recorder import thread_runs
from burnish.errors import BurnishError, WorkspaceError
from burnish.files.artefacts import (
    find_unreadable,
    list_parents,
    list_row_files,
    read_columns,
    read_manifest,
)
from burnish.journal.faults import naming_faults
from burnish.journal.index.index_sync import plain_text
from burnish.journal.index.trajectory_index import IndexEntry, Query
from burnish.journal.lifecycle import erasure
from burnish.journal.lifecycle.erasure import Tombstone
from burnish.journal.lifecycle.orphans import Orphans, find_orphans
from burnish.journal.store import JournalStore
from burnish.journal.writer import writer_for
from burnish.records import Json, Record
from burnish.telemetry.spans.projection import Projector, project_events
from burnish.telemetry.spans.references import collect_names, open_store

_PATIENCE_S = 10.0  # wait for another process that rewrites the journal; later that one erases


class ForgetReport(Record, frozen=True, kw_only=True):
    """The removed content, and the artefacts built from it that remain."""

    id: str
    trajectories: list[str]
    frames: int  # blanked in the journal
    pending: list[str]  # segments that will be blanked when their process closes them
    datasets: list[str]  # versions with rows of these trajectories
    adapters: list[str]  # versions trained on those datasets
    deployments: list[str]  # agents whose pointer names such an adapter
    contents: int  # removed under `content_url`
    contents_left: list[str]  # URLs that could not be removed
    # Trajectories that stay: a custom `redact` may give others the same name, or their beginning
    # is damaged, so that their owner is unknown.
    doubtful: list[str]
    unread: list[str]  # unreadable files of datasets, adapters and deployments


def forget(
    store: JournalStore, *, thread_id: str | None = None, user: str | None = None
) -> ForgetReport:
    """Remove what was recorded of a thread or a user, and keep a tombstone.

    The search covers the given name and its pseudonyms under the keys of the workspace.

    Raises:
        WorkspaceError: If neither or both are named.
        SettingsError: If `content_url` is not a usable URL; nothing is forgotten then.
    """
    if (thread_id is None) == (user is None):
        raise WorkspaceError(
            "forget() was given " + ("nothing" if user is None else "a thread and a user"),
            "either a thread or a user",
            'workspace.forget(thread_id="t-42")',
        )
    home = store.home
    kind, given = ("thread", str(thread_id)) if user is None else ("user", user)
    names = [given, *stand_ins(given, home)]
    entries = _find_entries(store, kind, names)
    orphans = _find_orphans(store, kind, names)
    threads = {entry.thread_id for entry in entries if entry.thread_id is not None}
    threads.update(names if kind == "thread" else ())
    stone = Tombstone(
        id=secrets.token_hex(4),
        at=time.time_ns(),
        kind=kind,
        digest=erasure.digest_of(given),
        trajectories=_list_ids(entries) + orphans.named,
        threads=sorted(erasure.digest_of(name) for name in threads),
        running=any(entry.status == "running" for entry in entries),
    )
    contents, contents_left = _remove_contents(store, {entry.id for entry in entries}, threads)
    with naming_faults(home):
        frames, done = _erase_frames(home, stone)
    store.close()
    store.index.rebuild()  # a database keeps the bytes of deleted rows
    store.refresh()
    trajectories = list(dict.fromkeys(key for one in [stone, *done] for key in one.trajectories))
    thread_runs.erase(home, trajectories)
    datasets = sorted(_find_datasets(home, set(trajectories)))
    adapters = _find_adapters(home, datasets)
    return ForgetReport(
        id=stone.id,
        trajectories=trajectories,
        frames=frames,
        pending=sorted({name for one in done for name in (*one.pending, *one.archived)}),
        datasets=datasets,
        adapters=adapters,
        deployments=_find_deployments(home, adapters),
        contents=contents,
        contents_left=contents_left,
        doubtful=_list_ids(_find_entries(store, kind, own_stand_ins(given))) + orphans.doubtful,
        unread=[str(path) for path in find_unreadable(home)],
    )


def _erase_frames(home: Path, stone: Tombstone) -> tuple[int, list[Tombstone]]:
    """Write a tombstone and erase what it and earlier pending ones of the same name cover.

    The tombstone comes first: after a kill or failure the next holder of the journal's lock finishes
    the work. If another process holds the lock for long, that process erases.

    Returns:
        The number of blanked frames, and the current state of these tombstones.
    """
    earlier = [
        one
        for one in erasure.tombstones(home)
        if one.waits and (one.kind, one.digest) == (stone.kind, stone.digest)
    ]
    erasure.plan(home, stone)
    writer_for(home).rotate()
    with erasure.rewriting(home, wait_s=_PATIENCE_S) as state:
        if state.held:
            erasure.settle(home)  # again: this time a failure is raised
    wanted = {stone.id, *(one.id for one in earlier)}
    done = [one for one in erasure.tombstones(home) if one.id in wanted]
    return sum(one.frames for one in done) - sum(one.frames for one in earlier), done


def _find_entries(store: JournalStore, kind: str, names: Iterable[str]) -> list[IndexEntry]:
    """Find the trajectories of a thread or user under any of these names, oldest first."""
    found: dict[str, IndexEntry] = {}
    for name in names:
        query = Query(thread_id=name) if kind == "thread" else Query(user=name)
        found.update((entry.id, entry) for entry in store.find(query))
    return sorted(found.values(), key=lambda entry: (entry.started_ns, entry.id))


def _list_ids(entries: Iterable[IndexEntry]) -> list[str]:
    return [entry.id for entry in entries]


def _find_orphans(store: JournalStore, kind: str, names: Iterable[str]) -> Orphans:
    """Find runs whose beginning is damaged; read nothing if the journal has no damage."""
    report = store.report()
    if not (report.corrupt or report.unknown_events or report.torn_tails):
        return Orphans([], [])
    started = {entry.id for entry in store.find(Query())}
    field = "thread_id" if kind == "thread" else "user"
    return find_orphans(store.home, field, names, started)


def _remove_contents(
    store: JournalStore, trajectories: set[str], threads: set[str]
) -> tuple[int, list[str]]:
    """Remove content of only these under `content_url`; return the number removed and the URLs left."""
    url = settings.current().content_url
    if url is None:
        return 0, []
    kept = open_store(url)
    entries, told = store.find(Query()), store.index.told_threads()
    threads = {plain_text(name) for name in threads}
    going = [entry for entry in entries if entry.id in trajectories]
    wanted: set[str] = set().union(*_collect_content_names(store, going, told & threads))
    others = [entry for entry in entries if entry.id not in trajectories] if wanted else []
    for names in _collect_content_names(store, others, told - threads if wanted else set()):
        wanted -= names
    return kept.remove(sorted(wanted))


def _collect_content_names(
    store: JournalStore, entries: list[IndexEntry], threads: set[str]
) -> Iterator[set[str]]:
    """Yield the content names of these trajectories and of these threads' outcomes, by span."""
    for _, chapters in store.walk(entries):
        for chapter in chapters:
            yield from map(collect_names, project_events(chapter.events, alive=chapter.alive))
    projector = Projector()
    for thread in threads:
        for event, blobs in store.thread_outcomes(thread):
            span = projector.add_event(event, blobs)
            if span is not None:
                yield collect_names(span)


def _find_datasets(home: Path, trajectories: set[str]) -> Iterator[str]:
    """Find dataset versions with a row of one of these trajectories."""
    seen = set()
    for path in list_row_files(home) if trajectories else ():
        version = path.parent.parent.name
        if version in seen:
            continue
        rows = read_columns(path, ["trajectory_id"]) or ()
        if not trajectories.isdisjoint(row["trajectory_id"] for row in rows):
            seen.add(version)
            yield version


def _find_adapters(home: Path, datasets: list[str]) -> list[str]:
    """Find adapter versions that descend from these datasets, directly or through other adapters."""
    manifests = {
        path.parent.name: set(list_parents(read_manifest(path) or {}))
        for path in (home / "adapters").glob("*/burnish.json")
    }
    tainted = set(datasets)
    grown = True
    while grown:
        found = {name for name, parents in manifests.items() if tainted & parents}
        grown = not found <= tainted
        tainted |= found
    return sorted(tainted & manifests.keys())


def _find_deployments(home: Path, adapters: list[str]) -> list[str]:
    """Find agents whose control document names one of these adapters."""
    if not adapters or not (home / "control.sqlite").exists():
        return []
    from burnish.adapters.control import (
        SqlControlStore,  # needs SQLAlchemy, which recording does without
    )
    from burnish.adapters.registry import Registry

    try:
        store = SqlControlStore(home)
        agents = {candidate.agent for candidate in Registry(home).list()}
        return sorted(
            agent for agent in agents if _mentions_any(store.read(agent)[0], set(adapters))
        )
    except BurnishError:  # a damaged database is in the report's `unread`
        return []


def _mentions_any(value: Json, wanted: set[str]) -> bool:
    if isinstance(value, dict):
        return any(_mentions_any(item, wanted) for item in value.values())
    if isinstance(value, list):
        return any(_mentions_any(item, wanted) for item in value)
    return value in wanted if isinstance(value, str) else False
