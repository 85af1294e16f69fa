"""Release an evaluated adapter: register it, load it beside those in service, and start its canary."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from burnish.adapters import Registry, Target
from burnish.adapters.store import AdapterStore
from burnish.canary import outcomes
from burnish.canary.document import RUNNING
from burnish.errors import BurnishError, CanaryError
from burnish.project import CanaryConfig
from burnish.protocols import traits_of
from burnish.records import Decision
from burnish_trainer.evaluation.agent_project import AgentProject


def current_adapter(subject: AgentProject) -> str | None:
    """Return the version of the agent's stable arm; None is the base model or the user's own model."""
    stable = subject.workspace.canary(subject.name).document().stable
    return stable.adapter if stable is not None else None


def refuse_while_running(subject: AgentProject) -> None:
    """Refuse to start while a rollout runs, before any work is done.

    Raises:
        CanaryError: A rollout of the agent has not ended.
    """
    document = subject.workspace.canary(subject.name).document()
    if document.state in RUNNING:
        raise CanaryError(
            f"a rollout of {document.adapter} is {document.state}",
            "none, or one that has ended",
            f"burnish canary status {subject.name}, or burnish retrain {subject.name} --no-canary",
        )


def canary_settings(subject: AgentProject) -> CanaryConfig:
    """Return the settings of the agent's canary; a verifier that decides needs no maturity window.

    Verdicts are given in the order of the runs, whatever they say, so those of no arm are late.
    """
    config = subject.config.canary
    by_verifier = any(
        outcomes.matches_verifier(config.decides, verifier.name)
        and not traits_of(verifier).reads_outcomes  # such a verdict is as late as its outcome
        for verifier in (*subject.verifiers, *subject.proof_verifiers)
    )
    if config.maturity_s is None and by_verifier:
        return msgspec.structs.replace(config, maturity_s=0.0)
    return config


def refuse_without_window(subject: AgentProject) -> None:
    """Refuse to start where a canary could not judge its threads, before any work is done.

    Raises:
        CanaryError: No maturity window is set, and none can be learnt.
    """
    canary = subject.workspace.canary(subject.name)
    canary.find_window(canary_settings(subject))


def register_adapter(
    subject: AgentProject,
    adapter: str,
    report: Path,
    decision: Decision,
    *,
    forced: bool = False,
    overridden: Sequence[str] = (),
) -> dict[str, Any]:
    """Register a version with its evaluation.

    A version that may serve stays as it is when a later evaluation does not promote it: it may be in service.

    Args:
        subject: The agent.
        adapter: The version.
        report: JSON file of its Evaluation.
        decision: Decision of the gate.
        forced: Let it serve even if the gate refused it.
        overridden: What readiness found to block, where the retrain was forced; kept in the lineage.
    """
    registry = Registry(subject.workspace.home)
    known = [one for one in registry.list(subject.name) if one.adapter == adapter and one.may_serve]
    sha256 = hashlib.sha256(report.read_bytes()).hexdigest()
    same = [
        one
        for one in registry.list(subject.name)
        if (one.adapter, one.decision, one.forced, one.evaluation_sha256)
        == (adapter, decision.decision, forced, sha256)
    ]  # a killed call registered it
    if known and decision.decision != "promote" and not forced:
        candidate = known[-1]
    elif same:
        candidate = same[-1]
    else:
        candidate = registry.register(subject.name, adapter, report, decision, forced=forced)
    if overridden and not same:
        facts: Any = {"adapter": adapter, "findings": list(overridden)}
        with registry.store.transaction() as connection:
            registry.store.record_action(connection, subject.name, "unready", facts)
    return {
        "adapter": candidate.adapter,
        "decision": candidate.decision,
        "forced": candidate.forced,
    }


def canary_warnings(subject: AgentProject) -> list[str]:
    """Return what audits found against the verifiers that decide the canary; empty without an audit."""
    from burnish_exporters.verify.trust.verifier_quality import QualityStore, below_floor

    config = subject.config
    known = {v.name: v for v in (*subject.proof_verifiers, *subject.verifiers)}
    deciding = [
        v for v in known.values() if outcomes.matches_verifier(config.canary.decides, v.name)
    ]
    store = QualityStore(subject.workspace.home)
    return below_floor(deciding, store, subject.name, floor=config.dataset.verifier_floor)


def load_version(subject: AgentProject, adapter: str) -> float:
    """Load a version beside those in service, and check that it answers; what answers threads stays the same.

    Returns:
        The milliseconds until it answered; 0 if the backend already served it.

    Raises:
        ServingError: The backend cannot prove that it serves the version. It is unloaded again.
    """
    from burnish.serving import open_backend

    config, store = subject.config, AdapterStore(subject.workspace.home)
    backend = open_backend(config.backend, base_model=config.base_model)
    if adapter in set(backend.list()):
        backend.probe(adapter)
        return 0.0
    started = time.perf_counter()
    try:
        backend.load(adapter, store.path(adapter))
        backend.probe(adapter)
    except BurnishError:
        with contextlib.suppress(BurnishError):
            backend.unload(adapter)
        raise
    return round(1e3 * (time.perf_counter() - started), 3)


def start_canary(subject: AgentProject, adapter: str) -> dict[str, Any]:
    """Route the first threads to a version, once its backend has proven that it serves it.

    The control document changes once, at the end: a version that cannot be served leaves it as it was.

    Args:
        subject: The agent.
        adapter: A registered version.

    Returns:
        The rollout's status, with `swap_ms`: the milliseconds from the start until it answers its first threads.
        Its `doubts` name the verifiers that may decide wrongly.

    Raises:
        ServingError: The backend cannot prove that it serves the version.
        CanaryError: Another rollout runs, or the canary has no maturity window.
    """
    config = subject.config
    rollout = subject.workspace.canary(subject.name)
    document = rollout.document()
    if document.adapter == adapter and document.state in ("CANARY", "PAUSED", "PROMOTED"):
        return {**rollout.status(), "swap_ms": 0.0}
    target = Target(backend=config.backend, base_model=config.base_model, adapter=adapter)
    against = canary_warnings(subject)
    started = time.perf_counter()
    load_version(subject, adapter)
    status = rollout.start(target, canary_settings(subject), doubts=against, proven=True)
    milliseconds = 1e3 * (time.perf_counter() - started)
    return {**status, "swap_ms": round(milliseconds, 3)}
