"""Record and read people's labels of runs: accept, reject, unsure, or a corrected answer.

A label is an outcome of the source "human". The newest label of a run counts; older ones stay in
the journal. A run with a corrected answer counts as a failure, and its corrected copy becomes an
accepted demonstration.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from burnish.errors import VerificationError
from burnish.files.storage import BROKEN_JSON
from burnish.journal.index.trajectory_index import Query
from burnish.records import Json, Outcome, Trajectory
from burnish.workspace import Workspace
from burnish_exporters.importing import record_run
from burnish_exporters.rows.canonical_json import hash_json
from burnish_exporters.verify.trust.audit import present
from burnish_exporters.verify.trust.verifier_quality import QualityStore
from burnish_exporters.verify.verdicts import ENDED

SOURCE = "human"
LabelName = Literal["accept", "reject", "unsure", "edit"]
LabelQueue = Literal["audit", "unknown", "disagree", "random"]
_SUCCESS: dict[str, bool | None] = {"accept": True, "reject": False, "unsure": None, "edit": False}


class Label(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's label of one run.

    Attributes:
        trajectory_id: Id of the run.
        label: The label.
        reviewer: Name of the person.
        answer: With "edit", the corrected answer.
        note: Reason for the label.
        labelled_ns: Time of the label, in nanoseconds since the epoch; 0 is now.
    """

    trajectory_id: str
    label: LabelName
    reviewer: str | None = None
    answer: str | None = None
    note: str | None = None
    labelled_ns: int = 0


class LabelImport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of importing a file of labels.

    Attributes:
        imported: Labels that were added to the journal.
        known: Labels that the journal already held.
        dropped: Lines that hold no label, by reason.
    """

    imported: int
    known: int
    dropped: dict[str, int]


def record_label(workspace: Workspace, label: Label) -> None:
    """Record a label; an edited answer becomes a demonstration too.

    Raises:
        VerificationError: If an edit brings no answer, or the run has no reply to replace.
        WorkspaceError: If the run does not exist.
    """
    run = workspace.trajectory(label.trajectory_id)
    corrected = _correct_run(run, label) if label.label == "edit" else None
    facts = {"reviewer": label.reviewer, "answer": label.answer, "note": label.note}
    evidence: Json = {name: value for name, value in facts.items() if value is not None} or None
    outcome = Outcome(
        source=SOURCE,
        success=_SUCCESS[label.label],
        label=label.label,
        evidence=evidence,
        reported_ns=label.labelled_ns or time.time_ns(),
    )
    workspace.append_outcome(outcome, trajectory_id=run.id)
    if corrected is not None and present(workspace, corrected.id) is None:
        record_run(workspace, corrected)
        accepted = Outcome(
            source=SOURCE, success=True, label="accept", reported_ns=label.labelled_ns
        )
        workspace.append_outcome(accepted, trajectory_id=corrected.id)


def labels_of(run: Trajectory) -> list[Label]:
    """Return the labels given in this workspace, oldest first; received labels do not count."""
    found = [
        _decode_label(run.id, outcome)
        for outcome in run.outcomes
        if outcome.source == SOURCE and outcome.origin == "own"
    ]
    return sorted((label for label in found if label), key=lambda label: label.labelled_ns)


def unlabelled_runs(
    workspace: Workspace, agent: str, which: LabelQueue = "audit", *, seed: int = 0
) -> Iterator[Trajectory]:
    """Yield the runs that wait for a label.

    Args:
        workspace: Workspace of the runs.
        agent: Agent whose runs are read.
        which: "audit": those of the drawn sample; "unknown": those that a verifier could not
            decide; "disagree": those whose verifiers disagree; "random": any, in random order.
        seed: Seed of the random order.

    Raises:
        VerificationError: If the sample of the audit is wanted and none was drawn.
    """
    for trajectory_id in _candidate_ids(workspace, agent, which, seed):
        run = present(workspace, trajectory_id)
        if run is None or labels_of(run):
            continue
        said = _own_verdicts(run)
        known = set(said.values()) - {"unknown"}
        if which == "unknown" and "unknown" not in said.values():
            continue
        if which == "disagree" and len(known) < 2:
            continue
        yield run


def read_label_rows(workspace: Workspace, agent: str | None = None) -> Iterator[dict[str, Json]]:
    """Yield all labels with the run's request and answer, one a line of the file form."""
    for run in workspace.trajectories(agent=agent):
        for label in labels_of(run):
            facts = {k: v for k, v in msgspec.to_builtins(label).items() if v is not None}
            said = _own_verdicts(run)
            run_facts = {"agent": run.agent, "task_id": run.task_id, "answered": run.answer}
            yield {**facts, "run": {**run_facts, "verdicts": said}}


def import_labels(path: Path, workspace: Workspace) -> LabelImport:
    """Import the labels of a file; a known label is not imported twice.

    Raises:
        VerificationError: If the file cannot be read.
    """
    counts: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError as problem:
        raise VerificationError(
            f"{path}: {problem}", "a file of JSON lines", f"ls {path.parent}"
        ) from problem
    for line in filter(str.strip, lines):
        try:
            given = msgspec.json.decode(line, type=dict[str, Json])
            label = msgspec.convert({k: v for k, v in given.items() if k != "run"}, Label)
        except BROKEN_JSON:
            dropped["malformed: no label"] += 1
            continue
        run = present(workspace, label.trajectory_id)
        if run is None:
            dropped["no such run"] += 1
        elif label.labelled_ns and any(_same_label(label, known) for known in labels_of(run)):
            counts["known"] += 1
        elif label.label == "edit" and not (label.answer or "").strip():
            dropped["malformed: an edit without an answer"] += 1
        else:
            record_label(workspace, msgspec.structs.replace(label, trajectory_id=run.id))
            counts["imported"] += 1
    return LabelImport(
        imported=counts["imported"], known=counts["known"], dropped=dict(sorted(dropped.items()))
    )


def _candidate_ids(workspace: Workspace, agent: str, which: LabelQueue, seed: int) -> list[str]:
    if which == "audit":
        drawn = QualityStore(workspace.home).read(agent).drawn
        if drawn is None:
            raise VerificationError(
                f"no sample of {agent!r} was drawn",
                "runs to label",
                f"burnish verify audit {agent} --draw 100",
            )
        return drawn.ids
    ids = [e.id for e in workspace.entries(Query(agent=agent)) if e.status in ENDED]
    if which == "random":
        random.Random(seed).shuffle(ids)  # noqa: S311 - an order, no secret
    return ids


def _own_verdicts(run: Trajectory) -> dict[str, str]:
    """Return the labels of this workspace's verification by verifier."""
    return {v.verifier: v.label for v in run.verdicts if v.origin == "own"}


def _decode_label(trajectory_id: str, outcome: Outcome) -> Label | None:
    """Decode a label from its outcome; an outcome from another reporter has its success alone."""
    names = {True: "accept", False: "reject", None: "unsure"}
    name = outcome.label if outcome.label in _SUCCESS else names[outcome.success]
    facts = outcome.evidence if isinstance(outcome.evidence, dict) else {}
    texts = {key: facts.get(key) for key in ("reviewer", "answer", "note")}
    return msgspec.convert(
        {
            "trajectory_id": trajectory_id,
            "label": name,
            "labelled_ns": outcome.reported_ns,
            **{key: text for key, text in texts.items() if isinstance(text, str)},
        },
        Label,
    )


def _same_label(one: Label, other: Label) -> bool:
    return (one.labelled_ns, one.label, one.reviewer) == (
        other.labelled_ns, other.label, other.reviewer,
    )  # fmt: skip


def _correct_run(run: Trajectory, label: Label) -> Trajectory:
    """Return the run with the corrected answer."""
    answer = (label.answer or "").strip()
    if not answer or not run.model_calls or run.model_calls[-1].reply is None:
        raise VerificationError(
            f"an edit of run {run.id[:12]} with {len(answer)} characters",
            "an answer, and a run that ended with a reply",
            "burnish label give ID edit --answer '...'",
        )
    last = run.model_calls[-1]
    reply = {"role": "assistant", "parts": [{"type": "text", "content": answer}]}
    call = msgspec.structs.replace(
        last,
        reply=reply,
        token_ids=None,
        prompt_token_ids=None,
        logprobs=None,
        finish_reason="stop",
    )
    name = hash_json([run.id, answer])
    return msgspec.structs.replace(
        run,
        id=name,
        thread_id=None,
        source="demonstration",
        status="completed",
        answer=answer,
        error=None,
        model_calls=[*run.model_calls[:-1], call],
        outcomes=[],
        verdicts=[],
        trace_ids=[],
        tags=[*run.tags, f"edited:{run.id}"],
    )
