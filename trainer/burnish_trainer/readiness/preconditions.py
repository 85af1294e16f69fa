"""Check what a retrain cannot do without: verifiers, tasks, the base model, its backend and the canary's window."""

from __future__ import annotations

from burnish.errors import NoVerifier
from burnish_trainer.evaluation.agent_project import AgentProject


def check_canary(subject: AgentProject) -> None:
    """Refuse where a canary could not start at the end.

    Raises:
        CanaryError: A rollout runs, or no maturity window is set and none can be learnt.
    """
    from burnish_trainer.release import refuse_while_running, refuse_without_window

    if subject.config.canary.decides:
        refuse_while_running(subject)
        refuse_without_window(subject)


def check_verifiers(subject: AgentProject) -> list[str]:
    """Return the names of the verifiers.

    Raises:
        NoVerifier: burnish.toml names none.
    """
    if not subject.config.verify:
        raise NoVerifier(
            f"agent {subject.name!r} has no verifier",
            "at least one verifier that decides on success",
            f'verify = ["outcome"] in [agent.{subject.name}] of {subject.project.path}',
        )
    return [verifier.name for verifier in subject.verifiers]


def check_base(subject: AgentProject) -> str:
    """Return the hash of the base model, after asking its backend for it.

    Raises:
        ServingError: The backend serves another model or refuses the rank.
        BackendUnavailable: It does not answer.
    """
    from burnish.serving.contract.base_models import base_sha256, resolve_model
    from burnish.serving.contract.model_contract import refuse_agent_model
    from burnish_trainer.evaluation.chat_models import check_backend

    base = resolve_model(subject.config.base_model)
    refuse_agent_model(base, subject.config.backend)
    check_backend(subject.config)
    return base_sha256(base)
