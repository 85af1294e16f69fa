"""Print the result of a demo on the terminal as one table."""

from __future__ import annotations

from typing import Any

from burnish_trainer import console

Json = dict[str, Any]


def print_facts(facts: Json) -> None:
    """Print the table.

    Args:
        facts: As `burnish demo --json` writes them.
    """
    from rich import box
    from rich.table import Table

    table = Table(
        title="success in %, with 95 % intervals",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("tasks", no_wrap=True)
    table.add_column("before", justify="right", no_wrap=True)
    for number in range(1, len(facts["rounds"]) + 1):
        table.add_column(f"round {number}", justify="right", no_wrap=True)
    first = facts["rounds"][0]
    for kind in first["by_kind"]:
        cells = [one["by_kind"][kind] for one in facts["rounds"]]
        _table_row(table, kind, cells)
    table.add_section()
    for pool in ("heldout", "standing", "capability"):
        _table_row(
            table,
            "held-out" if pool == "heldout" else pool,
            [one[pool] for one in facts["rounds"]],
        )
    console.say("")
    console.show(table)
    for line in _summary_lines(facts):
        console.say("{}", line)


def _table_row(table: Any, name: str, cells: list[Json]) -> None:
    first = cells[0]
    told = [_format_rate(first["before"], first["before_ci95"])]
    table.add_row(name, *told, *(_format_rate(cell["after"], cell["after_ci95"]) for cell in cells))


def _format_rate(rate: float, ends: list[float]) -> str:
    return f"{100 * rate:.1f} [{100 * ends[0]:.0f},{100 * ends[1]:.0f}]"


def _summary_lines(facts: Json) -> list[str]:
    last = facts["rounds"][-1]["heldout"]
    lines = [
        f"gain of the last round {100 * last['gain']:+.1f} points "
        f"[{100 * last['ci95'][0]:+.1f}, {100 * last['ci95'][1]:+.1f}], "
        f"{last['won']} tasks won, {last['lost']} lost"
    ]
    gate = facts["rounds"][-1]["gate"]
    lines.append(f"gate      {gate['decision']}: {'; '.join(gate['reasons'])}")
    canary, bad = facts["canary"], facts["rollback"]
    if canary:
        lines.append(
            f"canary    {canary['decision']} after {canary['threads']} threads, "
            f"{canary['canary_threads']} of them on the new adapter, in {canary['seconds']:.0f} s"
        )
    else:
        lines.append("canary    none: the gate promoted no adapter")
    if bad:
        lines.append(
            f"rollback  bad adapter ({100 * bad['heldout']['gain']:+.1f} points, forced) "
            f"{bad['decision']} after {bad['canary_threads']} canary threads, "
            f"in {bad['seconds']:.0f} s; {bad['dropped']} requests dropped"
        )
    cost = facts["overhead"]
    lines.append(
        f"costs     recording {cost['per_run_ms']:.2f} ms a run ({cost['percent']:.1f} %), "
        f"swap {facts['swap_ms'] or 0:.0f} ms; {facts['trajectories']} trajectories, "
        f"{facts['seconds_total']:.0f} s in all"
    )
    if facts["options"]["verify"] == "claim":
        lines.append(
            "[yellow]trained on the agent's own claims of success, which is why burnish asks for facts[/]"
        )
    return lines
