"""Remove old segments by age and size, except those that an exporter has not shipped yet.

`keep` applies the retention settings. `Claims` reads the cursors of the exporters.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import msgspec

from burnish.journal import cursor as cursors
from burnish.journal.lifecycle.erasure import rewriting
from burnish.journal.reader import is_alive, process_folders, segments
from burnish.settings import Settings

_DAY_NS = 86_400 * 10**9


class RetentionReport(msgspec.Struct, kw_only=True):
    """Result of one run of retention."""

    removed: int = 0  # segments
    removed_bytes: int = 0
    kept_bytes: int = 0
    claimed: int = 0  # segments over age or quota that an exporter has not shipped yet
    lost_claims: list[str] = []  # exporters that have not moved for keep_unshipped_days
    over_quota: bool = False  # exporters claim more than keep_bytes


class _Segment(msgspec.Struct):
    path: Path
    number: int
    size: int
    changed_ns: int
    open: bool  # a process may still write to it


def keep(home: Path, settings: Settings, now_ns: int | None = None) -> RetentionReport:
    """Remove segments that are older than `keep_days`, and the oldest above `keep_bytes`.

    Segments that an exporter has not shipped stay, unless the exporter has not moved its cursor for
    `keep_unshipped_days`. Two processes may run this at the same time. In a process whose clock has
    jumped by more than a day, no segment counts as old.
    """
    now = _trusted_now() if now_ns is None else now_ns
    report = RetentionReport()
    with rewriting(home, remote=False) as state:
        if not state.held:
            return report
        found = _all_segments(home)
        claims = Claims(home, settings, now)
        report.lost_claims = claims.lost
        total = sum(item.size for item in found)
        for item in sorted(found, key=lambda item: item.changed_ns):
            old = now - item.changed_ns > settings.keep_days * _DAY_NS
            if item.open or not (old or total > settings.keep_bytes):
                continue
            if claims.hold(item.path.parent.name, item.number):
                report.claimed += 1
                continue
            with contextlib.suppress(OSError):
                item.path.unlink()
                report.removed += 1
                report.removed_bytes += item.size
                total -= item.size
        report.kept_bytes = total
        report.over_quota = total > settings.keep_bytes
        _remove_empty(home)
    return report


def _trusted_now() -> int:
    """Return the time; 0, before everything, if the clock was set by more than a day meanwhile."""
    now = time.time_ns()
    return 0 if abs(now - _since_boot() - _BOOTED_NS) > _DAY_NS else now


def _since_boot() -> int:
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


_BOOTED_NS = time.time_ns() - _since_boot()


class Claims:
    """Segments that an exporter has not shipped yet."""

    def __init__(self, home: Path, settings: Settings, now_ns: int) -> None:
        self._cursors: dict[str, dict[str, cursors.Cursor]] = {}
        for path in cursors.folder_of(home).glob("*.cursor"):
            exporter, dot, process = path.stem.partition(".")
            if not dot:  # a foreign file
                continue
            cursor = cursors.read(path) or cursors.Cursor()
            self._cursors.setdefault(exporter, {})[process] = cursor
        patience = settings.keep_unshipped_days * _DAY_NS
        self.lost = sorted(
            exporter
            for exporter, own in self._cursors.items()
            if now_ns - max(cursor.moved_ns for cursor in own.values()) > patience
            and not all(cursor.finished for cursor in own.values())
        )
        for exporter in self.lost:
            del self._cursors[exporter]

    def hold(self, process: str, number: int) -> bool:
        """Return whether an exporter claims a segment of a process."""
        for own in self._cursors.values():
            cursor = own.get(process)
            if cursor is None or (not cursor.finished and number >= cursor.floor):
                return True
        return False


def _all_segments(home: Path) -> list[_Segment]:
    found = []
    for folder in process_folders(home):
        alive = is_alive(folder)
        paths = segments(folder)
        for path in paths:
            with contextlib.suppress(OSError):
                stat = path.stat()
                is_open = alive and path == paths[-1]
                found.append(
                    _Segment(path, int(path.stem), stat.st_size, stat.st_mtime_ns, is_open)
                )
    return found


def _remove_empty(home: Path) -> None:
    """Remove the empty folders of dead processes, and their cursors."""
    for folder in process_folders(home):
        if is_alive(folder) or segments(folder):
            continue
        with contextlib.suppress(OSError):
            (folder / "alive").unlink(missing_ok=True)
            folder.rmdir()
            for path in cursors.folder_of(home).glob(f"*.{folder.name}.*"):
                path.unlink()
