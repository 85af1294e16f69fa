"""Check for `burnish doctor` that the verifiers of an agent can be made."""

from __future__ import annotations

from pathlib import Path

from burnish.project import AgentConfig


def check_verifiers(config: AgentConfig, folder: Path) -> None:
    """Make the verifiers that an agent learns by and those that its adapters are proven by.

    Args:
        config: The agent's table.
        folder: Folder of burnish.toml.

    Raises:
        VerificationError: If a name is unknown or its arguments do not fit.
    """
    from burnish_exporters.verify.roles import make_learning_verifiers, make_proof_verifiers

    if config.verify:
        make_learning_verifiers(config, folder)
    if config.prove or config.verify:
        make_proof_verifiers(config, folder)
