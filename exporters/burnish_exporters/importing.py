"""Demonstrations of people and runs of teachers become runs of a workspace.

Knows: which line becomes which run, that a line is taken once, and what is counted of the others.
Does not know: the forms of lines (sources/), the events that tell of a run (burnish.capture).

They enter by the journal, as captured runs do. So nothing behind it has to know of them: they are verified, curated,
redacted, shipped, archived and forgotten like every other run, and stay after the file is gone.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec

from burnish.capture.recorder.whole_runs import events_of
from burnish.capture.redaction import door
from burnish.errors import BurnishError, CaptureError, ExportError, UnreadableEvent
from burnish.journal.index import Query
from burnish.records import Trajectory
from burnish.workspace import Workspace
from burnish_exporters.rows.canonical_json import hash_json
from burnish_exporters.sources import Demonstrations
from burnish_exporters.sources.demonstrations import DroppedLine

Origin = Literal["human", "teacher"]
_SOURCES: dict[Origin, Literal["demonstration", "teacher"]] = {
    "human": "demonstration",
    "teacher": "teacher",
}


class Origins(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of the lines of a file.

    Attributes:
        agent: Agent that they are for.
        source: Who wrote them: people, or another model.
        model: The other model's name.
        form: How lines are written; None takes either.
        license: SPDX id of their licence; it becomes a tag `license:...` of each run.
        rights: What they may be used for; each becomes a tag `rights:...`.
    """

    agent: str
    source: Origin
    model: str | None = None
    form: Literal["openai", "sharegpt"] | None = None
    license: str | None = None
    rights: list[str] = []


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the lines of a file.

    Attributes:
        imported: Lines that are runs of the workspace now.
        known: Lines that were there already, or twice in the file.
        dropped: Lines that are no run, by reason.
        examples: The first of them, with their line numbers.
    """

    imported: int
    known: int
    dropped: dict[str, int]
    examples: list[DroppedLine] = []


def import_runs(url: str | Path, workspace: Workspace, origins: Origins) -> ImportReport:
    """Take the lines of a file into a workspace; the same line is taken once, however often it is imported.

    Raises:
        ExportError: If the file cannot be read.
        JournalFull: If there is no space; what was taken by then stays, and the same call goes on.
    """
    lines = Demonstrations(
        str(url),
        agent=origins.agent,
        source=_SOURCES[origins.source],
        model=origins.model,
        form=origins.form,
    )
    there = {entry.id for entry in workspace.entries(Query(agent=origins.agent))}
    counts: Counter[str] = Counter()
    try:
        for found in lines.trajectories():
            run = _named(found, origins)
            if run.id in there:
                counts["known"] += 1
                continue
            there.add(run.id)
            try:
                record_run(workspace, run, origin="imported")
            except (CaptureError, UnreadableEvent) as problem:
                lines.drop(found.started_ns, "a value of the wrong type", str(problem))
                continue
            counts["imported"] += 1
    except BurnishError:
        raise
    except OSError as problem:
        raise ExportError(f"{url} cannot be read: {problem}", "a file of JSON lines") from problem
    finally:
        workspace.writer().flush()
    return ImportReport(
        imported=counts["imported"],
        known=counts["known"],
        dropped=dict(sorted(lines.reasons.items())),
        examples=lines.examples,
    )


def record_run(
    workspace: Workspace, run: Trajectory, *, origin: Literal["own", "imported"] = "own"
) -> None:
    """Write a run that is known as a whole into the journal, as if it had been captured.

    Args:
        workspace: Where it is written.
        run: The run.
        origin: Where its outcomes and its final state come from.

    Raises:
        CaptureError: If a fact is of a wrong type; nothing is written then.
        JournalFull: If there is no space.
    """
    told = list(events_of(run, time.time_ns(), door(workspace.home), origin=origin))
    blobs = {ref: blob for _, contents in told for ref, blob in contents.items()}
    workspace.writer().append_all([event for event, _ in told], blobs)


def _named(run: Trajectory, origins: Origins) -> Trajectory:
    """The run with an id of its own for each agent, and tags that tell what it may be used for."""
    tags = [*run.tags, *([f"license:{origins.license}"] if origins.license else [])]
    tags += [f"rights:{right}" for right in origins.rights]
    return msgspec.structs.replace(run, id=hash_json([origins.agent, run.id]), tags=tags)
