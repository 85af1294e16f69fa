"""Ships the journal of many processes to one receiver, each span until it was taken.

Knows: batches by bytes, backoff, whose journals may be shipped, what to do about a span that is
refused or too large.
Does not know: settings, the process's threads (shipper), how the receiver is reached (delivery).
"""

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
from burnish.journal import tombstones
from burnish.journal.cursor import Claim, Cursor
from burnish.journal.reader import is_alive, process_folders
from burnish.records import Span
from burnish.settings import Settings
from burnish.telemetry import semconv as s
from burnish.telemetry.delivery import Answer, Receiver
from burnish.telemetry.feed import Feed, Mark, count_after
from burnish.telemetry.otlp import Content
from burnish.telemetry.references import ContentStore, contents_of, open_store

_LOG = logging.getLogger("burnish.telemetry")
_BATCH_BYTES = 3_000_000  # below the 4 MiB of a gRPC collector
_BATCH_SPANS = 512
_BACKOFF_S = (0.5, 60.0)
_SAME_TRIES = (
    3  # of a batch that is not taken for an unclear reason, before its spans are looked at
)
_RUNS_AHEAD = 4
_LOOK_AHEAD = 2000  # events in which a span behind a refused one is looked for

Wait = Callable[[float], bool]


_jitter = random.Random()  # noqa: S311 - no secret; the program's own sequence stays as it is


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What of the journal is shipped, and in which pieces."""

    content: Content = "inline"
    store: ContentStore | None = None  # gets what spans refer to
    sample: float = 1.0
    batch_bytes: int = _BATCH_BYTES
    batch_spans: int = _BATCH_SPANS
    first_backoff_s: float = _BACKOFF_S[0]
    last_backoff_s: float = _BACKOFF_S[1]


def policy_of(settings: Settings) -> Policy:
    """What the settings say about shipping.

    Raises:
        SettingsError: If nothing can be kept under `content_url`.
    """
    url = settings.content_url
    store = open_store(url) if url is not None else None
    return Policy(content=settings.content, store=store, sample=settings.sample)


def send(
    receiver: Receiver, batch: list[Span], content: Content, store: ContentStore | None
) -> Answer:
    """Hand over a batch; what it refers to is put into the store before."""
    if content == "reference" and store is not None:
        try:
            for span in batch:
                store.put(contents_of(span))
        except Exception as error:  # noqa: BLE001 - whatever a file system raises is "later"
            return Answer("later", f"content cannot be kept: {type(error).__name__}: {error}")
    return receiver.send(batch, content)


class _Source:
    """The journal of one process, with the claim to ship it."""

    def __init__(self, folder: Path, claim: Claim, share: float) -> None:
        self.claim = claim
        self.feed = Feed(folder, claim.cursor, share)
        self._sampled_before = claim.cursor.sampled_out

    def done(self, mark: Mark, delivered: int, refused: int) -> None:
        """Move the cursor behind what was shipped."""
        cursor = self.claim.cursor
        cursor.segment, cursor.offset, cursor.floor = mark.segment, mark.offset, mark.floor
        cursor.finished = mark.finished
        cursor.delivered += delivered
        cursor.refused += refused
        cursor.sampled_out = self._sampled_before + self.feed.sampled_out
        self.claim.save()


class Channel:
    """One receiver and all journals of a workspace that this process may ship."""

    def __init__(self, home: Path, receiver: Receiver, policy: Policy) -> None:
        self.home, self.receiver, self.policy = home, receiver, policy
        self.last_reason = ""
        self._sources: dict[Path, _Source] = {}
        self._backoff = 0.0
        self._taken: Span | None = None  # the lightest span of the batch that was taken last
        self._shipping: _Source | None = None
        self._lock = threading.Lock()
        self._forgotten_at = 0

    def step(self, own: Path | None, wait: Wait) -> bool:
        """Ship what there is; False if it was stopped before the receiver had taken it.

        Args:
            own: Folder of this process's journal.
            wait: Waits so many seconds before the next try; True if there shall be none.
        """
        with self._lock:
            self._claim(own)
            self._look_for_tombstones()
            return all(self._ship(source, wait) for source in list(self._sources.values()))

    def unshipped(self, own: Path | None) -> int:
        """Spans that the receiver has not taken yet; waits for nobody."""
        count = 0
        for folder in process_folders(self.home):
            source = self._sources.get(folder)
            if source is None and folder != own and is_alive(folder):
                continue  # its own process ships it
            path = cursors.path_of(self.home, self.receiver.name, folder.name)
            cursor = source.claim.cursor if source is not None else cursors.read(path)
            count += count_after(folder, cursor or Cursor())
        return count

    def close(self) -> None:
        """Give the claims back and close the receiver."""
        with self._lock:
            for source in self._sources.values():
                source.claim.release()
            self._sources.clear()
        with contextlib.suppress(Exception):
            self.receiver.close()

    def _claim(self, own: Path | None) -> None:
        """Take up the journals of this process and of those that died."""
        for folder in process_folders(self.home):
            if folder in self._sources or (folder != own and is_alive(folder)):
                continue
            path = cursors.path_of(self.home, self.receiver.name, folder.name)
            known = cursors.read(path)
            if known is not None and known.finished:
                continue
            with contextlib.suppress(OSError):  # somebody else ships it
                claim = Claim(path)
                if known is None:
                    claim.save()  # so that nobody lets go of what was never shipped
                self._sources[folder] = _Source(folder, claim, self.policy.sample)

    def _ship(self, source: _Source, wait: Wait) -> bool:
        self._shipping = source
        for batch, mark in self._batches(source):
            refused = self._deliver(batch, wait, self.policy.content)
            if refused is None:
                self._rewind(source)
                return False
            source.done(mark, len(batch) - refused, refused)
        if source.feed.finished:
            source.claim.release()
            self._sources.pop(source.feed.folder, None)
        return True

    def _look_for_tombstones(self) -> None:
        """What was forgotten is no longer under `content_url`, though this process put it there."""
        with contextlib.suppress(FileNotFoundError):
            changed = tombstones.folder_of(self.home).stat().st_mtime_ns
            if changed != self._forgotten_at and self.policy.store is not None:
                self.policy.store.look_again()
            self._forgotten_at = changed

    def _rewind(self, source: _Source) -> None:
        """Read again from the cursor next time."""
        source.feed = Feed(source.feed.folder, source.claim.cursor, self.policy.sample)

    def _batches(self, source: _Source) -> Iterator[tuple[list[Span], Mark]]:
        batch: list[Span] = []
        size = 0
        last: Mark | None = None
        try:
            for span, mark in source.feed.read():
                if span is not None:
                    weight = weigh(span)
                    full = size + weight > self.policy.batch_bytes
                    if batch and (full or len(batch) >= self.policy.batch_spans) and last:
                        yield batch, last
                        batch, size = [], 0
                    batch.append(span)
                    size += weight
                last = mark
        except JournalError as error:
            self._say(f"{source.feed.folder.name} is not shipped: {error}")
        if last is not None:
            yield batch, last

    def _deliver(
        self, batch: list[Span], wait: Wait, content: Content, probe: Span | None = None
    ) -> int | None:
        """Send until it is taken; how many were refused, None if asked to stop before.

        Args:
            batch: Spans.
            wait: As in `step`.
            content: What of their content is sent.
            probe: A span that the receiver has just taken: what it does not take now is refused,
                as long as it takes this one again.
        """
        tries = 0
        while batch:
            answer = send(self.receiver, batch, content, self.policy.store)
            if answer.result == "taken":
                self._backoff = 0.0
                self.last_reason = ""
                self._taken = min(batch, key=weigh)
                return answer.rejected
            self._say(answer.reason)
            if answer.result in ("too_large", "refused"):
                return self._divide(batch, answer, wait, content, probe)
            tries += 1
            if answer.result == "unclear" and (probe is not None or tries >= _SAME_TRIES):
                found = self._working_probe(batch, probe, content)
                if found is not None:
                    rest = [span for span in batch if span is not found]  # it was taken just now
                    return self._divide(rest, answer, wait, content, found) if rest else 0
                if len(batch) == 1 and content == "inline" and self._takes(batch[0], "reference"):
                    return 0
            if wait(self._pause(answer)):
                return None
        return 0

    def _divide(
        self,
        batch: list[Span],
        answer: Answer,
        wait: Wait,
        content: Content,
        probe: Span | None = None,
    ) -> int | None:
        """Send the halves of what was not taken as a whole; one span alone may be refused."""
        if len(batch) > 1:
            middle = len(batch) // 2
            parts = (batch[:middle], batch[middle:])
            counts = [self._deliver(part, wait, content, probe) for part in parts]
            return None if None in counts else sum(count or 0 for count in counts)
        if answer.result in ("too_large", "unclear") and content == "inline":
            return self._deliver(batch, wait, "reference", probe)
        return 1

    def _working_probe(
        self, batch: list[Span], probe: Span | None, content: Content
    ) -> Span | None:
        """A span that the receiver takes now, so that it is the batch that it does not take.

        A receiver that is down takes nothing: then everything waits.
        """
        own = sorted(batch, key=weigh)[:2] if len(batch) > 1 else []
        known = [probe] if probe is not None else [*own, *self._neighbours(batch)]
        for span in known:
            if self._takes(span, content):
                return span
        return None

    def _neighbours(self, batch: list[Span]) -> Iterator[Span]:
        """A span that was taken before, and some of other runs that come later."""
        ids = {span.span_id for span in batch}
        if self._taken is not None and self._taken.span_id not in ids:
            yield self._taken
        source = self._shipping
        if source is None:
            return
        ahead = Feed(source.feed.folder, source.claim.cursor, self.policy.sample)
        runs: set[object] = set()
        with contextlib.suppress(JournalError):
            for span, _ in itertools.islice(ahead.read(), _LOOK_AHEAD):
                run = None if span is None else span.attributes.get(s.TRAJECTORY)
                if span is None or span.span_id in ids or run in runs:
                    continue
                runs.add(run)
                yield span
                if len(runs) == _RUNS_AHEAD:
                    return

    def _takes(self, span: Span, content: Content) -> bool:
        return send(self.receiver, [span], content, self.policy.store).result == "taken"

    def _pause(self, answer: Answer) -> float:
        first, last = self.policy.first_backoff_s, self.policy.last_backoff_s
        self._backoff = min(last, max(first, self._backoff * 2))
        jittered = self._backoff * _jitter.uniform(0.5, 1.0)
        return max(jittered, answer.retry_after_s or 0.0)

    def _say(self, reason: str) -> None:
        if reason != self.last_reason:
            _LOG.warning("%s: spans wait in the journal: %s", self.receiver.name, reason)
        self.last_reason = reason


def weigh(span: Span) -> int:
    """About how many bytes a span takes in OTLP."""
    return 300 + sum(len(key) + _weight(value) for key, value in span.attributes.items())


def _weight(value: object) -> int:
    if isinstance(value, str):
        return len(value) + 8
    if isinstance(value, dict):
        return 8 + sum(len(str(key)) + _weight(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return 8 + sum(map(_weight, value))
    return 12
