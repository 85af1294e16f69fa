"""Measure what one round of training leaves behind, as plain data that later rounds are compared with.

`measure_behaviour` reads the held-out runs of a version, `measure_data` the rows that it was trained on.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from burnish.journal.events import canonical
from burnish.records import Record, Trajectory
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.guards.pass_at_k import mean_pass_at_k

EXTERNAL_SOURCES = ("demonstration", "teacher", "human")
"""Sources of runs that no version of the agent has made."""
Share = tuple[int, int]
"""A part and its whole."""


class RoundFacts(Record, frozen=True, kw_only=True):
    """One round: a version's behaviour on held-out tasks, and the data that it was trained on."""

    adapter: str | None = None
    prompt: str | None = None  # prompt version; None in rounds of earlier versions too
    dataset: str | None = None
    tasks_sha256: str = ""  # of the held-out tasks; counts are compared between equal sets only
    success: Share = (0, 0)
    kinds: dict[str, Share] = msgspec.field(default_factory=dict)  # success by kind of task
    pass_at: dict[str, float] = msgspec.field(
        default_factory=dict
    )  # number of attempts -> share of tasks solved at least once
    tasks: int = 0  # held-out tasks with a result; 0 in rounds of earlier versions
    runs: int = 0
    actions: int = 0  # distinct calls: tool and arguments
    sequences: int = 0  # distinct sequences of calls and final replies
    states: int = 0  # distinct final states of the environment
    entropy: float | None = None  # nats of a token, by its log-probability; None if not captured
    used: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # training runs of this round, by kind
    collected: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # training runs of this and all earlier rounds, by kind
    sources: dict[str, int] = msgspec.field(default_factory=dict)  # training runs by source
    teacher: Share | None = (
        None  # runs that the training verifier accepts, of which a check rejects
    )

    @property
    def external_share(self) -> float | None:
        """Return the share of training runs that no version of the agent has made; None without runs."""
        total = sum(self.sources.values())
        return (
            sum(self.sources.get(name, 0) for name in EXTERNAL_SOURCES) / total if total else None
        )


def measure_behaviour(
    results: Sequence[AttemptResult], runs: Mapping[str, Trajectory]
) -> dict[str, Any]:
    """Return the fields of RoundFacts about behaviour.

    Args:
        results: Attempts of one version at held-out tasks.
        runs: Their trajectories by id, as far as the workspace holds them.
    """
    known = [result for result in results if result.label != "unknown"]
    found = [run for result in known if (run := runs.get(result.trajectory_id or "")) is not None]
    kinds: defaultdict[str, list[bool]] = defaultdict(list)
    tasks: defaultdict[str, list[bool]] = defaultdict(list)
    for result in known:
        kinds[result.kind].append(result.label == "success")
        tasks[result.task_id].append(result.label == "success")
    fewest = min(map(len, tasks.values()), default=0)
    return {
        "success": (sum(r.label == "success" for r in known), len(known)),
        "kinds": {kind: (sum(labels), len(labels)) for kind, labels in sorted(kinds.items())},
        "pass_at": {
            str(k): mean_pass_at_k(tasks.values(), k)
            for k in (1, 2, 4, 8, 16)
            if k <= fewest and tasks
        },
        "tasks": len(tasks),
        "runs": len(found),
        **count_distinct(found),
        "entropy": measure_entropy(found),
    }


def count_distinct(runs: Iterable[Trajectory]) -> dict[str, int]:
    """Count distinct calls, sequences of calls with the reply that ends them, and final states.

    Args:
        runs: Runs of one version.
    """
    actions: set[bytes] = set()
    sequences: set[bytes] = set()
    states: set[bytes] = set()
    for run in runs:
        calls = [canonical([call.name, call.arguments]) for call in run.tool_runs]
        actions.update(calls)
        sequences.add(b"\0".join([*calls, canonical(run.answer)]))
        if run.final_state is not None:
            states.add(canonical(run.final_state))
    return {"actions": len(actions), "sequences": len(sequences), "states": len(states)}


def measure_entropy(runs: Iterable[Trajectory]) -> float | None:
    """Return the mean negative log-probability of the tokens of replies, in nats; None if none was captured.

    At temperature 1 its expectation is the entropy of the policy. At other temperatures it is comparable only with
    itself, which is how rounds use it.

    Args:
        runs: Runs of one version.
    """
    values = [
        value
        for run in runs
        for call in run.model_calls
        for value in call.logprobs or []
        if math.isfinite(value)
    ]
    return -sum(values) / len(values) if values else None


def measure_data(
    rows: Iterable[Mapping[str, Any]], earlier: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of RoundFacts about training data, and the kind of each training run so far.

    Args:
        rows: Rows of the dataset version.
        earlier: Kind of each training run of earlier rounds, by trajectory id.
    """
    kinds: dict[str, str] = {}
    sources: dict[str, str] = {}
    for row in rows:
        run = str(row["trajectory_id"])
        kinds[run] = kind_of(row.get("kind_tags") or [])
        sources[run] = str(row.get("source") or "unknown")
    collected = {**earlier, **kinds}
    facts = {
        "used": dict(sorted(Counter(kinds.values()).items())),
        "collected": dict(sorted(Counter(collected.values()).items())),
        "sources": dict(sorted(Counter(sources.values()).items())),
    }
    return facts, collected


def kind_of(tags: Iterable[str]) -> str:
    """Return the kind that a row's or a run's tags name."""
    return next((tag.partition(":")[2] for tag in tags if tag.startswith("kind:")), "default")


def decode_round(value: Any) -> RoundFacts | None:
    """Return the facts of a round from plain data; None if it holds none."""
    try:
        return msgspec.convert(value, RoundFacts)
    except msgspec.ValidationError:
        return None
