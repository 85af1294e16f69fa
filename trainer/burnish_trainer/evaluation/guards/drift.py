"""Tell what changed around an agent between its training data, an earlier round and now.

`compare_surroundings` compares two rounds, `compare_data` the learned runs with the evaluated ones; both are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from burnish.records import Record, Trajectory
from burnish_trainer.evaluation.guards.findings import Finding

_SHOWN = 3
_UNSEEN = 0.5  # share of learned runs with a prompt or tools that no evaluated run has


class Surroundings(Record, frozen=True, kw_only=True):
    """The facts that an evaluation stands on beside the adapter."""

    base_sha256: str = ""
    learning: dict[str, str] = msgspec.field(
        default_factory=dict
    )  # versions of the verifiers that select training runs
    proof: dict[str, str] = msgspec.field(
        default_factory=dict
    )  # versions of the verifiers that grade the attempts
    tasks: dict[str, str] = msgspec.field(default_factory=dict)  # hash of each pool
    prompts: list[str] = msgspec.field(
        default_factory=list
    )  # hashes of the system prompts of the held-out runs
    tools: list[str] = msgspec.field(
        default_factory=list
    )  # hashes of the tool schemas that were offered


def read_prompts(runs: Iterable[Trajectory]) -> dict[str, list[str]]:
    """Return the hashes of prompts and of tool schemas of runs, sorted.

    Args:
        runs: The runs.
    """
    policies = [call.policy for run in runs for call in run.model_calls]
    return {
        "prompts": sorted({p.prompt_hash for p in policies if p.prompt_hash}),
        "tools": sorted({p.tools_hash for p in policies if p.tools_hash}),
    }


def compare_surroundings(then: Surroundings, now: Surroundings) -> list[Finding]:
    """Name what changed since an earlier round; its figures are then not comparable with today's.

    Args:
        then: What the earlier round stood on.
        now: What this one stands on.
    """
    found = [*_compare_versions("verifier", then.proof, now.proof, "grades the tasks")]
    found += _compare_versions("verifier", then.learning, now.learning, "selects the training runs")
    if then.base_sha256 and then.base_sha256 != now.base_sha256:
        found.append(
            _note(
                "base",
                f"the base model is another one than in the round before ({then.base_sha256[:12]} then, "
                f"{now.base_sha256[:12]} now)",
            )
        )
    for pool, sha256 in now.tasks.items():
        if pool in then.tasks and then.tasks[pool] != sha256:
            found.append(
                _note("tasks", f"the pool {pool} has other tasks than in the round before")
            )
    for name, words in (("prompts", "system prompts"), ("tools", "tool schemas")):
        before, after = set(getattr(then, name)), set(getattr(now, name))
        if before and after and not before & after:
            found.append(
                _note(name.removesuffix("s"), f"the {words} are others than in the round before")
            )
    return found


def compare_data(learned: Sequence[Trajectory], now: Surroundings) -> list[Finding]:
    """Name prompts and tools of training runs that no evaluated run has.

    Args:
        learned: Runs that the version was trained on, all or a sample.
        now: What the evaluation stands on.
    """
    found: list[Finding] = []
    for name, words in (("prompts", "system prompt"), ("tools", "tool schemas")):
        present = set(getattr(now, name))
        hashes = [set(read_prompts([run])[name]) for run in learned]
        known = [several for several in hashes if several]
        unseen = sum(not several & present for several in known)
        if present and known and unseen > _UNSEEN * len(known):
            found.append(
                _note(
                    f"data_{name}",
                    f"{unseen} of {len(known)} training runs that were compared had another {words} than the agent has "
                    "now: it changed, or it holds what changes with each run",
                )
            )
    return found


def name_other_models(
    models: Mapping[str, int], own: Iterable[str], base_model: str
) -> list[Finding]:
    """Name the models other than the base model whose replies are learned.

    Args:
        models: Training runs by the model that answered; adapters of the base model are left out.
        own: Names of the base model.
        base_model: The base model as named in burnish.toml.
    """
    names = set(own)
    others = {model: count for model, count in models.items() if model not in names}
    if not others:
        return []
    shown = ", ".join(f"{model} ({count})" for model, count in sorted(others.items())[:_SHOWN])
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    return [
        _note(
            "models",
            f"training runs were answered by other models than {base_model}: {shown}{more}; check that their licences allow "
            "training on their output, and expect their style",
        )
    ]


def _compare_versions(
    what: str, then: Mapping[str, str], now: Mapping[str, str], role: str
) -> Iterator[Finding]:
    for name in sorted({*then, *now}) if then else ():
        before, after = then.get(name), now.get(name)
        if before != after:
            yield _note(
                what,
                f"the {what} {name} that {role} is of version {after or 'none'} now and was of {before or 'none'}",
            )


def _note(name: str, statement: str) -> Finding:
    return Finding(name=f"drift.{name}", severity="note", statement=statement)
