"""Import demonstrations of people and runs of teachers into a workspace.

`import_runs` takes each line once and counts the dropped ones. Imported runs enter by the journal, as captured runs
do:
they are verified, curated, redacted, shipped, archived and forgotten like every other run, and stay after the file is
gone.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec

from burnish.capture.content.redaction_door import door
from burnish.capture.recorder.whole_runs import events_of
from burnish.errors import BurnishError, CaptureError, ExportError, UnreadableEvent
from burnish.journal.index.trajectory_index import Query
from burnish.records import Trajectory
from burnish.workspace import Workspace
from burnish_exporters.rows.canonical_json import hash_json
from burnish_exporters.sources.demonstrations import Demonstrations, DroppedLine

LineAuthor = Literal["human", "teacher"]
_SOURCES: dict[LineAuthor, Literal["demonstration", "teacher"]] = {
    "human": "demonstration",
    "teacher": "teacher",
}


class ImportFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about all lines of a file.

    Attributes:
        agent: Agent that the runs are for.
        source: Author of the runs: people, or another model.
        model: Name of the other model.
        form: Form of the lines; None accepts either.
        license: SPDX id of their licence; it becomes a tag `license:...` of each run.
        rights: Permitted uses; each becomes a tag `rights:...`.
    """

    agent: str
    source: LineAuthor
    model: str | None = None
    form: Literal["openai", "sharegpt"] | None = None
    license: str | None = None
    rights: list[str] = []


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of importing a file of runs.

    Attributes:
        imported: Lines that became runs of the workspace.
        known: Lines that the workspace already held, or that occur twice in the file.
        dropped: Lines that hold no run, by reason.
        examples: The first of them, with their line numbers.
    """

    imported: int
    known: int
    dropped: dict[str, int]
    examples: list[DroppedLine] = []


def import_runs(url: str | Path, workspace: Workspace, origins: ImportFacts) -> ImportReport:
    """Import the lines of a file into a workspace; the same line is imported once, however often the file is read.

    Raises:
        ExportError: If the file cannot be read.
        JournalFull: If there is no space; the runs so far stay, and the same call continues.
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
            run = _identify_run(found, origins)
            if run.id in there:
                counts["known"] += 1
                continue
            there.add(run.id)
            try:
                record_run(workspace, run, origin="imported")
            except (CaptureError, UnreadableEvent) as problem:
                lines.drop_line(found.started_ns, "a value of the wrong type", str(problem))
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
    """Write a complete run into the journal, as if it had been captured.

    Args:
        workspace: Workspace to write to.
        run: The run.
        origin: Origin of its outcomes and its final state.

    Raises:
        CaptureError: If a fact is of a wrong type; nothing is written then.
        JournalFull: If there is no space.
    """
    told = list(events_of(run, time.time_ns(), door(workspace.home), origin=origin))
    blobs = {ref: blob for _, contents in told for ref, blob in contents.items()}
    workspace.writer().append_all([event for event, _ in told], blobs)


def _identify_run(run: Trajectory, origins: ImportFacts) -> Trajectory:
    """Return the run with an id per agent, and with tags for its permitted uses."""
    tags = [*run.tags, *([f"license:{origins.license}"] if origins.license else [])]
    tags += [f"rights:{right}" for right in origins.rights]
    return msgspec.structs.replace(run, id=hash_json([origins.agent, run.id]), tags=tags)
