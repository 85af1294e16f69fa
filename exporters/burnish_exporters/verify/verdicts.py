"""Run one verifier on one trajectory and turn any answer, or a crash, into a verdict.

`judge()` is the entry. pool.py and worker.py decide in which process it runs.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Collection
from typing import Any, cast

import msgspec

from burnish.capture.recorder.values import (
    WrongValue,
    optional,
    read_flag,
    read_integer,
    read_number,
)
from burnish.origins import may_decide
from burnish.protocols import Verifier, traits_of
from burnish.records import Json, Trajectory, Verdict, VerdictLabel

ENDED = ("completed", "failed", "cancelled", "abandoned")
"""Statuses of runs that have come to an end."""
_EVIDENCE_BYTES = 8192


def judge(verifier: Verifier, trajectory: Trajectory) -> Verdict:
    """Return the verdict of one verifier; a crash inside gives "unknown" with the error as evidence."""
    try:
        answer = verifier.verify(trajectory)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # noqa: BLE001 - a user's code may raise anything, SystemExit too
        return unknown(verifier, "crash", f"{type(problem).__name__}: {_describe_problem(problem)}")
    if not isinstance(cast("object", answer), Verdict) or not _is_label(answer.label):
        return unknown(verifier, "no verdict", f"verify() returned {shown(answer)}")
    try:
        return msgspec.structs.replace(
            answer,
            label=_LABELS[answer.label],
            verifier=verifier.name,
            version=verifier.version,
            score=optional(_read_share, answer.score),
            cost_usd=optional(read_number, answer.cost_usd),
            evidence=plain(answer.evidence),
            origin="own",
            decided_ns=read_integer(answer.decided_ns or 0, least=0) or time.time_ns(),
        )
    except (WrongValue, TypeError, ValueError) as problem:
        return unknown(verifier, "no verdict", f"verify() returned {problem}")


_LABELS: dict[str, VerdictLabel] = {"success": "success", "fail": "fail", "unknown": "unknown"}


def _is_label(label: Any) -> bool:
    return isinstance(label, str) and label in _LABELS


def _read_share(value: Any) -> float:
    number = read_number(value, "a score from 0 to 1")
    if not 0 <= number <= 1:
        raise WrongValue(value, "a score from 0 to 1")
    return number


def _describe_problem(problem: BaseException) -> str:
    try:
        return str(problem)
    except Exception:  # noqa: BLE001 - the exception's own text raises
        return "the exception has no text"


def read_answer(answer: Any) -> bool:
    """Read the answer of a predicate, which must be a bool (numpy's bool included).

    Raises:
        WrongValue: If the answer is not a bool. A number may be a count, a text may be a reason, and a
            coroutine has not run.
    """
    if isinstance(answer, bool) or str(getattr(answer, "dtype", "")) == "bool":
        return read_flag(answer, "True or False")
    if inspect.iscoroutine(answer):
        answer.close()
    raise WrongValue(answer, "True or False")


def unknown(verifier: Verifier, reason: str, detail: str = "") -> Verdict:
    """Make the verdict "unknown" with a countable reason and its detail."""
    evidence: dict[str, Json] = {"reason": reason}
    if detail:
        evidence["detail"] = shown(detail)
    return Verdict(
        label="unknown",
        verifier=verifier.name,
        version=verifier.version,
        evidence=evidence,
        decided_ns=time.time_ns(),
    )


def plain(evidence: Any) -> Json:
    """Return the evidence as plain data of bounded size."""
    try:
        encoded = msgspec.json.encode(evidence)
        if len(encoded) <= _EVIDENCE_BYTES:
            return msgspec.json.decode(encoded)
    except (TypeError, ValueError, OverflowError, UnicodeError, RecursionError):
        pass
    return {"shown": shown(evidence)}


def shown(value: Any) -> str:
    """Return the text of a value, short and safe to write."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001 - repr() is the user's code too
        text = f"<{type(value).__name__} without repr>"
    return text[:500].encode("utf-8", "replace").decode()


def earlier(
    verifier: Verifier, trajectory: Trajectory, trusted: Collection[str] = ()
) -> Verdict | None:
    """Return the newest verdict of this verifier's version that the trajectory already has and that still holds.

    The verdict must come from this workspace's own verification. A received or imported verdict
    counts only where `trusted` names its verifier, and ranks after our own; a verdict from inside
    the run never counts. A verifier that reads outcomes judges again after a later outcome was
    reported.
    """
    same = [
        verdict
        for verdict in trajectory.verdicts
        if may_decide(verdict.origin, verdict.verifier, trusted)
        and (verdict.verifier, verdict.version) == (verifier.name, verifier.version)
    ]
    newest = max(same, key=lambda v: (v.origin == "own", v.decided_ns), default=None)
    if newest is None or not traits_of(verifier).reads_outcomes:
        return newest
    later = any(found.reported_ns > newest.decided_ns for found in trajectory.outcomes)
    return None if later else newest


def reusable(
    verifier: Verifier, trajectory: Trajectory, trusted: Collection[str] = ()
) -> Verdict | None:
    """Return an earlier verdict that can be reused: it still holds and is not unknown."""
    verdict = earlier(verifier, trajectory, trusted)
    return verdict if verdict is not None and verdict.label != "unknown" else None
