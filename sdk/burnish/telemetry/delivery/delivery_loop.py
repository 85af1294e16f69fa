"""Ship the journals of a workspace to one receiver until each span is delivered.

`DeliveryLoop.ship_pending` is the entry. `shipper` runs it in a thread; `delivery` sends one batch.
"""

# How it works: each journal has a cursor file, locked by the process that ships it. A batch moves the
# cursor only after the receiver answered. A batch that fails for an unclear reason is compared with a
# span that the receiver accepts now: if that one passes, the batch is divided until the refused spans
# are alone; if nothing passes, the receiver is down and everything waits with backoff.

from __future__ import annotations

import contextlib
import itertools
import logging
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from burnish.errors import JournalError
from burnish.journal import cursor as cursors
from burnish.journal.cursor import Claim, Cursor
from burnish.journal.lifecycle import tombstones
from burnish.journal.reader import is_alive, process_folders
from burnish.records import Span
from burnish.settings import Settings
from burnish.telemetry import semconv as s
from burnish.telemetry.delivery.batch_delivery import DeliveryResult, Receiver
from burnish.telemetry.delivery.cursor_reader import CursorReader, JournalMark, count_spans_after
from burnish.telemetry.otlp.codec import ContentMode
from burnish.telemetry.spans.references import ContentStore, collect_contents, open_store

_LOG = logging.getLogger("burnish.telemetry")
_BATCH_BYTES = 3_000_000  # below the 4 MiB of a gRPC collector
_BATCH_SPANS = 512
_BACKOFF_S = (0.5, 60.0)
_SAME_TRIES = 3  # of a batch with an unclear answer, before its spans are tried alone
_RUNS_AHEAD = 4
_LOOK_AHEAD = 2000  # events that are searched for a span behind a refused one

Wait = Callable[[float], bool]


_jitter = random.Random()  # noqa: S311 - no secret; own generator, so that the program's sequence is unchanged


class ShippingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of shipping: content mode, sampling, batch sizes, backoff."""

    content: ContentMode = "inline"
    store: ContentStore | None = None  # gets what spans refer to
    sample: float = 1.0
    batch_bytes: int = _BATCH_BYTES
    batch_spans: int = _BATCH_SPANS
    first_backoff_s: float = _BACKOFF_S[0]
    last_backoff_s: float = _BACKOFF_S[1]


def build_policy(settings: Settings) -> ShippingPolicy:
    """Build the shipping policy from the settings.

    Raises:
        SettingsError: If content cannot be stored under `content_url`.
    """
    url = settings.content_url
    store = open_store(url) if url is not None else None
    return ShippingPolicy(content=settings.content, store=store, sample=settings.sample)


def send_batch(
    receiver: Receiver, batch: list[Span], content: ContentMode, store: ContentStore | None
) -> DeliveryResult:
    """Send a batch; store the content that it refers to first."""
    if content == "reference" and store is not None:
        try:
            for span in batch:
                store.put(collect_contents(span))
        except Exception as error:  # noqa: BLE001 - any error of a file system means "later"
            return DeliveryResult(
                "later", f"content cannot be stored: {type(error).__name__}: {error}"
            )
    return receiver.send(batch, content)


class _ClaimedJournal:
    """The journal of one process, with the lock on its cursor."""

    def __init__(self, folder: Path, claim: Claim, share: float) -> None:
        self.claim = claim
        self.reader = CursorReader(folder, claim.cursor, share)
        self._sampled_before = claim.cursor.sampled_out

    def advance_cursor(self, mark: JournalMark, delivered: int, refused: int) -> None:
        """Move the cursor behind the shipped spans."""
        cursor = self.claim.cursor
        cursor.segment, cursor.offset, cursor.floor = mark.segment, mark.offset, mark.floor
        cursor.finished = mark.finished
        cursor.delivered += delivered
        cursor.refused += refused
        cursor.sampled_out = self._sampled_before + self.reader.sampled_out
        self.claim.save()


class DeliveryLoop:
    """Delivers all journals that this process may ship to one receiver."""

    def __init__(self, home: Path, receiver: Receiver, policy: ShippingPolicy) -> None:
        self.home, self.receiver, self.policy = home, receiver, policy
        self.last_reason = ""
        self._sources: dict[Path, _ClaimedJournal] = {}
        self._backoff = 0.0
        self._taken: Span | None = None  # the smallest span of the batch accepted last
        self._shipping: _ClaimedJournal | None = None
        self._lock = threading.Lock()
        self._forgotten_at = 0

    def ship_pending(self, own: Path | None, wait: Wait) -> bool:
        """Ship all pending spans; return False if stopped before the receiver accepted them.

        Args:
            own: Folder of this process's journal.
            wait: Waits the given seconds before the next try; returns True to stop.
        """
        with self._lock:
            self._claim_journals(own)
            self._check_tombstones()
            return all(self._ship_journal(source, wait) for source in list(self._sources.values()))

    def count_unshipped(self, own: Path | None) -> int:
        """Count the spans that the receiver has not accepted yet, without waiting."""
        count = 0
        for folder in process_folders(self.home):
            source = self._sources.get(folder)
            if source is None and folder != own and is_alive(folder):
                continue  # its own process ships it
            path = cursors.path_of(self.home, self.receiver.name, folder.name)
            cursor = source.claim.cursor if source is not None else cursors.read(path)
            count += count_spans_after(folder, cursor or Cursor())
        return count

    def close(self) -> None:
        """Release the claims and close the receiver."""
        with self._lock:
            for source in self._sources.values():
                source.claim.release()
            self._sources.clear()
        with contextlib.suppress(Exception):
            self.receiver.close()

    def _claim_journals(self, own: Path | None) -> None:
        """Claim the journals of this process and of dead processes."""
        for folder in process_folders(self.home):
            if folder in self._sources or (folder != own and is_alive(folder)):
                continue
            path = cursors.path_of(self.home, self.receiver.name, folder.name)
            known = cursors.read(path)
            if known is not None and known.finished:
                continue
            with contextlib.suppress(OSError):  # another process ships it
                claim = Claim(path)
                if known is None:
                    claim.save()  # retention keeps journals that have an unfinished cursor
                self._sources[folder] = _ClaimedJournal(folder, claim, self.policy.sample)

    def _ship_journal(self, source: _ClaimedJournal, wait: Wait) -> bool:
        self._shipping = source
        for batch, mark in self._read_batches(source):
            refused = self._deliver_batch(batch, wait, self.policy.content)
            if refused is None:
                self._rewind_to_cursor(source)
                return False
            source.advance_cursor(mark, len(batch) - refused, refused)
        if source.reader.finished:
            source.claim.release()
            self._sources.pop(source.reader.folder, None)
        return True

    def _check_tombstones(self) -> None:
        """Clear the store's cache after a deletion: forgotten content is no longer stored."""
        with contextlib.suppress(FileNotFoundError):
            changed = tombstones.folder_of(self.home).stat().st_mtime_ns
            if changed != self._forgotten_at and self.policy.store is not None:
                self.policy.store.clear_cache()
            self._forgotten_at = changed

    def _rewind_to_cursor(self, source: _ClaimedJournal) -> None:
        """Restart reading at the cursor."""
        source.reader = CursorReader(source.reader.folder, source.claim.cursor, self.policy.sample)

    def _read_batches(self, source: _ClaimedJournal) -> Iterator[tuple[list[Span], JournalMark]]:
        batch: list[Span] = []
        size = 0
        last: JournalMark | None = None
        try:
            for span, mark in source.reader.read_spans():
                if span is not None:
                    weight = estimate_size(span)
                    full = size + weight > self.policy.batch_bytes
                    if batch and (full or len(batch) >= self.policy.batch_spans) and last:
                        yield batch, last
                        batch, size = [], 0
                    batch.append(span)
                    size += weight
                last = mark
        except JournalError as error:
            self._log_reason(f"{source.reader.folder.name} is not shipped: {error}")
        if last is not None:
            yield batch, last

    def _deliver_batch(
        self, batch: list[Span], wait: Wait, content: ContentMode, probe: Span | None = None
    ) -> int | None:
        """Send until accepted; return how many spans were refused, or None if stopped.

        Args:
            batch: Spans.
            wait: As in `ship_pending`.
            content: How content is sent.
            probe: A span that the receiver just accepted. While it accepts this one again, spans
                that it does not accept count as refused.
        """
        tries = 0
        while batch:
            answer = send_batch(self.receiver, batch, content, self.policy.store)
            if answer.result == "taken":
                self._backoff = 0.0
                self.last_reason = ""
                self._taken = min(batch, key=estimate_size)
                return answer.rejected
            self._log_reason(answer.reason)
            if answer.result in ("too_large", "refused"):
                return self._deliver_parts(batch, answer, wait, content, probe)
            tries += 1
            if answer.result == "unclear" and (probe is not None or tries >= _SAME_TRIES):
                found = self._working_probe(batch, probe, content)
                if found is not None:
                    rest = [span for span in batch if span is not found]  # accepted just now
                    return self._deliver_parts(rest, answer, wait, content, found) if rest else 0
                if (
                    len(batch) == 1
                    and content == "inline"
                    and self._accepts_span(batch[0], "reference")
                ):
                    return 0
            if wait(self._next_backoff_s(answer)):
                return None
        return 0

    def _deliver_parts(
        self,
        batch: list[Span],
        answer: DeliveryResult,
        wait: Wait,
        content: ContentMode,
        probe: Span | None = None,
    ) -> int | None:
        """Send the halves of a refused batch; a single span may be refused."""
        if len(batch) > 1:
            middle = len(batch) // 2
            parts = (batch[:middle], batch[middle:])
            counts = [self._deliver_batch(part, wait, content, probe) for part in parts]
            return None if None in counts else sum(count or 0 for count in counts)
        if answer.result in ("too_large", "unclear") and content == "inline":
            return self._deliver_batch(batch, wait, "reference", probe)
        return 1

    def _working_probe(
        self, batch: list[Span], probe: Span | None, content: ContentMode
    ) -> Span | None:
        """Find a span that the receiver accepts now, which proves that the batch is at fault.

        A receiver that is down accepts nothing; then everything waits.
        """
        own = sorted(batch, key=estimate_size)[:2] if len(batch) > 1 else []
        known = [probe] if probe is not None else [*own, *self._read_neighbours(batch)]
        for span in known:
            if self._accepts_span(span, content):
                return span
        return None

    def _read_neighbours(self, batch: list[Span]) -> Iterator[Span]:
        """Yield a span that was accepted before, and spans of other runs that come later."""
        ids = {span.span_id for span in batch}
        if self._taken is not None and self._taken.span_id not in ids:
            yield self._taken
        source = self._shipping
        if source is None:
            return
        ahead = CursorReader(source.reader.folder, source.claim.cursor, self.policy.sample)
        runs: set[object] = set()
        with contextlib.suppress(JournalError):
            for span, _ in itertools.islice(ahead.read_spans(), _LOOK_AHEAD):
                run = None if span is None else span.attributes.get(s.TRAJECTORY)
                if span is None or span.span_id in ids or run in runs:
                    continue
                runs.add(run)
                yield span
                if len(runs) == _RUNS_AHEAD:
                    return

    def _accepts_span(self, span: Span, content: ContentMode) -> bool:
        return send_batch(self.receiver, [span], content, self.policy.store).result == "taken"

    def _next_backoff_s(self, answer: DeliveryResult) -> float:
        first, last = self.policy.first_backoff_s, self.policy.last_backoff_s
        self._backoff = min(last, max(first, self._backoff * 2))
        jittered = self._backoff * _jitter.uniform(0.5, 1.0)
        return max(jittered, answer.retry_after_s or 0.0)

    def _log_reason(self, reason: str) -> None:
        if reason != self.last_reason:
            _LOG.warning("%s: spans wait in the journal: %s", self.receiver.name, reason)
        self.last_reason = reason


def estimate_size(span: Span) -> int:
    """Estimate how many bytes a span takes in OTLP."""
    return 300 + sum(
        len(key) + _estimate_value_size(value) for key, value in span.attributes.items()
    )


def _estimate_value_size(value: object) -> int:
    if isinstance(value, str):
        return len(value) + 8
    if isinstance(value, dict):
        return 8 + sum(len(str(key)) + _estimate_value_size(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return 8 + sum(map(_estimate_value_size, value))
    return 12
