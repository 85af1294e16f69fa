"""Read the rounds of an agent from their receipts: what each did, and what changed against the one before.

`read_rounds` is the entry of `burnish rounds`.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec

from burnish.files.storage import BROKEN_JSON
from burnish.records import RetrainReport
from burnish_trainer.rounds.stages import list_runs, read_receipt, run_number


class RoundSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One round, as its receipts describe it."""

    number: int
    run_id: str
    status: str  # of its report; failed or unfinished without one
    began: str | None = None  # ISO 8601, UTC
    ended: str | None = None
    failed: dict[str, Any] | None = None  # stage and error of the last failure
    base_model: str | None = None
    objective: str = "sft"
    dataset: str | None = None
    rows: int | None = None
    prompts: list[str] = []  # hashes of the system prompts of its training rows
    tools: list[str] = []  # hashes of the tool schemas of its training rows
    before: str | None = None
    adapter: str | None = None
    gain: float | None = None
    heldout: dict[str, float] = {}  # success before and after
    decision: str | None = None
    reasons: list[str] = []
    forced: bool = False
    served: str | None = None  # last state of its adapter's rollout
    seconds: dict[str, float] = {}  # by stage
    changes: dict[str, list[Any]] = {}  # name -> value in the round before, value in this one


def read_rounds(home: Path, agent: str) -> list[RoundSummary]:
    """Return the rounds of an agent, oldest first.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
    """
    served = _read_served(home, agent)
    found: list[RoundSummary] = []
    before: dict[str, Any] = {}
    for folder in list_runs(home, agent):
        run = read_receipt(folder / "run.json")
        summary = _summarize(folder, run, served)
        facts = _compared_facts(summary, run)
        changes = _list_changes(before, facts) if found else {}
        found.append(msgspec.structs.replace(summary, changes=changes))
        before = facts
    return found


def _summarize(folder: Path, run: dict[str, Any], served: dict[str, str]) -> RoundSummary:
    report, stages = read_report(folder), _read_outputs(folder)
    evaluation = report.evaluation if report is not None else None
    heldout = None if evaluation is None else evaluation.pools.get("heldout")
    plan, settings = stages.get("plan") or {}, run.get("settings") or {}
    adapter = (stages.get("train") or {}).get("id")
    unfinished = "failed" if "failed" in run else "unfinished"
    return RoundSummary(
        number=run_number(folder.name),
        run_id=folder.name,
        status=report.status if report is not None else unfinished,
        began=_format_moment(run.get("began")),
        ended=_format_moment(run.get("ended")),
        failed=run.get("failed"),
        base_model=(settings.get("config") or {}).get("base_model"),
        objective=(plan.get("training") or {}).get("objective", "sft"),
        dataset=(stages.get("dataset") or {}).get("id"),
        rows=((stages.get("dataset") or {}).get("rows") or {}).get("train"),
        prompts=plan.get("prompts", []),
        tools=plan.get("tools", []),
        before=(stages.get("readiness") or {}).get("current"),
        adapter=adapter,
        gain=None if heldout is None else heldout.gain,
        heldout={}
        if heldout is None
        else {"before": heldout.before.rate, "after": heldout.after.rate},
        decision=(stages.get("gate") or {}).get("decision"),
        reasons=list(report.reasons) if report is not None else [],
        forced=bool((stages.get("register") or {}).get("forced")),
        served=served.get(adapter or ""),
        seconds={name: one["seconds"] for name, one in _read_receipts(folder).items()},
    )


def _compared_facts(summary: RoundSummary, run: dict[str, Any]) -> dict[str, Any]:
    """Return what is compared between rounds: the settings key by key, and the results."""
    settings = run.get("settings") or {}
    names = ("dataset", "rows", "prompts", "tools", "objective", "before", "adapter", "decision")
    return {
        **_flatten(settings.get("config") or {}, ""),
        **_flatten(settings.get("choice") or {}, ""),
        "code": str(settings.get("code", ""))[:12],
        **{name: getattr(summary, name) for name in names},
    }


def _flatten(table: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return a nested table by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and value:
            found |= _flatten(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _list_changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    names = [*after, *(name for name in before if name not in after)]
    return {
        name: [before.get(name), after.get(name)]
        for name in names
        if before.get(name) != after.get(name)
    }


def _read_served(home: Path, agent: str) -> dict[str, str]:
    """Return the last state of each adapter's rollout, from the audit trail."""
    from burnish.adapters import Registry  # the control store is heavy

    states = {"canary", "paused", "promoted", "rolled_back"}
    found: dict[str, str] = {}
    for one in Registry(home).audit(agent):
        if one["action"] in states and isinstance(one["detail"], dict):
            found[str(one["detail"].get("candidate"))] = one["action"]
    return found


def _read_receipts(folder: Path) -> dict[str, dict[str, Any]]:
    found = {path.stem: read_receipt(path) for path in (folder / "stages").glob("*.json")}
    return {name: one for name, one in found.items() if "inputs_sha256" in one}


def _read_outputs(folder: Path) -> dict[str, Any]:
    return {name: one["output"] for name, one in _read_receipts(folder).items()}


def _format_moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).isoformat(timespec="seconds")


def continues_from(report: RetrainReport, current: str | None) -> bool:
    """Report if the version in service is the one that a round compared with, or the one that it made."""
    before = report.evaluation.before if report.evaluation is not None else None
    return current in (before, report.adapter)


def describe_round(folder: Path, report: RetrainReport) -> str:
    """Return the name of a round with its result, as the beginning of a sentence."""
    return f"round {run_number(folder.name)} ({folder.name}, {report.status})"


def read_report(folder: Path) -> RetrainReport | None:
    """Return the report of a round; None if it has none that can be read."""
    try:
        return msgspec.json.decode((folder / "report.json").read_bytes(), type=RetrainReport)
    except (OSError, *BROKEN_JSON):
        return None
