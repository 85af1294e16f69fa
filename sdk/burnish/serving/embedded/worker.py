"""Run requests in the one thread that owns the model, in batches."""

# How it works: rows of any slot and any sampling settings share a forward. Each round runs jobs, admits
# waiting requests and makes one step; a finished request leaves at once. When a forward fails, it is
# repeated for each version alone, and only the requests of the failing version fail. All state but the
# queues belongs to this thread; the queues are guarded by `_wake`.

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch

from burnish.errors import ServingError
from burnish.serving.embedded import turns
from burnish.serving.embedded.model import CausalModel
from burnish.serving.embedded.requests import RunningRequest
from burnish.serving.embedded.sampling import choose_tokens, rank_tokens

Job = tuple[Callable[[CausalModel], Any], "concurrent.futures.Future[Any]"]


@dataclasses.dataclass
class Counters:
    """Counts of the worker's work."""

    requests: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    prefills: int = 0
    steps: int = 0
    failed: int = 0


class Worker(threading.Thread):
    """Runs requests until closed; its engine starts it."""

    def __init__(self, model: CausalModel, released: Callable[[RunningRequest], None]) -> None:
        super().__init__(name="burnish-engine", daemon=True)
        self.counters = Counters()
        self._model = model
        self._released = released
        self._wake = threading.Condition()
        self._waiting: deque[RunningRequest] = deque()
        self._jobs: deque[Job] = deque()
        self._closed = False
        self._rows: list[RunningRequest] = []
        self._pool = model.make_pool()

    def queue_request(self, running: RunningRequest) -> None:
        """Queue a request."""
        with self._wake:
            self._refuse_if_closed()
            self._waiting.append(running)
            self._wake.notify()

    def run_between_steps(
        self, job: Callable[[CausalModel], Any]
    ) -> concurrent.futures.Future[Any]:
        """Run a job over the model between two steps."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._wake:
            self._refuse_if_closed()
            self._jobs.append((job, future))
            self._wake.notify()
        return future

    def close(self) -> None:
        """Stop after the current step; unanswered requests fail."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if threading.current_thread() is not self:
            self.join(timeout=30)

    def run(self) -> None:
        """Run the loop; start() calls it."""
        threads = self._model.choose_threads()
        if threads:
            torch.set_num_threads(threads)
        turns.begin_short_turns()
        with torch.inference_mode():
            while self._run_round():
                pass
        turns.end_short_turns()
        self._fail_all(ServingError("the engine was closed", "a running engine", "ask again"))

    def _run_round(self) -> bool:
        """Run one round: jobs, admission, one step; return False once closed."""
        with self._wake:
            if not self._has_work():
                turns.end_short_turns()
                self._wake.wait_for(self._has_work)
                turns.begin_short_turns()
            if self._closed:
                return False
        try:
            self._run_jobs()
            self._admit_waiting()
            self._drop_cancelled()
            if self._rows:
                self._step_all()
        except Exception as error:  # noqa: BLE001 - a failed forward must not end the worker
            self._fail_all(_wrap_model_error(error))
        return True

    def _has_work(self) -> bool:
        return bool(self._closed or self._rows or self._waiting or self._jobs)

    def _run_jobs(self) -> None:
        """Run queued jobs between two forwards, so that a swap waits for one forward at most."""
        with self._wake:
            jobs, self._jobs = self._jobs, deque()
        for job, future in jobs:
            try:
                result = job(self._model)
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                future.set_exception(error)
            else:
                future.set_result(result)

    def _admit_waiting(self) -> None:
        """Prefill waiting requests, as many as fit, with similar lengths together."""
        arrived = self._take_waiting()
        arrived.sort(key=lambda running: len(running.request.prompt))
        try:
            while arrived:
                batch = self._select_batch(arrived)
                del arrived[: len(batch)]
                self._prefill_batch(batch)
                self._run_jobs()
        finally:  # after a failed forward the others wait for the next round
            with self._wake:
                self._waiting.extendleft(reversed(arrived))

    def _take_waiting(self) -> list[RunningRequest]:
        """Take waiting requests for the free rows; take none if more are expected soon."""
        room = self._model.options.max_rows - len(self._rows)
        with self._wake:
            if not self._waiting or room <= 0 or self._better_later():
                return []
            count = min(room, len(self._waiting))
            taken = [self._waiting.popleft() for _ in range(count)]
        for running in taken:
            if running.future.cancelled():
                self._released(running)
        return [running for running in taken if not running.future.cancelled()]

    def _better_later(self) -> bool:
        """Return True while few new requests may wait some ms for others."""
        if not self._rows or len(self._waiting) >= max(1, len(self._rows) // 8):
            return False
        age_s = time.monotonic() - self._waiting[0].arrived
        return age_s * 1000 < self._model.options.gather_ms

    def _select_batch(self, arrived: list[RunningRequest]) -> list[RunningRequest]:
        """Return the longest prefix of a sorted list whose padded prompts fit one prefill."""
        limit = self._model.options.prefill_tokens
        count = 1
        while count < len(arrived):
            if (count + 1) * len(arrived[count].request.prompt) > limit:
                break
            count += 1
        return arrived[:count]

    def _prefill_batch(self, batch: list[RunningRequest]) -> None:
        """Run prompts into the rows behind the running ones.

        A failed forward is repeated for each version alone; only requests of a version that fails again fail.
        """
        try:
            logits = self._run_prefill(batch)
        except Exception as error:  # noqa: BLE001 - set on the requests it concerns
            groups = _group_by_slot(batch)
            if len(groups) == 1:
                for running in batch:
                    self._fail_row(running, _wrap_model_error(error))
                return
            for group in groups:
                self._prefill_batch(group)
            return
        start = len(self._rows)
        self._rows.extend(batch)
        self._remove_rows(self._extend_rows(range(start, len(self._rows)), logits))

    def _run_prefill(self, batch: list[RunningRequest]) -> torch.Tensor:
        start = len(self._rows)
        longest = max(len(running.request.prompt) for running in batch)
        self._pool.reserve_rows(start + len(batch), longest + 1)
        prompts = [running.request.prompt for running in batch]
        slots = [running.slot for running in batch]
        self.counters.prefills += 1
        self.counters.prompt_tokens += sum(map(len, prompts))
        return self._model.run_prefill(prompts, slots, self._pool, start)

    def _step_all(self) -> None:
        """Step all rows together; if that fails, one version at a time."""
        self._pool.reserve_rows(len(self._rows), max(row.length for row in self._rows) + 1)
        try:
            logits = self._run_step(self._rows)
        except Exception as error:  # noqa: BLE001 - set on the requests it concerns
            self._step_apart(error)
            return
        self._remove_rows(self._extend_rows(range(len(self._rows)), logits))

    def _step_apart(self, error: Exception) -> None:
        """Step each version's rows alone after a common step failed.

        A step stores keys and values at each row's length, which grows only after success, so a second try overwrites
        those of the first.
        """
        groups = _group_by_slot(self._rows)
        place = {id(row): at for at, row in enumerate(self._rows)}
        over: list[int] = []
        for group in groups:
            rows = [place[id(row)] for row in group]
            if len(groups) == 1:
                over += self._fail_rows(rows, _wrap_model_error(error))
                continue
            try:
                logits = self._run_step(group, rows)
            except Exception as own:  # noqa: BLE001 - set on the requests it concerns
                over += self._fail_rows(rows, _wrap_model_error(own))
            else:
                over += self._extend_rows(rows, logits)
        self._remove_rows(sorted(over))

    def _fail_rows(self, places: list[int], error: ServingError) -> list[int]:
        """Fail rows whose forward failed; return their positions for removal."""
        for at in places:
            self._pool.clear_row(at)
            self._fail_row(self._rows[at], error)
        return places

    def _run_step(
        self, rows: list[RunningRequest], places: list[int] | None = None
    ) -> torch.Tensor:
        self.counters.steps += 1
        return self._model.run_step(
            [row.tokens[-1] for row in rows],
            [row.length for row in rows],
            [row.slot for row in rows],
            self._pool,
            places,
        )

    def _extend_rows(self, places: Sequence[int], logits: torch.Tensor) -> list[int]:
        """Add the next token to rows; return the positions of finished rows, in order."""
        rows, stops = [self._rows[at] for at in places], self._model.facts.stops
        choice = choose_tokens(
            logits,
            [row.request.sampling for row in rows],
            [row.stream for row in rows],
            [(row.request.prompt, row.tokens) for row in rows],
        )
        for row, own in zip(rows, logits, strict=True):
            if row.request.top_logprobs:
                row.tops.append(rank_tokens(own, row.request.top_logprobs))
        self.counters.tokens += len(rows)
        over: list[int] = []
        for at, row, token, logprob in zip(
            places, rows, choice.tokens, choice.logprobs, strict=True
        ):
            if not math.isfinite(logprob):
                self._pool.clear_row(at)
            if self._extend_row(row, token, logprob, stops):
                over.append(at)
        return over

    def _extend_row(
        self, row: RunningRequest, token: int, logprob: float, stops: frozenset[int]
    ) -> bool:
        """Add a token to one row; return True once its future is settled."""
        if not math.isfinite(logprob):
            self._fail_row(row, _refuse_not_finite(row))
            return True
        try:
            reason = row.add_token(token, logprob, stops)
        except Exception as error:  # noqa: BLE001 - a callback's error ends its own request only
            self._fail_row(row, _wrap_model_error(error))
            return True
        if reason:
            self._finish_row(row, reason)
        return reason is not None

    def _finish_row(self, row: RunningRequest, reason: str) -> None:
        self.counters.requests += 1
        self._released(row)
        with contextlib.suppress(concurrent.futures.InvalidStateError):  # cancelled meanwhile
            row.future.set_result(row.make_answer(reason, self._model.facts.stops))

    def _fail_row(self, row: RunningRequest, error: ServingError) -> None:
        self.counters.failed += 1
        self._released(row)
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            row.future.set_exception(error)

    def _drop_cancelled(self) -> None:
        over = [at for at, row in enumerate(self._rows) if row.future.cancelled()]
        for at in over:
            self._released(self._rows[at])
        self._remove_rows(over)

    def _remove_rows(self, over: list[int]) -> None:
        """Fill the gaps of finished rows with the last rows."""
        for gap in reversed(over):
            last = len(self._rows) - 1
            if gap != last:
                moved = self._rows[gap] = self._rows[last]
                self._pool.move_row(last, gap, moved.length)
            self._rows.pop()

    def _fail_all(self, error: ServingError) -> None:
        """Fail all running requests and, once closed, all waiting ones; reset the pool."""
        with self._wake:
            waiting = list(self._waiting) if self._closed else []
            jobs = list(self._jobs) if self._closed else []
            if self._closed:
                self._waiting.clear()
                self._jobs.clear()
        for row in (*self._rows, *waiting):
            self._fail_row(row, error)
        for _, future in jobs:
            future.set_exception(error)
        self._rows = []
        self._pool = self._model.make_pool()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ServingError("the engine is closed", "an open engine", "Engine.shared(...)")


def _group_by_slot(rows: Sequence[RunningRequest]) -> list[list[RunningRequest]]:
    """Group rows by version; the base model is one group."""
    groups: dict[int, list[RunningRequest]] = {}
    for row in rows:
        groups.setdefault(id(row.slot), []).append(row)
    return list(groups.values())


def _wrap_model_error(error: Exception) -> ServingError:
    return ServingError(
        f"the model failed: {type(error).__name__}: {error}",
        "a forward without an error",
        "ask with fewer or shorter requests, or run burnish doctor",
    )


def _refuse_not_finite(row: RunningRequest) -> ServingError:
    who = f"adapter {row.slot.version}" if row.slot else "the base model"
    return ServingError(
        f"{who} gave logits that are not finite", "finite numbers", "roll the adapter back"
    )
