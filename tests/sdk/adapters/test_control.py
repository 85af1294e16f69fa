"""Control documents change by compare-and-set, and every reader sees a change soon."""

import json
import multiprocessing
import os
import sqlite3
import statistics
import threading
import time

import pytest

from burnish.adapters import PointerReader, SqlControlStore, Target
from burnish.adapters.pointer import Pointer
from burnish.errors import ControlConflict, RegistryError, WorkspaceTooNew
from burnish.protocols import ControlStore

STABLE = {"backend": "embedded", "base_model": "m", "adapter": "s@" + "a" * 12}
CANARY = {"backend": "embedded", "base_model": "m", "adapter": "s@" + "b" * 12}
RUNNING = {"stable": STABLE, "canary": CANARY, "share": 0.5, "salt": "x"}


class Clock:
    """A clock that the test advances."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def store(tmp_path):
    return SqlControlStore(tmp_path)


def test_a_document_is_empty_at_version_zero_before_the_first_write(store):
    assert isinstance(store, ControlStore)
    assert store.read("support") == ({}, 0)
    assert not store.path.exists()


def test_a_write_gives_the_next_version_and_keeps_agents_apart(store):
    assert store.write("support", {"a": 1}, expected_version=0) == 1
    assert store.write("support", {"a": 2}, expected_version=1) == 2
    assert store.write("sales", {"b": 1}, expected_version=0) == 1

    assert store.read("support") == ({"a": 2}, 2)
    assert store.read("sales") == ({"b": 1}, 1)


@pytest.mark.parametrize("expected", [0, 2])
def test_a_write_over_another_version_is_a_conflict_and_changes_nothing(store, expected):
    store.write("support", {"a": 1}, expected_version=0)

    with pytest.raises(ControlConflict, match=f"at version 1; expected version {expected}"):
        store.write("support", {"a": 9}, expected_version=expected)
    assert store.read("support") == ({"a": 1}, 1)


def _increments(home, count, results):
    store, conflicts = SqlControlStore(home), 0
    for _ in range(count):
        while True:
            document, version = store.read("support")
            try:
                store.write("support", {"n": document.get("n", 0) + 1}, expected_version=version)
                break
            except ControlConflict:
                conflicts += 1
    results.put(conflicts)


def test_two_processes_lose_no_update_to_each_other(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_increments, args=(tmp_path, 8, results)) for _ in range(2)]
    for process in processes:
        process.start()
    for _ in processes:
        results.get(timeout=60)
    for process in processes:
        process.join()

    assert SqlControlStore(tmp_path).read("support") == ({"n": 16}, 16)


def test_the_audit_trail_is_only_appended_to(store):
    with store.transaction() as connection:
        store.record_action(connection, "support", "rolled_back", {"reason": "worse"})

    entry = store.audit("support")[0]
    assert (entry["action"], entry["detail"]) == ("rolled_back", {"reason": "worse"})
    assert f":{os.getpid()}" in entry["actor"]
    for statement in ("UPDATE audit SET action = 'x'", "DELETE FROM audit"):
        with sqlite3.connect(store.path) as raw, pytest.raises(sqlite3.Error, match="appended"):
            raw.execute(statement)
    assert len(store.audit()) == 1


def test_a_workspace_of_a_newer_burnish_is_refused(tmp_path):
    (tmp_path / "workspace.json").write_text(json.dumps({"format": 999, "burnish": "9"}))

    with pytest.raises(WorkspaceTooNew):
        SqlControlStore(tmp_path).write("support", {}, expected_version=0)


def test_a_damaged_store_is_one_clear_error(store):
    store.path.write_bytes(b"this is no database, and long enough to be looked at" * 9)

    with pytest.raises(RegistryError, match=r"control store .* failed: .*not a database"):
        store.read("support")


def test_watchers_hear_of_writes_from_here_and_from_elsewhere(store):
    heard, seen = threading.Semaphore(0), []

    def changed(document, version):
        seen.append((document, version))
        heard.release()

    store.write("support", {"a": 0}, expected_version=0)
    store.watch("support", changed)
    store.write("support", {"a": 1}, expected_version=1)
    assert heard.acquire(timeout=10)
    with sqlite3.connect(store.path) as raw:  # as another process does
        raw.execute("UPDATE control SET document = '{\"a\": 2}', version = 3")
    raw.close()
    assert heard.acquire(timeout=10)
    store.unwatch("support", changed)

    assert seen == [({"a": 1}, 2), ({"a": 2}, 3)]


def test_a_reader_follows_writes_of_its_own_process_at_once(store, tmp_path):
    reader = PointerReader(tmp_path, "support", clock=Clock())  # a clock that stands still
    assert reader.read() == Pointer()

    store.write("support", RUNNING, expected_version=0)
    pointer = reader.read()

    assert (pointer.canary, pointer.share, pointer.version) == (Target(**CANARY), 0.5, 1)


def test_a_reader_follows_writes_of_others_within_its_interval(store, tmp_path):
    clock = Clock()
    reader = PointerReader(tmp_path, "support", clock=clock)
    store.write("support", RUNNING, expected_version=0)
    reader.read()
    with sqlite3.connect(store.path) as raw:
        raw.execute("UPDATE control SET document = '{\"share\": 0.0}', version = 2")
    raw.close()

    assert reader.read().share == 0.5
    clock.now += 0.041

    assert reader.read() == Pointer(version=2)


def _reads(home, ready, results):
    reader = PointerReader(home, "support")
    reader.read()
    ready.set()
    deadline = time.monotonic() + 60
    version = 1
    while version < 12 and time.monotonic() < deadline:
        pointer = reader.read()
        if pointer.version != version:
            version = pointer.version
            results.put((version, time.time_ns()))
        time.sleep(0.0005)  # a process that also does something


def test_a_rollback_reaches_another_process_within_a_tenth_of_a_second(store, tmp_path):
    """Eleven changes are timed; the median must hold even on a busy machine."""
    store.write("support", RUNNING, expected_version=0)
    context = multiprocessing.get_context("spawn")
    ready, results = context.Event(), context.Queue()
    process = context.Process(target=_reads, args=(tmp_path, ready, results))
    process.start()
    assert ready.wait(60)
    delays = []
    for version in range(1, 12):
        store.write("support", {**RUNNING, "share": version / 100}, expected_version=version)
        written = time.time_ns()
        seen, at = results.get(timeout=30)
        assert seen == version + 1
        delays.append((at - written) / 1e9)
    process.join()

    assert statistics.median(delays) < 0.1


def test_a_process_that_cannot_hear_the_store_stops_canary_traffic_after_thirty_seconds(
    store, tmp_path
):
    clock = Clock()
    reader = PointerReader(tmp_path, "support", clock=clock)
    store.write("support", RUNNING, expected_version=0)
    reader.read()
    store.path.rename(tmp_path / "away")

    clock.now += 29.0
    assert reader.read().share == 0.5
    clock.now += 2.0
    silent = reader.read()
    assert (silent.canary, silent.share, silent.stable) == (None, 0.0, Target(**STABLE))

    (tmp_path / "away").rename(store.path)
    clock.now += 2.0
    assert reader.read().share == 0.5


def test_a_process_that_starts_without_the_store_keeps_the_last_stable_version(store, tmp_path):
    store.write("support", RUNNING, expected_version=0)
    PointerReader(tmp_path, "support").read()
    store.path.rename(tmp_path / "away")

    pointer = PointerReader(tmp_path, "support").read()

    assert (pointer.stable, pointer.canary, pointer.share) == (Target(**STABLE), None, 0.0)


def _reads_in_child(reader, results):
    results.put(reader.read().share)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_reader_goes_on_in_a_forked_process(store, tmp_path):
    reader = PointerReader(tmp_path, "support")
    store.write("support", RUNNING, expected_version=0)
    assert reader.read().share == 0.5
    store.write("support", {**RUNNING, "share": 0.25}, expected_version=1)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=_reads_in_child, args=(reader, results))
    process.start()

    assert results.get(timeout=30) == 0.25
    process.join()
    store.write("support", {**RUNNING, "share": 0.75}, expected_version=2)
    assert reader.read().share == 0.75


def test_a_store_given_by_url_is_read_and_followed_the_same_way(tmp_path):
    store = SqlControlStore(tmp_path, url=f"sqlite:///{tmp_path / 'fleet.db'}")
    store.write("support", RUNNING, expected_version=0)
    reader = PointerReader(tmp_path, "support", store=store)

    assert reader.read().share == 0.5
