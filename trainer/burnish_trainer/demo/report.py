"""Write the result of a demo as one self-contained page: text, one table, pictures."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from burnish.files.output_files import write_output
from burnish_trainer.demo.scene import Scene
from burnish_trainer.report import pictures
from burnish_trainer.report.page import make_scrollable, wrap_page

Json = dict[str, Any]


def write_report(scene: Scene, facts: Json) -> Path:
    """Write the page and return its path.

    Args:
        scene: The demo.
        facts: As `burnish demo --json` writes them.
    """
    path = scene.options.html or scene.folder / "report.html"
    path = path.expanduser().absolute()
    write_output(path, render_page(facts), "--html")
    return path


def render_page(facts: Json) -> str:
    """Return the page as HTML."""
    last = facts["rounds"][-1]
    parts = [
        "<h1>An agent, polished by its own runs</h1>",
        f"<p class=big>{_format_percent(facts['rounds'][0]['heldout']['before'])} → "
        f"{_format_percent(last['heldout']['after'])} of held-out tasks</p>",
        f"<p>{_summary_text(facts)}</p>",
        "<h2>Success by round</h2>",
        make_scrollable(pictures.draw_success(facts["rounds"]), "success by round, picture"),
        make_scrollable(_success_table(facts), "success by round"),
    ]
    for number, one in enumerate(facts["rounds"], 1):
        parts += [
            f"<h2>Round {number}: selection of training runs</h2>",
            make_scrollable(pictures.draw_funnel(one["funnel"]), f"round {number}, runs kept"),
        ]
        parts += [f"<p>{_escape_text(_dropped_sentence(one['dropped']))}</p>"]
        parts += [
            f"<p>Gate: <b>{_escape_text(one['gate']['decision'])}</b>. {_escape_text('; '.join(one['gate']['reasons']))}</p>"
        ]
        parts += _canary_section(f"Round {number}: canary", one["canary"])
    parts += _canary_section("The bad adapter: rollback", facts["rollback"])
    shown = {k: v for k, v in facts.items() if k not in ("rounds", "canary", "rollback")}
    parts += [f"<h2>Conditions</h2><pre>{_escape_text(json.dumps(shown, indent=2))}</pre>"]
    return wrap_page("burnish demo", parts)


def _dropped_sentence(reasons: dict[str, int]) -> str:
    told = ", ".join(f"{count} for {reason!r}" for reason, count in reasons.items())
    return f"Dropped: {told}." if told else "Nothing was dropped."


def _summary_text(facts: Json) -> str:
    canary, bad, cost = facts["canary"], facts["rollback"], facts["overhead"]
    told = [
        f"{facts['trajectories']} recorded runs, {facts['seconds_total']:.0f} seconds, one small model on this machine."
    ]
    if canary:
        told.append(
            f"The canary {_escape_text(canary['decision'])} the new adapter after {canary['canary_threads']} threads on it."
        )
    if bad:
        told.append(
            f"A bad adapter, forced past the gate, was {_escape_text(bad['decision'].replace('_', ' '))} after "
            f"{bad['canary_threads']} threads."
        )
    told.append(f"Recording cost {cost['per_run_ms']:.2f} ms a run.")
    if facts["options"]["verify"] == "claim":
        told.append("It trained on the agent's own claims, which is why it did not improve.")
    return " ".join(told)


def _success_table(facts: Json) -> str:
    head = "".join(f"<th scope=col>round {n}</th>" for n in range(1, len(facts["rounds"]) + 1))
    rows = [f"<tr><td></td><th scope=col>before</th>{head}</tr>"]
    names = [*facts["rounds"][0]["by_kind"], "heldout", "standing", "capability"]
    for name in names:
        cells = [one["by_kind"].get(name) or one[name] for one in facts["rounds"]]
        told = _rate_cell(cells[0], "before") + "".join(_rate_cell(cell, "after") for cell in cells)
        rows.append(f"<tr><th scope=row>{_escape_text(name)}</th>{told}</tr>")
    return f"<table>{''.join(rows)}</table>"


def _rate_cell(cell: Json, key: str) -> str:
    low, high = cell[f"{key}_ci95"]
    return (
        f"<td>{_format_percent(cell[key])} <small>{100 * low:.0f} to {100 * high:.0f}</small></td>"
    )


def _canary_section(title: str, facts: Json | None) -> list[str]:
    if not facts or not facts.get("trail"):
        return []
    return [
        f"<h2>{_escape_text(title)}</h2>",
        make_scrollable(pictures.draw_evidence(facts["trail"], facts["events"]), title),
        f"<p>{_escape_text(facts['decision'])} after {facts['threads']} threads, {facts['canary_threads']} on the new adapter: "
        f"{_escape_text(facts['reason'])}</p>",
    ]


def _format_percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _escape_text(value: object) -> str:
    return html.escape(str(value))
