"""The one thread that owns the model: admits requests between steps and batches all that run.

Knows: when to prefill, when to step, how rows come and go.
Does not know: names of versions (a request arrives with its slot), text, HTTP.

Rows of any slot and any sampling settings share a forward. A new request joins between two steps; a
finished one leaves at once. A request that fails alone fails alone.
"""

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
from burnish.serving.embedded.requests import Running
from burnish.serving.embedded.sampling import choose, tops

Job = tuple[Callable[[CausalModel], Any], "concurrent.futures.Future[Any]"]


@dataclasses.dataclass
class Counters:
    """What the worker has done so far."""

    requests: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    prefills: int = 0
    steps: int = 0
    failed: int = 0


class Worker(threading.Thread):
    """Runs requests until it is closed; started by its engine."""

    def __init__(self, model: CausalModel, released: Callable[[Running], None]) -> None:
        super().__init__(name="burnish-engine", daemon=True)
        self.counters = Counters()
        self._model = model
        self._released = released
        self._wake = threading.Condition()
        self._waiting: deque[Running] = deque()
        self._jobs: deque[Job] = deque()
        self._closed = False
        self._rows: list[Running] = []
        self._pool = model.pool()

    def submit(self, running: Running) -> None:
        """Queue a request."""
        with self._wake:
            self._refuse_if_closed()
            self._waiting.append(running)
            self._wake.notify()

    def call(self, job: Callable[[CausalModel], Any]) -> concurrent.futures.Future[Any]:
        """Run a job over the model between two steps."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._wake:
            self._refuse_if_closed()
            self._jobs.append((job, future))
            self._wake.notify()
        return future

    def close(self) -> None:
        """Stop after the current step; what was not answered fails."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if threading.current_thread() is not self:
            self.join(timeout=30)

    def run(self) -> None:
        """The loop; called by start()."""
        threads = self._model.threads()
        if threads:
            torch.set_num_threads(threads)
        turns.begin()
        with torch.inference_mode():
            while self._turn():
                pass
        turns.end()
        self._fail_all(ServingError("the engine was closed", "a running engine", "ask again"))

    def _turn(self) -> bool:
        """One round: jobs, admission, one step; false once closed."""
        with self._wake:
            if not self._busy():
                turns.end()
                self._wake.wait_for(self._busy)
                turns.begin()
            if self._closed:
                return False
        try:
            self._do_jobs()
            self._admit()
            self._drop_cancelled()
            if self._rows:
                self._step()
        except Exception as error:  # noqa: BLE001 - a failed forward must not end the worker
            self._fail_all(_broken(error))
        return True

    def _busy(self) -> bool:
        return bool(self._closed or self._rows or self._waiting or self._jobs)

    def _do_jobs(self) -> None:
        """Run what call() was given; whoever swaps waits for one forward at most."""
        with self._wake:
            jobs, self._jobs = self._jobs, deque()
        for job, future in jobs:
            try:
                result = job(self._model)
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                future.set_exception(error)
            else:
                future.set_result(result)

    def _admit(self) -> None:
        """Prefill waiting requests, as many as fit, those of like length together."""
        arrived = self._take()
        arrived.sort(key=lambda running: len(running.request.prompt))
        try:
            while arrived:
                batch = self._fitting(arrived)
                del arrived[: len(batch)]
                self._prefill(batch)
                self._do_jobs()
        finally:  # after a failed forward the others are tried again
            with self._wake:
                self._waiting.extendleft(reversed(arrived))

    def _take(self) -> list[Running]:
        """Waiting requests for the free rows; waits a little if more are likely to come."""
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
        """While others run, a single newcomer may wait some ms for company."""
        if not self._rows or len(self._waiting) >= max(1, len(self._rows) // 8):
            return False
        age_s = time.monotonic() - self._waiting[0].arrived
        return age_s * 1000 < self._model.options.gather_ms

    def _fitting(self, arrived: list[Running]) -> list[Running]:
        """The longest start of a sorted list whose padded prompts fit one prefill."""
        limit = self._model.options.prefill_tokens
        count = 1
        while count < len(arrived):
            if (count + 1) * len(arrived[count].request.prompt) > limit:
                break
            count += 1
        return arrived[:count]

    def _prefill(self, batch: list[Running]) -> None:
        """Run prompts into the rows behind the running ones.

        A forward that fails is tried again for each version alone: only the requests of a version that fails again
        fail.
        """
        try:
            logits = self._prefilled(batch)
        except Exception as error:  # noqa: BLE001 - told to the requests that it concerns
            groups = _by_slot(batch)
            if len(groups) == 1:
                for running in batch:
                    self._fail(running, _broken(error))
                return
            for group in groups:
                self._prefill(group)
            return
        start = len(self._rows)
        self._rows.extend(batch)
        self._remove(self._extend(range(start, len(self._rows)), logits))

    def _prefilled(self, batch: list[Running]) -> torch.Tensor:
        start = len(self._rows)
        longest = max(len(running.request.prompt) for running in batch)
        self._pool.reserve(start + len(batch), longest + 1)
        prompts = [running.request.prompt for running in batch]
        slots = [running.slot for running in batch]
        self.counters.prefills += 1
        self.counters.prompt_tokens += sum(map(len, prompts))
        return self._model.prefill(prompts, slots, self._pool, start)

    def _step(self) -> None:
        """Run one token of all rows; if that fails, one version at a time."""
        self._pool.reserve(len(self._rows), max(row.length for row in self._rows) + 1)
        try:
            logits = self._stepped(self._rows)
        except Exception as error:  # noqa: BLE001 - told to the requests that it concerns
            self._step_apart(error)
            return
        self._remove(self._extend(range(len(self._rows)), logits))

    def _step_apart(self, error: Exception) -> None:
        """Step each version's rows alone after a step of all failed.

        A step stores its keys and values at each row's own length, which only grows once the step has succeeded, so
        that a second try overwrites what the first one left.
        """
        groups = _by_slot(self._rows)
        place = {id(row): at for at, row in enumerate(self._rows)}
        over: list[int] = []
        for group in groups:
            rows = [place[id(row)] for row in group]
            if len(groups) == 1:
                over += self._drop(rows, _broken(error))
                continue
            try:
                logits = self._stepped(group, rows)
            except Exception as own:  # noqa: BLE001 - told to the requests that it concerns
                over += self._drop(rows, _broken(own))
            else:
                over += self._extend(rows, logits)
        self._remove(sorted(over))

    def _drop(self, places: list[int], error: ServingError) -> list[int]:
        """Fail rows whose forward failed; returns their places, which are still to be removed."""
        for at in places:
            self._pool.clear(at)
            self._fail(self._rows[at], error)
        return places

    def _stepped(self, rows: list[Running], places: list[int] | None = None) -> torch.Tensor:
        self.counters.steps += 1
        return self._model.step(
            [row.tokens[-1] for row in rows],
            [row.length for row in rows],
            [row.slot for row in rows],
            self._pool,
            places,
        )

    def _extend(self, places: Sequence[int], logits: torch.Tensor) -> list[int]:
        """Give rows their next token; returns the places of those that are over, in order."""
        rows, stops = [self._rows[at] for at in places], self._model.facts.stops
        choice = choose(
            logits,
            [row.request.sampling for row in rows],
            [row.stream for row in rows],
            [(row.request.prompt, row.tokens) for row in rows],
        )
        for row, own in zip(rows, logits, strict=True):
            if row.request.top_logprobs:
                row.tops.append(tops(own, row.request.top_logprobs))
        self.counters.tokens += len(rows)
        over: list[int] = []
        for at, row, token, logprob in zip(
            places, rows, choice.tokens, choice.logprobs, strict=True
        ):
            if not math.isfinite(logprob):
                self._pool.clear(at)
            if self._over(row, token, logprob, stops):
                over.append(at)
        return over

    def _over(self, row: Running, token: int, logprob: float, stops: frozenset[int]) -> bool:
        """Give one row its token; true once its future is settled."""
        if not math.isfinite(logprob):
            self._fail(row, _not_finite(row))
            return True
        try:
            reason = row.add(token, logprob, stops)
        except Exception as error:  # noqa: BLE001 - a listener's fault ends its own request only
            self._fail(row, _broken(error))
            return True
        if reason:
            self._finish(row, reason)
        return reason is not None

    def _finish(self, row: Running, reason: str) -> None:
        self.counters.requests += 1
        self._released(row)
        with contextlib.suppress(concurrent.futures.InvalidStateError):  # cancelled meanwhile
            row.future.set_result(row.answer(reason, self._model.facts.stops))

    def _fail(self, row: Running, error: ServingError) -> None:
        self.counters.failed += 1
        self._released(row)
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            row.future.set_exception(error)

    def _drop_cancelled(self) -> None:
        over = [at for at, row in enumerate(self._rows) if row.future.cancelled()]
        for at in over:
            self._released(self._rows[at])
        self._remove(over)

    def _remove(self, over: list[int]) -> None:
        """Close the gaps that finished rows left, from the last row downwards."""
        for gap in reversed(over):
            last = len(self._rows) - 1
            if gap != last:
                moved = self._rows[gap] = self._rows[last]
                self._pool.move(last, gap, moved.length)
            self._rows.pop()

    def _fail_all(self, error: ServingError) -> None:
        """Fail what runs and, once closed, what waits; the pool starts anew."""
        with self._wake:
            waiting = list(self._waiting) if self._closed else []
            jobs = list(self._jobs) if self._closed else []
            if self._closed:
                self._waiting.clear()
                self._jobs.clear()
        for row in (*self._rows, *waiting):
            self._fail(row, error)
        for _, future in jobs:
            future.set_exception(error)
        self._rows = []
        self._pool = self._model.pool()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ServingError("the engine is closed", "an open engine", "Engine.shared(...)")


def _by_slot(rows: Sequence[Running]) -> list[list[Running]]:
    """Rows of each version together, those of the base model among them."""
    groups: dict[int, list[Running]] = {}
    for row in rows:
        groups.setdefault(id(row.slot), []).append(row)
    return list(groups.values())


def _broken(error: Exception) -> ServingError:
    return ServingError(
        f"the model failed: {type(error).__name__}: {error}",
        "a forward without an error",
        "ask with fewer or shorter requests, or run burnish doctor",
    )


def _not_finite(row: Running) -> ServingError:
    who = f"adapter {row.slot.version}" if row.slot else "the base model"
    return ServingError(
        f"{who} gave logits that are not finite", "finite numbers", "roll the adapter back"
    )
