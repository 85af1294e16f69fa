"""Serve one base model and many adapter versions in this process.

    engine = Engine.shared("starter")
    engine.load("support@0a1b2c3d4e5f", folder)
    answer = engine.generate(Request(prompt=ids, adapter="support@0a1b2c3d4e5f"))

A version is immutable: its name never refers to other weights, and a request keeps the slot that it
was admitted with. `session` adds text and chat templates.
"""

from __future__ import annotations

import asyncio
import atexit
import builtins
import concurrent.futures
import dataclasses
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from burnish.errors import ServingError, UnknownAdapter
from burnish.files import platform
from burnish.serving.contract.base_models import resolve_model
from burnish.serving.contract.model_contract import ModelContract
from burnish.serving.embedded.loader import read_adapter
from burnish.serving.embedded.model import CausalModel, EngineOptions, ModelFacts
from burnish.serving.embedded.requests import (
    AnswerFuture,
    EngineAnswer,
    EngineRequest,
    RunningRequest,
)
from burnish.serving.embedded.slots import Slot
from burnish.serving.embedded.worker import Worker
from burnish.serving.versions import (
    checked_manifest,
    content_sha256,
    find_version,
    signature_of,
    version_of,
)

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}@[0-9a-f]{12}")


class Engine:
    """Serves a base model and its adapters from one worker thread.

    Args:
        base_model: A folder or a name, see `burnish.serving.contract.base_models.resolve_model`.
        options: Options of the engine.
    """

    _shared: ClassVar[dict[Path, Engine]] = {}
    _names: ClassVar[dict[str, Engine]] = {}
    _shared_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, base_model: str | Path, options: EngineOptions | None = None) -> None:
        self._model = CausalModel(resolve_model(base_model), options or EngineOptions())
        self._slots: dict[str, Slot] = {}
        self._leaving: dict[str, Slot] = {}
        self._given: dict[str, str] = {}  # content hash of each version ever loaded
        self._state = threading.Condition()
        self._loading = threading.Lock()
        self._worker = Worker(self._model, self._release_slot)
        self._worker.start()

    @classmethod
    def shared(cls, base_model: str | Path) -> Engine:
        """Return the shared engine of a base model; the first call creates it."""
        known = cls._names.get(str(base_model))
        if known is not None:
            return known
        with cls._shared_lock:
            folder = resolve_model(base_model)
            if folder not in cls._shared:
                cls._shared[folder] = cls(folder)
            cls._names[str(base_model)] = cls._shared[folder]
            return cls._shared[folder]

    @classmethod
    def find_shared(cls, base_model: str | Path) -> Engine | None:
        """Return the shared engine of a base model if it exists."""
        return cls._names.get(str(base_model))

    @classmethod
    def close_shared(cls) -> None:
        """Close all shared engines; the next shared() creates new ones."""
        with cls._shared_lock:
            engines = list(cls._shared.values())
            cls._forget_shared()
        for engine in engines:
            engine.close()

    @classmethod
    def _forget_shared(cls) -> None:
        cls._shared.clear()
        cls._names.clear()

    @classmethod
    def after_fork(cls) -> None:
        """Start a forked child without engines and with a free lock, since it has no worker threads."""
        cls._shared_lock = threading.Lock()
        cls._forget_shared()

    @property
    def facts(self) -> ModelFacts:
        """Folder, hash, vocabulary and limits of the base model."""
        return self._model.facts

    @property
    def contract(self) -> ModelContract:
        """The declared facts of the base model's folder."""
        return self._model.contract

    @property
    def one_by_one(self) -> str | None:
        """Return why requests run one by one over their own caches; None if they share a batch."""
        return self._model.one_by_one

    @property
    def counters(self) -> dict[str, int]:
        """Counts of the worker: requests, tokens, prefills, steps, failures."""
        return dataclasses.asdict(self._worker.counters)

    def load(self, version: str, path: str | Path) -> None:
        """Load a version; loading the same weights twice is harmless.

        Raises:
            BaseModelMismatch: If the adapter belongs to another base model.
            ServingError: If it is damaged, was changed, cannot be served exactly, or its name
                belongs to other content.
        """
        folder = Path(path).expanduser().resolve()
        if not version:
            raise ServingError("an adapter without a name", "name@sha12", "publish it first")
        with self._loading:
            before = signature_of(folder)
            _check_name(version, folder)
            digest = content_sha256(folder)
            known = self._given.get(version)
            if known is not None and known != digest:
                raise ServingError(
                    f"version {version} was loaded here with other weights than those in {folder}",
                    "the weights that the name was loaded with",
                    "publish the adapter under a new version",
                )
            with self._state:
                held = self._slots.get(version)
            if held is not None:
                return
            slot = read_adapter(version, folder, self._model)
            if signature_of(folder) != before:
                raise ServingError(
                    f"{folder} changed while it was read",
                    "files that do not change",
                    "load it again",
                )
            self._given[version] = digest
            with self._state:
                self._slots[version] = slot

    def ensure_loaded(self, adapter: str) -> str:
        """Load an adapter unless it is loaded, given as a version or a folder; return its version.

        A version is searched among the loaded ones, then under `<home>/adapters`.

        Raises:
            UnknownAdapter: If it does not exist.
        """
        if adapter in self._slots:
            return adapter
        folder = find_version(adapter)
        if folder is None:
            raise self._refuse_unknown(adapter)
        version = version_of(folder)
        if _VERSION.fullmatch(adapter) and version != adapter:
            raise _refuse_other_content(adapter, folder, version)
        if version not in self._slots:
            self.load(version, folder)
        return version

    def __contains__(self, version: str) -> bool:
        return version in self._slots

    def list(self) -> builtins.list[str]:
        """List the loaded versions."""
        with self._state:
            return sorted(self._slots)

    def list_slots(self) -> builtins.list[Slot]:
        """List the loaded slots, by version."""
        with self._state:
            return [slot for _, slot in sorted(self._slots.items())]

    def count_users(self, version: str) -> int:
        """Count running and waiting requests of a version, including one that is being unloaded."""
        with self._state:
            slot = self._slots.get(version) or self._leaving.get(version)
            return slot.users if slot else 0

    def find_slot(self, version: str) -> Slot:
        """Return the loaded slot of a version.

        Raises:
            UnknownAdapter: If it is not loaded.
        """
        with self._state:
            if version not in self._slots:
                raise self._refuse_unknown(version)
            return self._slots[version]

    def unload(self, version: str, timeout_s: float | None = 60.0) -> float:
        """Refuse new requests of a version and wait until its running ones have ended.

        Returns:
            Seconds until the last request ended.

        Raises:
            UnknownAdapter: If it is not loaded.
            ServingError: If requests still run after `timeout_s`; they continue.
        """
        started = time.monotonic()
        with self._state:
            slot = self._slots.pop(version, None)
            if slot is None:
                raise self._refuse_unknown(version)
            self._leaving[version] = slot
            drained = self._state.wait_for(lambda: slot.users == 0, timeout_s)
            if self._leaving.get(version) is slot:
                del self._leaving[version]
        if not drained:
            raise ServingError(
                f"{slot.users} requests still run on {version} after {timeout_s} s",
                "no running requests",
                "wait for them; new requests are already refused",
            )
        return time.monotonic() - started

    def submit_request(self, request: EngineRequest) -> AnswerFuture:
        """Queue a request; it keeps the current slot of its version.

        Cancelling the future ends the generation at its next token.

        Raises:
            UnknownAdapter: If the version is not loaded; no other version answers instead.
            ServingError: If the prompt cannot be run.
        """
        limit = self._compute_limit(request)
        stream = request.sampling.make_stream(request.prompt)
        future: AnswerFuture = concurrent.futures.Future()
        with self._state:
            slot = None
            if request.adapter is not None:
                slot = self._slots.get(request.adapter)
                if slot is None:
                    raise self._refuse_unknown(request.adapter)
                slot.users += 1
        running = RunningRequest(request, slot, future, stream, time.monotonic(), limit)
        try:
            self._worker.queue_request(running)
        except ServingError:
            self._release_slot(running)
            raise
        return future

    def generate(self, request: EngineRequest) -> EngineAnswer:
        """Answer a request; blocks the calling thread."""
        return self.submit_request(request).result()

    async def agenerate(self, request: EngineRequest) -> EngineAnswer:
        """Answer a request without blocking the event loop."""
        return await asyncio.wrap_future(self.submit_request(request))

    def score_tokens(
        self, token_ids: builtins.list[int], start: int = 1, adapter: str | None = None
    ) -> builtins.list[float]:
        """Return the log-probabilities of `token_ids[start:]`, each given the tokens before it."""
        slot = self.find_slot(adapter) if adapter is not None else None
        start = max(start, 1)

        def job(model: CausalModel) -> builtins.list[float]:
            rows = model.score_all_tokens([token_ids], slot)[0]
            return [float(rows[at - 1, token_ids[at]]) for at in range(start, len(token_ids))]

        self._check_ids(token_ids)
        return self._worker.run_between_steps(job).result()

    def rank_next_tokens(
        self, token_ids: builtins.list[int], adapter: str | None = None, count: int = 20
    ) -> builtins.list[tuple[int, float]]:
        """Return the likeliest next tokens after `token_ids`, with their log-probabilities."""
        return self.rank_next_of_each([token_ids], adapter, count)[0]

    def rank_next_of_each(
        self, prompts: Sequence[Sequence[int]], adapter: str | None = None, count: int = 20
    ) -> builtins.list[builtins.list[tuple[int, float]]]:
        """Return the likeliest next tokens after each prompt, in one forward."""
        slot = self.find_slot(adapter) if adapter is not None else None
        for prompt in prompts:
            self._check_ids(prompt)

        def job(model: CausalModel) -> builtins.list[builtins.list[tuple[int, float]]]:
            best = model.score_next_tokens(prompts, slot).topk(min(count, model.facts.vocabulary))
            pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            return [list(zip(ids, values, strict=True)) for ids, values in pairs]

        return self._worker.run_between_steps(job).result()

    def close(self) -> None:
        """Stop the worker; unanswered requests fail."""
        self._worker.close()

    def _release_slot(self, running: RunningRequest) -> None:
        if running.slot is None:
            return
        with self._state:
            running.slot.users -= 1
            if running.slot.users == 0:
                self._state.notify_all()

    def _compute_limit(self, request: EngineRequest) -> int:
        self._check_ids(request.prompt)
        room = self.facts.context - len(request.prompt)
        if room < 1 or request.max_tokens < 1:
            raise ServingError(
                f"a prompt of {len(request.prompt)} tokens and max_tokens={request.max_tokens}",
                f"room for an answer within {self.facts.context} tokens",
                "shorten the conversation",
            )
        return min(room, request.max_tokens)

    def _check_ids(self, ids: Any) -> None:
        if not ids or min(ids) < 0 or max(ids) >= self.facts.vocabulary:
            raise ServingError(
                "an empty prompt, or unknown token ids in it",
                f"token ids from 0 to {self.facts.vocabulary - 1}",
                "render it with the tokenizer of this base model",
            )

    def _refuse_unknown(self, adapter: str) -> UnknownAdapter:
        return UnknownAdapter(
            f"adapter {adapter!r} is not loaded and not in the workspace",
            f"one of {', '.join(sorted(self._slots)) or 'no loaded versions'}, or a folder",
            "burnish doctor",
        )


def _check_name(version: str, folder: Path) -> None:
    """Refuse a version's name for a folder whose manifest names another version."""
    manifest = checked_manifest(folder)
    named = manifest.id if manifest is not None else ""
    if named not in ("", version) and _VERSION.fullmatch(version):
        raise _refuse_other_content(version, folder, named)


def _refuse_other_content(version: str, folder: Path, found: str) -> ServingError:
    return ServingError(
        f"{folder} is requested as {version} and holds {found}",
        "the name of its content",
        "publish the adapter again, or restore the folder from a backup",
    )


atexit.register(Engine.close_shared)
platform.after_fork_in_child(Engine.after_fork)
