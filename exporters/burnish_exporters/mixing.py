"""Rows that do not come out of the source: general conversations, and rows of the parent version.

Knows: how both become a piece like any other. Does not know: how many of them are chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from burnish.errors import ExportError
from burnish.records import Trajectory, Verdict
from burnish_exporters.curate.sample import Sample
from burnish_exporters.dataset.parquet import stored
from burnish_exporters.dataset.spool import packed
from burnish_exporters.dataset.version import PARTS, DatasetVersion
from burnish_exporters.pieces import Piece, Plan
from burnish_exporters.pieces.making import PieceMaker, redactor_of
from burnish_exporters.pieces.steps import refusals_of
from burnish_exporters.rows import Row
from burnish_exporters.rows.keys import action_key, actions_of, content_key, request_of
from burnish_exporters.rows.stable import digest
from burnish_exporters.sources import Demonstrations


def general(plan: Plan) -> Piece:
    """The conversations of the recipe's files of general data, as a piece.

    Raises:
        ExportError: If a file cannot be read, or holds no conversation.
    """
    verdict = Verdict(label="success", verifier="general")
    return PieceMaker(plan).given("general", _conversations(plan), verdict)


def _conversations(plan: Plan) -> Iterator[Trajectory]:
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


def carried(parent: DatasetVersion, present: set[str], plan: Plan) -> Piece:
    """The rows of runs that the parent holds and the source does not any more, as a piece.

    What the source still holds is judged anew; a run that it has lost is believed, if its verifier still is.

    Args:
        parent: The version to go on from.
        present: Runs that the source holds, or that must not come back.
        plan: What decides about a run.
    """
    piece = Piece(name="carried over")
    redactor, rows, seen = redactor_of(plan), bytearray(), 0
    refusals = refusals_of(plan.recipe)
    dropped: Counter[str] = Counter()
    for part, found in _gone(parent, present):
        seen += 1
        doubt = _doubt(found[0], plan)
        refused = next(filter(None, map(refusals.of_row, found)), None)
        if doubt or refused:
            dropped[refused or f"unverified: {doubt}"] += 1
            continue
        if redactor:
            redactor.clean(found)
            redactor.refuse_leaks(found)
        payload = packed([stored(row) for row in found])
        piece.samples.append(_sample(part, found, (len(rows), len(payload)), plan))
        rows += payload
    piece.stages = [
        {"name": piece.name, "in": seen, "kept": len(piece.samples), "dropped": dict(dropped)}
    ]
    return msgspec.structs.replace(piece, rows=bytes(rows))


def _doubt(row: Row, plan: Plan) -> str | None:
    """Why nobody who is believed has called a row's run a success; None where somebody has, or it failed."""
    if row.verdict["label"] != "success":
        return None
    reasons = [plan.unbelieved.get(name) for name in str(row.verdict["verifier"]).split("+")]
    return reasons[0] if all(reasons) else None


def _gone(parent: DatasetVersion, present: set[str]) -> Iterator[tuple[str, list[Row]]]:
    """The runs of a version that are not present, each with its rows."""
    for part in PARTS:
        runs: dict[str, list[Row]] = {}
        for columns in parent.rows(part):
            if columns["trajectory_id"] not in present and columns["source"] != "general":
                row = Row(**columns)
                runs.setdefault(row.trajectory_id, []).append(row)
        yield from ((part, rows) for rows in runs.values())


def _sample(part: str, rows: list[Row], place: tuple[int, int], plan: Plan) -> Sample:
    first, needs = rows[0], plan.recipe.needs()
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
        content_key=digest([content_key(row.messages) for row in rows]),
        action_key=digest([action_key(row.messages) for row in rows]),
        request=request_of(first.messages) if "request" in needs else "",
        actions=_actions(rows) if "actions" in needs else [],
        place=place,
    )


def _actions(rows: Iterable[Row]) -> list[str]:
    return [digest(action) for row in rows for action in actions_of(row.messages)]
