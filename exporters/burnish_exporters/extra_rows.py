"""Build shards of rows that the source does not hold: general conversations, and rows of the parent version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from burnish.errors import ExportError
from burnish.records import Trajectory, Verdict
from burnish_exporters.curate.sample import Sample
from burnish_exporters.dataset.parquet import encode_row
from burnish_exporters.dataset.spool import pack_rows
from burnish_exporters.dataset.version import PARTS, DatasetVersion
from burnish_exporters.rows import Row
from burnish_exporters.rows.canonical_json import hash_json
from burnish_exporters.rows.keys import action_key, actions_of, content_key, request_of
from burnish_exporters.shards.builder import ShardBuilder, make_redactor
from burnish_exporters.shards.plan import Plan
from burnish_exporters.shards.shard import Shard
from burnish_exporters.shards.steps import make_refusals
from burnish_exporters.sources.demonstrations import Demonstrations


def build_general_shard(plan: Plan) -> Shard:
    """Build a shard of the conversations in the recipe's files of general data.

    Raises:
        ExportError: If a file cannot be read, or holds no conversation.
    """
    verdict = Verdict(label="success", verifier="general")
    return ShardBuilder(plan).build_unverified("general", _read_conversations(plan), verdict)


def _read_conversations(plan: Plan) -> Iterator[Trajectory]:
    for url in plan.recipe.general:
        found = Demonstrations(url, agent=plan.agent, source="general")
        empty = True
        try:
            for run in found.trajectories():
                empty = False
                tags, task = sorted({*run.tags, "general"}), f"general:{run.id}"
                facts: dict[str, Any] = {"tags": tags, "task_id": task}
                yield msgspec.structs.replace(run, **facts, metadata={"kind": "general"})
        except OSError as problem:
            raise ExportError(f"general data {url}: {problem}", "a readable file") from problem
        if empty:
            raise ExportError(f"{url} holds no conversation", "chat rows in JSON lines")


def build_carried_shard(parent: DatasetVersion, present: set[str], plan: Plan) -> Shard:
    """Build a shard of the rows whose runs the parent holds and the source has lost.

    Runs that the source still holds are verified again. A run that it has lost keeps its verdict as
    long as the verifier is still trusted.

    Args:
        parent: The version to continue from.
        present: Ids of runs that the source holds, or that must not come back.
        plan: Settings that decide how a run becomes rows.
    """
    shard = Shard(name="carried over")
    redactor, rows, seen = make_redactor(plan), bytearray(), 0
    refusals = make_refusals(plan.recipe)
    dropped: Counter[str] = Counter()
    for part, found in _missing_runs(parent, present):
        seen += 1
        doubt = _distrust_reason(found[0], plan)
        refused = next(filter(None, map(refusals.of_row, found)), None)
        if doubt or refused:
            dropped[refused or f"unverified: {doubt}"] += 1
            continue
        if redactor:
            redactor.clean_rows(found)
            redactor.refuse_leaks(found)
        payload = pack_rows([encode_row(row) for row in found])
        shard.samples.append(_build_sample(part, found, (len(rows), len(payload)), plan))
        rows += payload
    shard.stages = [
        {"name": shard.name, "in": seen, "kept": len(shard.samples), "dropped": dict(dropped)}
    ]
    return msgspec.structs.replace(shard, rows=bytes(rows))


def _distrust_reason(row: Row, plan: Plan) -> str | None:
    """Return why no trusted verifier has called a row's run a success; None if one has, or the run failed."""
    if row.verdict["label"] != "success":
        return None
    reasons = [plan.unbelieved.get(name) for name in str(row.verdict["verifier"]).split("+")]
    return reasons[0] if all(reasons) else None


def _missing_runs(parent: DatasetVersion, present: set[str]) -> Iterator[tuple[str, list[Row]]]:
    """Yield the runs of a version that are not present, each with its rows."""
    for part in PARTS:
        runs: dict[str, list[Row]] = {}
        for columns in parent.rows(part):
            if columns["trajectory_id"] not in present and columns["source"] != "general":
                row = Row(**columns)
                runs.setdefault(row.trajectory_id, []).append(row)
        yield from ((part, rows) for rows in runs.values())


def _build_sample(part: str, rows: list[Row], place: tuple[int, int], plan: Plan) -> Sample:
    first, needs = rows[0], plan.recipe.compared_fields()
    kind = next((tag[5:] for tag in first.kind_tags if tag.startswith("kind:")), "")
    return Sample(
        trajectory_id=first.trajectory_id,
        task_id=first.task_id,
        user=first.user,
        split=part.removesuffix("-contrast"),
        source=first.source,
        started_ns=0,
        label=str(first.verdict["label"]),
        kind=kind,
        tags=[tag for tag in first.kind_tags if tag != "rare"],
        rows=len(rows),
        steps=sum(len(row.calls) for row in rows),
        errors=0,
        content_key=hash_json([content_key(row.messages) for row in rows]),
        action_key=hash_json([action_key(row.messages) for row in rows]),
        request=request_of(first.messages) if "request" in needs else "",
        actions=_action_keys(rows) if "actions" in needs else [],
        place=place,
    )


def _action_keys(rows: Iterable[Row]) -> list[str]:
    return [hash_json(action) for row in rows for action in actions_of(row.messages)]
