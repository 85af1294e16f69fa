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
from burnish.adapters.pointer import OWN
from burnish.adapters.store import AdapterStore
from burnish.canary import outcomes
from burnish.canary.document import RUNNING, RolloutDocument, name_target
from burnish.errors import BurnishError, CanaryError
from burnish.project import CanaryConfig
from burnish.protocols import traits_of
from burnish.records import Decision
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion


def current_adapter(subject: AgentProject) -> str | None:
    """Return the version of the agent's stable arm; None is the base model or the user's own model."""
    return current_version(subject).adapter


def current_version(subject: AgentProject) -> ArmVersion:
    """Return adapter and prompt of the agent's stable arm."""
    stable = subject.workspace.canary(subject.name).document().stable
    return ArmVersion(stable.adapter, stable.prompt) if stable is not None else ArmVersion()


def choose_version(
    subject: AgentProject, adapter: str | None = None, prompt: str | None = None
) -> ArmVersion:
    """Return the version that a command names; what it does not name is that in service.

    A command that names an adapter alone means it with the agent's own prompts.

    Args:
        subject: The agent.
        adapter: The adapter version that was named.
        prompt: The prompt version that was named.
    """
    if adapter is not None:
        return ArmVersion(adapter, prompt)
    current = current_version(subject)
    return ArmVersion(current.adapter, prompt or current.prompt)


def refuse_while_running(subject: AgentProject) -> None:
    """Refuse to start while a rollout runs, before any work is done.

    Raises:
        CanaryError: A rollout of the agent has not ended.
    """
    document = subject.workspace.canary(subject.name).document()
    if document.state in RUNNING:
        raise CanaryError(
            f"a rollout of {name_target(document.candidate)} is {document.state}",
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
    adapter: str | None,
    report: Path,
    decision: Decision,
    *,
    prompt: str | None = None,
    forced: bool = False,
    overridden: Sequence[str] = (),
) -> dict[str, Any]:
    """Register a version with its evaluation.

    A version that may serve stays as it is when a later evaluation does not promote it: it may be in service.

    Args:
        subject: The agent.
        adapter: The version; None is the base model, with a prompt version.
        report: JSON file of its Evaluation.
        decision: Decision of the gate.
        prompt: The prompt version that it was evaluated with; None is the agent's own prompts.
        forced: Let it serve even if the gate refused it.
        overridden: What readiness found to block, where the retrain was forced; kept in the lineage.
    """
    registry = Registry(subject.workspace.home)
    version = (adapter, prompt)
    listed = [one for one in registry.list(subject.name) if (one.adapter, one.prompt) == version]
    known = [one for one in listed if one.may_serve]
    sha256 = hashlib.sha256(report.read_bytes()).hexdigest()
    same = [
        one
        for one in listed
        if (one.decision, one.forced, one.evaluation_sha256) == (decision.decision, forced, sha256)
    ]  # a killed call registered it
    if known and decision.decision != "promote" and not forced:
        candidate = known[-1]
    elif same:
        candidate = same[-1]
    else:
        candidate = registry.register(
            subject.name, adapter, report, decision, prompt=prompt, forced=forced
        )
    if overridden and not same:
        facts: Any = {"adapter": adapter, "findings": list(overridden)}
        with registry.store.transaction() as connection:
            registry.store.record_action(connection, subject.name, "unready", facts)
    return {
        "adapter": candidate.adapter,
        "decision": candidate.decision,
        "forced": candidate.forced,
        **({"prompt": prompt} if prompt is not None else {}),
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


def start_canary(
    subject: AgentProject, adapter: str | None, *, prompt: str | None = None
) -> dict[str, Any]:
    """Route the first threads to a version, once its backend has proven that it serves it.

    The control document changes once, at the end: a version that cannot be served leaves it as it was.

    Args:
        subject: The agent.
        adapter: A registered version; None is the base model, or the agent's own model where that is in service.
        prompt: The prompt version that answers with it; None is the agent's own prompts.

    Returns:
        The rollout's status, with `swap_ms`: the milliseconds from the start until it answers its first threads.
        Its `doubts` name the verifiers that may decide wrongly.

    Raises:
        ServingError: The backend cannot prove that it serves the version.
        CanaryError: Another rollout runs, or the canary has no maturity window.
    """
    rollout = subject.workspace.canary(subject.name)
    document = rollout.document()
    target = _find_target(subject, document, adapter, prompt)
    if document.candidate == target and document.state in ("CANARY", "PAUSED", "PROMOTED"):
        return {**rollout.status(), "swap_ms": 0.0}
    against = canary_warnings(subject)
    started = time.perf_counter()
    if adapter is not None:
        load_version(subject, adapter)
    status = rollout.start(target, canary_settings(subject), doubts=against, proven=True)
    milliseconds = 1e3 * (time.perf_counter() - started)
    return {**status, "swap_ms": round(milliseconds, 3)}


def _find_target(
    subject: AgentProject, document: RolloutDocument, adapter: str | None, prompt: str | None
) -> Target:
    """Return the target of a version; a prompt without an adapter goes to the model that answers now."""
    config = subject.config
    if adapter is None and (document.stable is None or document.stable.adapter is None):
        return msgspec.structs.replace(document.stable or Target(backend=OWN), prompt=prompt)
    return Target(
        backend=config.backend, base_model=config.base_model, adapter=adapter, prompt=prompt
    )
