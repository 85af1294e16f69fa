"""Recognise a backend that takes no request of the agent, and explain why no attempt could be judged.

A refusal of the first request (400) is not caused by anything that the model wrote. Single ones remain failures: a task
may be too long for the model. If nearly all attempts end so, the backend does not take the agent's requests, and the
attempts say nothing about a version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from burnish.errors import EvaluationError
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion
from burnish_trainer.evaluation.attempts.ended import BACKEND, ENVIRONMENT, AttemptResult

_NEARLY_ALL = 0.9  # share of an arm's attempts whose first request is refused
_SHOWN = 300  # characters of an example

Arm = list[AttemptResult]


def set_refusals_apart(versions: Sequence[ArmVersion], arms: Sequence[Arm]) -> list[Arm]:
    """Return the results of all arms; attempts at a backend that takes no request count as infrastructure errors.

    One arm alone is set apart if all arms have the same prompt: the first requests are then the same, and only the
    backend can distinguish the versions. Another prompt may be what is refused, and that is the version's own failure.

    Args:
        versions: The version of each arm.
        arms: Its results.
    """
    refused = [_is_refused(arm) for arm in arms]
    same_requests = len({version.prompt for version in versions}) == 1
    if not all(refused) and not same_requests:
        return list(arms)
    return [
        [_set_apart(result) for result in arm] if found else arm
        for arm, found in zip(arms, refused, strict=True)
    ]


def _is_refused(arm: Iterable[AttemptResult]) -> bool:
    made = [result for result in arm if result.final]
    return bool(made) and sum(bool(r.refusal) for r in made) >= _NEARLY_ALL * len(made)


def _set_apart(result: AttemptResult) -> AttemptResult:
    if not result.refusal or not result.final:
        return result
    reason = f"the backend refuses the first request of nearly every attempt: {result.refusal}"
    return msgspec.structs.replace(
        result, label="unknown", infrastructure=True, fault_of=BACKEND, reason=reason
    )


def explain_no_grades(agent: str, arms: Iterable[Sequence[AttemptResult]]) -> EvaluationError:
    """Build the error for an evaluation without a single pair of results: its commonest cause and the next command.

    Args:
        agent: Name of the agent.
        arms: The results of all arms.
    """
    results = [result for arm in arms for result in arm]
    lost = [result for result in results if result.infrastructure]
    skipped = [result for result in results if result.status == "skipped"]
    unknown = [result for result in results if result.label == "unknown" and result.final]
    largest = max(lost, skipped, unknown, key=len)
    told = f"no attempt could be judged: {len(largest)} of {len(results)} attempts "
    if not largest:
        return EvaluationError(
            "no attempt of one version has its counterpart of the other",
            "results of both versions at the same tasks",
            f"burnish eval {agent} --fresh",
        )
    example = _describe_commonest(largest)
    if largest is skipped:
        return EvaluationError(
            f"{told}were not made: {example}",
            "a token limit that both versions fit into",
            f"raise token_limit in [agent.{agent}.evaluate] of burnish.toml, then: burnish eval {agent}",
        )
    if largest is unknown:
        run = next((result.trajectory_id for result in unknown if result.trajectory_id), None)
        return EvaluationError(
            f"{told}got no verdict of success or fail: {example}",
            "a verifier of burnish.toml that can decide them",
            f"burnish traces show {run}" if run else "burnish doctor",
        )
    if name_fault_source(lost) == ENVIRONMENT:
        return EvaluationError(
            f"{told}met an error of the environment: {example}",
            "an environment that opens for each task in the same state, and closes",
            f"correct `environment` in [agent.{agent}] of burnish.toml, then: burnish eval {agent}",
        )
    refused = any(result.refusal for result in lost)
    return EvaluationError(
        f"{told}met an error of the infrastructure: {example}",
        "a backend that takes the requests of the agent" if refused else "a backend that answers",
        f"burnish doctor; then: burnish eval {agent}",
    )


def name_fault_source(results: Iterable[AttemptResult]) -> str:
    """Return what most infrastructure errors came from: backend or environment.

    Args:
        results: Results, among them those of infrastructure errors.
    """
    counts = Counter(result.fault_of or BACKEND for result in results if result.infrastructure)
    return ENVIRONMENT if counts[ENVIRONMENT] > counts[BACKEND] else BACKEND


def _describe_commonest(results: Sequence[AttemptResult]) -> str:
    """Return the commonest reason, with its count if there are others."""
    counts = Counter(result.reason or "no reason was given" for result in results)
    reason, count = counts.most_common(1)[0]
    shown = " ".join(reason.split())[:_SHOWN]
    return (
        shown if count == len(results) else f"{shown} ({count} times, and {len(counts) - 1} others)"
    )
