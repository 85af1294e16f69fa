"""Call webhooks and functions at the transitions of rounds and canaries.

`TransitionHooks` is the entry. A thread calls the hooks in the order of the transitions; each call has a time limit and is
repeated a few times. A hook never fails or delays a round: what it does not take is counted and shown by `burnish rounds`.

    {"event": "decided", "agent": "support", "at": "2026-11-29T02:10:00+00:00", "round": "retrain-support-0003", ...}
"""

from __future__ import annotations

import datetime as dt
import json
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from burnish.errors import SettingsError
from burnish.files.storage import make_private_folder
from burnish.imports.import_path import resolve_object
from burnish_trainer import console
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.rounds.stages import read_receipt
from burnish_trainer.run.storage import write_json

_PAUSE_S = 0.2
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_SENT_STATES = {
    "CANARY": "canary_step",
    "PAUSED": "canary_paused",
    "PROMOTED": "canary_promoted",
    "ROLLED_BACK": "canary_rolled_back",
}

Call = Callable[[dict[str, Any]], object]


class TransitionHooks:
    """The hooks of one agent; use it as a context, which waits for the last calls.

    Args:
        subject: The agent.

    Raises:
        SettingsError: A hook is neither a URL nor "module:function".
        ImportPathError: A function cannot be imported.
    """

    def __init__(self, subject: AgentProject) -> None:
        self._subject, self._config = subject, subject.config.loop
        self._calls = {name: self._make_call(name) for name in self._config.on_transition}
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._broken: set[str] = set()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._calls:
            self._thread = threading.Thread(target=self._work, name="burnish-hooks", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(self._config.hook_timeout_s * self._config.hook_tries + 1)

    def send(self, event: str, facts: dict[str, Any]) -> None:
        """Hand a transition to the hooks, without waiting.

        Args:
            event: Name of the transition.
            facts: Plain data about it.
        """
        if self._thread is not None:
            moment = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
            told = {"event": event, "agent": self._subject.name, "at": moment, **facts}
            self._queue.put(told)

    def send_canary_moves(self) -> None:
        """Send the moves of the rollout that were not sent before, by this process or another."""
        if not self._calls:
            return
        document = self._subject.workspace.canary(self._subject.name).document()
        path = self._folder / "canary.json"
        known = read_receipt(path)
        count = known.get("sent") if known.get("rollout") == document.rollout else 0
        sent = count if isinstance(count, int) else 0
        for number, move in enumerate(document.events[sent:], sent):
            event = _SENT_STATES.get(move.state)
            if event is not None:
                first = not any(one.state == "CANARY" for one in document.events[:number])
                self.send(
                    "canary_started" if event == "canary_step" and first else event,
                    {"adapter": document.adapter, "share": move.share, "reason": move.reason},
                )
        if len(document.events) != sent:
            self._write(path, {"rollout": document.rollout, "sent": len(document.events)})

    @property
    def _folder(self) -> Path:
        return self._subject.workspace.home / "runs" / f".hooks-{self._subject.name}"

    def _write(self, path: Path, facts: dict[str, Any]) -> None:
        make_private_folder(path.parent)
        write_json(path, facts)

    def _work(self) -> None:
        while (facts := self._queue.get()) is not None:
            for name, call in self._calls.items():
                self._count(name, self._try_call(name, call, facts))

    def _try_call(self, name: str, call: Call, facts: dict[str, Any]) -> str | None:
        """Call a hook, several times if it fails; return its last error."""
        tries = 1 if name in self._broken else self._config.hook_tries
        error = None
        for number in range(tries):
            error = _call_with_limit(call, facts, self._config.hook_timeout_s)
            if error is None:
                self._broken.discard(name)
                return None
            if number + 1 < tries:
                time.sleep(_PAUSE_S * 2**number)
        self._broken.add(name)
        return error

    def _count(self, name: str, error: str | None) -> None:
        """Add the result of a call to the counts on disk."""
        path = self._folder / "counts.json"
        counts = read_receipt(path)
        own = counts.setdefault(name, {"sent": 0, "failed": 0})
        own["failed" if error else "sent"] += 1
        if error:
            own["last_error"] = error
            console.say("  [yellow]the hook {} failed[/]: {}", name, error)
        try:
            self._write(path, counts)
        except OSError as problem:  # a full disk ends the round elsewhere, with a clear error
            console.say("  [yellow]counts of hooks are not written[/]: {}", problem)

    def _make_call(self, name: str) -> Call:
        url = urlsplit(name)
        if url.scheme in ("http", "https") and url.hostname:
            return self._make_webhook(name)
        if "://" in name or ":" not in name:
            raise SettingsError(
                f"on_transition names {name!r}",
                'a URL that begins with http:// or https://, or "module:function"',
                f"edit [agent.{self._subject.name}.loop] of {self._subject.project.path}",
            )
        found = resolve_object(name, self._subject.project.folder)
        if not callable(found):
            raise SettingsError(
                f"on_transition names {name!r}, a {type(found).__name__}",
                "a function of one argument",
                f"edit [agent.{self._subject.name}.loop] of {self._subject.project.path}",
            )
        return found

    def _make_webhook(self, url: str) -> Call:
        headers = webhook_headers(url, os.environ.get(self._config.hook_token_env))

        def post(facts: dict[str, Any]) -> None:
            import httpx

            body = json.dumps(facts, default=str)
            timeout = self._config.hook_timeout_s
            httpx.post(url, content=body, headers=headers, timeout=timeout).raise_for_status()

        return post


def webhook_headers(url: str, token: str | None) -> dict[str, str]:
    """Return the headers of a webhook's request; a token does not leave this machine unencrypted.

    Args:
        url: The webhook.
        token: The bearer token, if there is one.
    """
    headers, parts = {"content-type": "application/json"}, urlsplit(url)
    if token and (parts.scheme == "https" or parts.hostname in _LOOPBACK):
        headers["authorization"] = f"Bearer {token}"
    return headers


def _call_with_limit(call: Call, facts: dict[str, Any], limit_s: float) -> str | None:
    """Call a hook in a thread of its own; return its error, or that it did not end in time."""
    errors: list[str] = []

    def run() -> None:
        try:
            call(dict(facts))
        except BaseException as problem:  # noqa: BLE001 - the user's function may raise anything
            errors.append(f"{type(problem).__name__}: {problem}")

    thread = threading.Thread(target=run, name="burnish-hook", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        return f"it did not end within {limit_s:g} s"
    return errors[0] if errors else None


def read_hook_counts(home: Path, agent: str) -> dict[str, dict[str, Any]]:
    """Return how often each hook took a transition and how often it failed.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
    """
    return read_receipt(home / "runs" / f".hooks-{agent}" / "counts.json")


__all__ = ["TransitionHooks", "read_hook_counts", "webhook_headers"]
