"""Run the first stage of a retrain: report what is known before a stage costs time, and stop at what blocks.

`require_readiness` is the entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from burnish.errors import NotReady
from burnish.files.storage import make_private_folder
from burnish_trainer import console
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.readiness.assembly import ReadinessChecks
from burnish_trainer.readiness.records import ReadinessReport

_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "blocks": "bold red"}
_HOLDS = {True: "holds", False: "does not hold", None: "not known"}


@dataclass(frozen=True, slots=True)
class ReadinessChoice:
    """The options of a retrain that readiness depends on.

    Attributes:
        releases: A canary starts at the end.
        force: Continue in spite of what blocks.
    """

    releases: bool = True
    force: bool = False


def require_readiness(
    subject: AgentProject, choice: ReadinessChoice, folder: Path | None = None
) -> dict[str, Any]:
    """Print the readiness report, stop at what blocks, and return the facts that later stages depend on.

    Args:
        subject: The agent.
        choice: Options of the retrain.
        folder: Folder of the run; the report is written to `readiness.json` in it.

    Returns:
        `current`: the adapter in service; `prompt`: its prompt version, if it has one; `base_sha256`; `pools`: tasks by pool; `verifiers`: their names;
        `overridden`: what blocked and was forced.

    Raises:
        NotReady: Something blocks, and the retrain is not forced.
        BurnishError: Something is missing that no retrain can do without.
    """
    from burnish_trainer.release import current_version
    from burnish_trainer.run.storage import write_json

    checks = ReadinessChecks(subject, releases=choice.releases)
    report = checks.run()
    show_readiness(report)
    if folder is not None:
        make_private_folder(folder)
        write_json(folder / "readiness.json", encode_readiness(report))
    if checks.errors:
        raise checks.errors[0]
    if report.blocking and not choice.force:
        raise describe_blocking(report)
    overridden = [f"{finding.check}: {finding.found}" for finding in report.blocking]
    for line in overridden:
        console.say("  [bold red]forced[/]: {}", line)
    current = current_version(subject)
    prompt = {} if current.prompt is None else {"prompt": current.prompt}
    return {"current": current.adapter, **prompt, **checks.facts, "overridden": overridden}


def describe_blocking(report: ReadinessReport) -> NotReady:
    """Return the error that names everything that blocks."""
    found = "; ".join(finding.found for finding in report.blocking)
    fixes = list(dict.fromkeys(finding.fix for finding in report.blocking if finding.fix))
    return NotReady(
        f"{report.agent} is not ready: {found}",
        "nothing that blocks in burnish readiness",
        "; ".join([*fixes[:2], "or --force, which the lineage records"]),
    )


def show_readiness(report: ReadinessReport) -> None:
    """Print the report as tables on standard error."""
    if console.is_quiet():
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"readiness of {report.agent}", title_justify="left")
    for column in ("", "check", "found", "try"):
        table.add_column(column, overflow="fold")
    for finding in report.findings:
        mark = Text(finding.level, style=_COLOURS[finding.level])
        table.add_row(mark, Text(finding.check), Text(finding.found), Text(finding.fix))
    console.show(table)
    reasons = Table(title="reasons to train", title_justify="left")
    for column in ("", "reason", "evidence"):
        reasons.add_column(column, overflow="fold")
    for reason in report.reasons:
        reasons.add_row(_HOLDS[reason.holds], Text(reason.reason), Text(reason.evidence))
    console.show(reasons)


def encode_readiness(report: ReadinessReport) -> dict[str, Any]:
    """Return the report as plain data, with `ready`."""
    return {"ready": report.ready, **msgspec.to_builtins(report)}
