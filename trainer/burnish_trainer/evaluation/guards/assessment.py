"""Assess an evaluation by all rounds so far: read the facts of both guards from a workspace.

`assess_evaluation` is the entry. Each evaluation keeps the facts of all rounds up to its own, so the next one reads only
the newest report of a retrain.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from burnish.adapters.prompt_store import PromptStore
from burnish.adapters.store import AdapterStore
from burnish.errors import BurnishError
from burnish.files.storage import BROKEN_JSON
from burnish.journal.index.trajectory_index import Query
from burnish.records import Json, Task, Trajectory
from burnish_exporters.tasks.task_sources import hash_tasks
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.guards.collapse import check_collapse
from burnish_trainer.evaluation.guards.drift import (
    Surroundings,
    compare_data,
    compare_surroundings,
    name_other_models,
    read_prompts,
)
from burnish_trainer.evaluation.guards.findings import Finding
from burnish_trainer.evaluation.guards.gap import find_overfitting, measure_gap
from burnish_trainer.evaluation.guards.leak import find_leaks, find_quoted_tasks
from burnish_trainer.evaluation.guards.round_facts import (
    RoundFacts,
    decode_round,
    measure_behaviour,
    measure_data,
)

_LEARNED_SAMPLE = 40  # training runs whose prompts and tools are compared
_TEACHER_SAMPLE = 60  # held-out attempts that the training verifiers judge too


def assess_evaluation(
    subject: AgentProject,
    versions: tuple[ArmVersion, ArmVersion],
    arms: tuple[Sequence[AttemptResult], Sequence[AttemptResult]],
    pools: Mapping[str, Sequence[Task]],
) -> dict[str, Json]:
    """Return the rounds, the surroundings and the findings of an evaluation, as plain data; empty without held-out tasks.

    Args:
        subject: The agent.
        versions: The versions before and after.
        arms: Their attempts.
        pools: Tasks by pool.
    """
    adapters = (versions[0].adapter, versions[1].adapter)
    if "heldout" not in pools or versions[0] == versions[1]:
        return {}
    quoted = find_quoted_tasks(_read_texts(subject, versions[1].prompt), pools)
    if adapters[0] == adapters[1]:  # another prompt: no round of training
        return {"findings": msgspec.to_builtins(quoted)}
    heldout = [[one for one in arm if one.pool == "heldout"] for arm in arms]
    runs = _read_runs(subject, [one.trajectory_id for arm in heldout for one in arm])
    sha256 = hash_tasks(pools["heldout"])
    now = _describe_surroundings(subject, pools, _runs_of(heldout[1], runs))
    earlier, then = _read_earlier(subject, adapters[1])
    if adapters[0] not in {past.adapter for past in earlier}:
        before = measure_behaviour(heldout[0], runs)
        named = versions[0]._asdict()
        earlier.append(RoundFacts(**named, tasks_sha256=sha256, **before))
    data = _TrainingData(subject, adapters[1], [past.dataset for past in earlier])
    newest = RoundFacts(
        **versions[1]._asdict(),
        tasks_sha256=sha256,
        dataset=data.dataset,
        teacher=_measure_teacher(subject, heldout[1], runs),
        **measure_behaviour(heldout[1], runs),
        **data.facts,
    )
    gap = measure_gap([one for one in arms[1] if one.pool == "train"], heldout[1])
    findings: list[Finding] = [
        *find_overfitting(gap),
        *find_leaks(data.rows, pools),
        *quoted,
        *check_collapse([*earlier, newest], floor=subject.config.dataset.verifier_floor),
        *(compare_surroundings(then, now) if then else []),
        *compare_data(data.sample(), now),
        *name_other_models(data.models, _own_names(subject), subject.config.base_model),
    ]
    return {
        "rounds": msgspec.to_builtins([*earlier, newest]),
        "surroundings": msgspec.to_builtins(now),
        "models": dict(data.models),
        "gap": gap,
        "findings": msgspec.to_builtins(findings),
    }


def _read_texts(subject: AgentProject, prompt: str | None) -> list[str]:
    if prompt is None:
        return []
    return list(PromptStore(subject.workspace.home).get(prompt).texts.values())


class _TrainingData:
    """The rows that a version was trained on, and those of earlier rounds.

    Args:
        subject: The agent.
        adapter: The version.
        earlier: Datasets of earlier rounds.
    """

    def __init__(
        self, subject: AgentProject, adapter: str | None, earlier: Sequence[str | None]
    ) -> None:
        self._subject = subject
        self.dataset = _dataset_of(subject, adapter)
        self.models: Counter[str] = Counter()
        self.facts: dict[str, Any] = {}
        self.rows: list[dict[str, Any]] = []
        self._runs: list[str] = []
        collected: dict[str, str] = {}
        for name in dict.fromkeys(past for past in earlier if past and past != self.dataset):
            _, collected = measure_data(self._read_rows(name), collected)
        self.rows = list(self._read_rows(self.dataset)) if self.dataset else []
        if self.rows:
            self.facts, _ = measure_data(self.rows, collected)
            self._runs = sorted({str(row["trajectory_id"]) for row in self.rows})
            self.models.update(model for row in self.rows for model in _models_of(row))

    def sample(self) -> list[Trajectory]:
        """Return some of the training runs, as far as the workspace holds them."""
        chosen = random.Random(0).sample(self._runs, min(_LEARNED_SAMPLE, len(self._runs)))  # noqa: S311 - no secret
        return list(_read_runs(self._subject, chosen).values())

    def _read_rows(self, name: str) -> Iterator[dict[str, Any]]:
        from burnish_exporters.dataset.store import DatasetStore

        try:
            version = DatasetStore(self._subject.workspace.home / "datasets").find_version(name)
            yield from version.rows("train")
        except BurnishError:  # the version was removed, or the adapter was trained elsewhere
            return


def _models_of(row: Mapping[str, Any]) -> set[str]:
    """Return the models that answered in a row, without adapters of this agent."""
    calls = row.get("calls") or []
    return {str(call["model"]) for call in calls if call.get("model") and not call.get("adapter")}


def _dataset_of(subject: AgentProject, adapter: str | None) -> str | None:
    if adapter is None:
        return None
    try:
        return AdapterStore(subject.workspace.home).get(adapter).dataset
    except BurnishError:
        return None


def _read_runs(subject: AgentProject, ids: Sequence[str | None]) -> dict[str, Trajectory]:
    wanted = set(ids)
    entries = [entry for entry in subject.workspace.entries(Query()) if entry.id in wanted]
    return {run.id: run for run in subject.workspace.read(entries)}


def _runs_of(results: Sequence[AttemptResult], runs: Mapping[str, Trajectory]) -> list[Trajectory]:
    found = (runs.get(one.trajectory_id or "") for one in results)
    return [run for run in found if run is not None]


def _describe_surroundings(
    subject: AgentProject, pools: Mapping[str, Sequence[Task]], runs: Sequence[Trajectory]
) -> Surroundings:
    from burnish.serving.contract.base_models import base_sha256, resolve_model

    try:
        base = base_sha256(resolve_model(subject.config.base_model))
    except BurnishError:  # a server alone has the weights
        base = ""
    return Surroundings(
        base_sha256=base,
        learning={verifier.name: verifier.version for verifier in subject.verifiers},
        proof={verifier.name: verifier.version for verifier in subject.proof_verifiers},
        tasks={pool: hash_tasks(tasks) for pool, tasks in pools.items()},
        **read_prompts(runs),
    )


def _read_earlier(
    subject: AgentProject, adapter: str | None
) -> tuple[list[RoundFacts], Surroundings | None]:
    """Return the rounds of the newest retrain of another version, and what it stood on."""
    folders = (subject.workspace.home / "runs").glob(f"retrain-{subject.name}-[0-9]*")
    for folder in sorted(folders, key=lambda path: path.name, reverse=True):
        guards = _read_guards(folder / "evaluation.json")
        rounds = [one for value in guards.get("rounds", []) if (one := decode_round(value))]
        if not rounds or rounds[-1].adapter == adapter:
            continue
        try:
            then = msgspec.convert(guards.get("surroundings"), Surroundings)
        except msgspec.ValidationError:
            then = None
        return [one for one in rounds if one.adapter != adapter], then
    return [], None


def _read_guards(path: Path) -> dict[str, Any]:
    try:
        found: Any = msgspec.json.decode(path.read_bytes())
    except (OSError, *BROKEN_JSON):
        return {}
    extras: Any = found.get("extras", {}) if isinstance(found, dict) else {}
    guards: Any = extras.get("guards") if isinstance(extras, dict) else None
    return guards if isinstance(guards, dict) else {}


def _measure_teacher(
    subject: AgentProject, results: Sequence[AttemptResult], runs: Mapping[str, Trajectory]
) -> tuple[int, int] | None:
    """Count the attempts that the training verifiers accept, and those of them that the check rejects.

    None where the same verifiers select and grade.
    """
    from burnish.protocols import traits_of
    from burnish_exporters.verify import PoolSettings, combine, judge_all

    learning, proof = subject.verifiers, subject.proof_verifiers
    if [(v.name, v.version) for v in learning] == [(v.name, v.version) for v in proof]:
        return None
    labels = {r.trajectory_id: r.label for r in results if r.label != "unknown"}
    chosen = [run for run in runs.values() if run.id in labels][:_TEACHER_SAMPLE]
    kinds = [traits_of(verifier).kind for verifier in learning]
    accepted = [
        labels[run.id]
        for run, verdicts in judge_all(learning, chosen, PoolSettings(reuse=False))
        if combine(verdicts, kinds).label == "success"
    ]
    return accepted.count("fail"), len(accepted)


def _own_names(subject: AgentProject) -> set[str]:
    from burnish_trainer.evaluation.chat_models import backend_facts

    base = subject.config.base_model
    served = backend_facts(subject.config).get("model")
    return {base, Path(base).name, *([str(served)] if served else [])}
