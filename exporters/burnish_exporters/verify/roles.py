"""Build an agent's verifiers by their role: those it learns by, and those its adapters are proven by.

`verify` of `[agent.NAME]` selects the runs to learn from. `prove` grades the attempts of an evaluation, and so decides
at the gate. An attempt gets no outcome from users, so by default the verifiers of `verify` that read none are used.
Rules and forms of calls alone do not stand in for an outcome: a run that breaks none has not reached its goal.
"""

from __future__ import annotations

from pathlib import Path

from burnish.project import AgentConfig
from burnish.protocols import Verifier, traits_of
from burnish_exporters.verify.checks.rules import Rules
from burnish_exporters.verify.checks.tool_calls import ToolCalls
from burnish_exporters.verify.registry import make_verifiers


def make_learning_verifiers(config: AgentConfig, folder: Path) -> list[Verifier]:
    """Build the verifiers that select training runs.

    Args:
        config: The agent's table.
        folder: Folder of burnish.toml.

    Raises:
        NoVerifier: If burnish.toml names none.
        VerificationError: If a name is unknown or its arguments do not fit.
    """
    return make_verifiers(config.verify, folder, trust_received=config.trust_received)


def make_proof_verifiers(config: AgentConfig, folder: Path) -> list[Verifier]:
    """Build the verifiers that grade the attempts of an evaluation.

    If `prove` is not set and no verifier of `verify` could decide alone, all of `verify` are returned: an environment may
    report outcomes itself.

    Args:
        config: The agent's table.
        folder: Folder of burnish.toml.

    Raises:
        NoVerifier: If burnish.toml names none.
        VerificationError: If a name is unknown or its arguments do not fit.
    """
    if config.prove:
        return make_verifiers(config.prove, folder, trust_received=config.trust_received)
    verifiers = make_learning_verifiers(config, folder)
    left = [verifier for verifier in verifiers if not traits_of(verifier).reads_outcomes]
    decides = len(left) == len(verifiers) or any(not isinstance(v, Rules | ToolCalls) for v in left)
    return left if left and decides else verifiers
