"""One verifier, one trajectory, one verdict, whatever happens.

Knows: how an answer or a crash of a verifier becomes a verdict. Does not know: in which process it runs.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from burnish.protocols import Verifier, traits_of
from burnish.records import Json, Trajectory, Verdict

_EVIDENCE_BYTES = 8192


def judge(verifier: Verifier, trajectory: Trajectory) -> Verdict:
    """The verdict of one verifier; a crash inside is "unknown" with the error as evidence."""
    try:
        answer = verifier.verify(trajectory)
    except Exception as problem:  # noqa: BLE001 - a user's code may raise anything
        return unknown(verifier, "crash", f"{type(problem).__name__}: {problem}")
    if not isinstance(answer, Verdict) or answer.label not in ("success", "fail", "unknown"):
        return unknown(verifier, "no verdict", f"verify() returned {shown(answer)}")
    return msgspec.structs.replace(
        answer,
        verifier=verifier.name,
        version=verifier.version,
        evidence=plain(answer.evidence),
        origin="own",
        decided_ns=answer.decided_ns or time.time_ns(),
    )


def unknown(verifier: Verifier, reason: str, detail: str = "") -> Verdict:
    """The verdict "unknown" with a reason that can be counted, and its detail."""
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
    """Evidence as plain data of bounded size."""
    try:
        encoded = msgspec.json.encode(evidence)
        if len(encoded) <= _EVIDENCE_BYTES:
            return msgspec.json.decode(encoded)
    except (TypeError, ValueError, OverflowError, UnicodeError, RecursionError):
        pass
    return {"shown": shown(evidence)}


def shown(value: Any) -> str:
    """Text of a value, made short and safe to write."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001 - repr() is the user's code too
        text = f"<{type(value).__name__} without repr>"
    return text[:500].encode("utf-8", "replace").decode()


def earlier(verifier: Verifier, trajectory: Trajectory) -> Verdict | None:
    """The newest verdict that this workspace's verification has given already, if it still holds.

    It must be of the same version of the verifier. A verdict that was received, imported or reported from inside the
    run is no verdict of ours, whatever name it bears. A verifier that reads outcomes judges anew once a later outcome
    was reported.
    """
    same = [
        verdict
        for verdict in trajectory.verdicts
        if verdict.origin == "own"
        and (verdict.verifier, verdict.version) == (verifier.name, verifier.version)
    ]
    newest = max(same, key=lambda verdict: verdict.decided_ns, default=None)
    if newest is None or not traits_of(verifier).reads_outcomes:
        return newest
    later = any(found.reported_ns > newest.decided_ns for found in trajectory.outcomes)
    return None if later else newest


def reusable(verifier: Verifier, trajectory: Trajectory) -> Verdict | None:
    """An earlier verdict that can be believed again: it still holds and was not unknown."""
    verdict = earlier(verifier, trajectory)
    return verdict if verdict is not None and verdict.label != "unknown" else None
