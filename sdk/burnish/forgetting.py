"""Forgets a person: what was recorded goes, what was built of it is named.

Knows: where content of a trajectory can lie. Does not know: how a segment is blanked (erasure).
"""

from __future__ import annotations

import importlib
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from burnish import settings
from burnish.artefacts import (
    find_unreadable,
    parents_of,
    read_columns,
    read_manifest,
    row_files,
)
from burnish.capture import thread_runs
from burnish.capture.redaction import own_stand_ins, stand_ins
from burnish.errors import BurnishError, WorkspaceError
from burnish.journal import erasure
from burnish.journal.catching_up import plain_text
from burnish.journal.erasure import Tombstone
from burnish.journal.faults import naming_faults
from burnish.journal.index import IndexEntry, Query
from burnish.journal.orphans import Orphans, find_orphans
from burnish.journal.store import JournalStore
from burnish.journal.writer import writer_for
from burnish.records import Json, Record
from burnish.telemetry.projection import Projector, project_events
from burnish.telemetry.references import collect_names, open_store

_PATIENCE_S = 10.0  # how long to wait for a process that rewrites the journal; then it erases


class ForgetReport(Record, frozen=True, kw_only=True):
    """What was removed, and what was built from it and stays until somebody decides."""

    id: str
    trajectories: list[str]
    frames: int  # blanked in the journal
    pending: list[str]  # segments that are blanked once their process closes them
    datasets: list[str]  # frozen versions with rows of these trajectories
    adapters: list[str]  # versions that were trained on those datasets
    deployments: list[str]  # agents whose pointer names such an adapter
    contents: int  # removed under `content_url`
    contents_left: list[str]  # URLs there of what could not be removed
    # Trajectories that stay: one's own `redact` may give others that name too, or their beginning
    # is damaged, so that nobody can tell whose they are.
    doubtful: list[str]
    unread: list[str]  # files of datasets, adapters and deployments that cannot be read


def forget(
    store: JournalStore, *, thread_id: str | None = None, user: str | None = None
) -> ForgetReport:
    """Remove what was recorded of a thread or a user, and keep a tombstone.

    The name is looked for as it is given and as the keys of the workspace write it.

    Raises:
        WorkspaceError: If neither or both are named.
        SettingsError: If `content_url` is none; nothing is forgotten then.
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
    entries = _entries_of(store, kind, names)
    orphans = _orphans_of(store, kind, names)
    threads = {entry.thread_id for entry in entries if entry.thread_id is not None}
    threads.update(names if kind == "thread" else ())
    stone = Tombstone(
        id=secrets.token_hex(4),
        at=time.time_ns(),
        kind=kind,
        digest=erasure.digest_of(given),
        trajectories=_ids(entries) + orphans.named,
        threads=sorted(erasure.digest_of(name) for name in threads),
        running=any(entry.status == "running" for entry in entries),
    )
    contents, contents_left = _remove_contents(store, {entry.id for entry in entries}, threads)
    with naming_faults(home):
        frames, done = _erase(home, stone)
    store.close()
    store.index.rebuild()  # a database keeps the bytes of deleted rows
    store.refresh()
    trajectories = list(dict.fromkeys(key for one in [stone, *done] for key in one.trajectories))
    thread_runs.erase(home, trajectories)
    datasets = sorted(_datasets_with(home, set(trajectories)))
    adapters = _adapters_of(home, datasets)
    return ForgetReport(
        id=stone.id,
        trajectories=trajectories,
        frames=frames,
        pending=sorted({name for one in done for name in (*one.pending, *one.archived)}),
        datasets=datasets,
        adapters=adapters,
        deployments=_deployments_of(home, adapters),
        contents=contents,
        contents_left=contents_left,
        doubtful=_ids(_entries_of(store, kind, own_stand_ins(given))) + orphans.doubtful,
        unread=[str(path) for path in find_unreadable(home)],
    )


def _erase(home: Path, stone: Tombstone) -> tuple[int, list[Tombstone]]:
    """Write a tombstone and erase what it names, and what earlier ones of the same name wait for.

    The tombstone comes first: what is killed or fails afterwards is finished by the next holder
    of the journal's lock. Where another process holds it for long, that process erases.

    Returns:
        How many frames went, and these tombstones as they are now.
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
            erasure.settle(home)  # again: what failed on the way in is an error now
    wanted = {stone.id, *(one.id for one in earlier)}
    done = [one for one in erasure.tombstones(home) if one.id in wanted]
    return sum(one.frames for one in done) - sum(one.frames for one in earlier), done


def _entries_of(store: JournalStore, kind: str, names: Iterable[str]) -> list[IndexEntry]:
    """Trajectories of a thread or user under any of these names, oldest first."""
    found: dict[str, IndexEntry] = {}
    for name in names:
        query = Query(thread_id=name) if kind == "thread" else Query(user=name)
        found.update((entry.id, entry) for entry in store.find(query))
    return sorted(found.values(), key=lambda entry: (entry.started_ns, entry.id))


def _ids(entries: Iterable[IndexEntry]) -> list[str]:
    return [entry.id for entry in entries]


def _orphans_of(store: JournalStore, kind: str, names: Iterable[str]) -> Orphans:
    """Runs whose beginning is damaged, where anything is damaged at all."""
    report = store.report()
    if not (report.corrupt or report.unknown_events or report.torn_tails):
        return Orphans([], [])
    started = {entry.id for entry in store.find(Query())}
    field = "thread_id" if kind == "thread" else "user"
    return find_orphans(store.home, field, names, started)


def _remove_contents(
    store: JournalStore, trajectories: set[str], threads: set[str]
) -> tuple[int, list[str]]:
    """Remove what lies under `content_url` of these alone; how much that was, and the URLs of what stays."""
    url = settings.current().content_url
    if url is None:
        return 0, []
    kept = open_store(url)
    entries, told = store.find(Query()), store.index.told_threads()
    threads = {plain_text(name) for name in threads}
    going = [entry for entry in entries if entry.id in trajectories]
    wanted: set[str] = set().union(*_content_names(store, going, told & threads))
    others = [entry for entry in entries if entry.id not in trajectories] if wanted else []
    for names in _content_names(store, others, told - threads if wanted else set()):
        wanted -= names
    return kept.remove(sorted(wanted))


def _content_names(
    store: JournalStore, entries: list[IndexEntry], threads: set[str]
) -> Iterator[set[str]]:
    """Names of the content of these trajectories, and of the outcomes of these threads, by span."""
    for _, chapters in store.walk(entries):
        for chapter in chapters:
            yield from map(collect_names, project_events(chapter.events, alive=chapter.alive))
    projector = Projector()
    for thread in threads:
        for event, blobs in store.thread_outcomes(thread):
            span = projector.add_event(event, blobs)
            if span is not None:
                yield collect_names(span)


def _datasets_with(home: Path, trajectories: set[str]) -> Iterator[str]:
    """Dataset versions that hold a row of one of these trajectories."""
    seen = set()
    for path in row_files(home) if trajectories else ():
        version = path.parent.parent.name
        if version in seen:
            continue
        rows = read_columns(path, ["trajectory_id"]) or ()
        if not trajectories.isdisjoint(row["trajectory_id"] for row in rows):
            seen.add(version)
            yield version


def _adapters_of(home: Path, datasets: list[str]) -> list[str]:
    """Adapter versions that come from these datasets, also by way of other adapters."""
    manifests = {
        path.parent.name: set(parents_of(read_manifest(path) or {}))
        for path in (home / "adapters").glob("*/burnish.json")
    }
    tainted = set(datasets)
    grown = True
    while grown:
        found = {name for name, parents in manifests.items() if tainted & parents}
        grown = not found <= tainted
        tainted |= found
    return sorted(tainted & manifests.keys())


def _deployments_of(home: Path, adapters: list[str]) -> list[str]:
    """Agents whose control document names one of these adapters."""
    if not adapters or not (home / "control.sqlite").exists():
        return []
    control = importlib.import_module("burnish.adapters")
    try:
        store = control.SqlControlStore(home)
        agents = {candidate.agent for candidate in control.Registry(home).list()}
        return sorted(agent for agent in agents if _names(store.read(agent)[0], set(adapters)))
    except BurnishError:  # it is damaged, which the report says
        return []


def _names(value: Json, wanted: set[str]) -> bool:
    if isinstance(value, dict):
        return any(_names(item, wanted) for item in value.values())
    if isinstance(value, list):
        return any(_names(item, wanted) for item in value)
    return value in wanted if isinstance(value, str) else False
