"""Check for `burnish doctor` that the verifiers of an agent can be made."""

from __future__ import annotations

from pathlib import Path

from burnish.project import AgentConfig


def check_verifiers(config: AgentConfig, folder: Path) -> None:
    """Make the verifiers of an agent.

    Args:
        config: The agent's table.
        folder: Folder of burnish.toml.

    Raises:
        VerificationError: If a name is unknown or its arguments do not fit.
    """
    from burnish_exporters.verify.registry import make_verifiers

    if config.verify:
        make_verifiers(config.verify, folder)
