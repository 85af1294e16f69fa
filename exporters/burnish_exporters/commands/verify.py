"""Define `burnish verify`: verify finished runs as they arrive, and measure the verifiers."""

from __future__ import annotations

import json
import select
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json, print_table, shorten_text

if TYPE_CHECKING:
    from burnish.records import Rate, Trajectory, Verdict
    from burnish_exporters.verify.trust.audit import AuditReport

app = typer.Typer(help="Verify runs, and measure the verifiers.", no_args_is_help=True)

Agent = Annotated[str, typer.Argument(help="Agent, as declared in burnish.toml.")]


@app.command("watch")
def watch_runs(
    agent: Agent,
    once: Annotated[
        bool, typer.Option("--once", help="Verify the finished runs once, then end.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.05, help="Seconds between two reads of the journal.")
    ] = 2.0,
    source: Annotated[
        str, typer.Option(help='Only runs of this source; "all" takes all.')
    ] = "production",
    home: Home = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON line for each verdict.")
    ] = False,
    end_with_input: Annotated[
        bool,
        typer.Option("--end-with-input", help="End when standard input is closed.", hidden=True),
    ] = False,
) -> None:
    """Verify finished runs as they arrive, and record the verdicts; a canary can decide on them.

    Ctrl-C ends it; the same command continues and verifies no run twice.

    Examples: `burnish verify watch support`, `burnish verify watch support --once --json`
    """
    from burnish.workspace import Workspace
    from burnish_exporters.verify import PoolSettings
    from burnish_exporters.verify.running.watching import Watch

    verifiers, _, trusted = _declared_verifiers(agent)
    settings = PoolSettings(trust_received=trusted)
    chosen = None if source == "all" else source
    warned: set[str] = set()
    with Watch(Workspace(home), agent, verifiers, source=chosen, settings=settings) as watching:
        while True:
            for trajectory, verdict in watching.look():
                _print_verdict(trajectory, verdict, as_json)
                _print_warning(verdict, warned)
            if once:
                return
            if not end_with_input:
                time.sleep(every)
            elif select.select([sys.stdin], [], [], every)[0]:
                return


@app.command("audit")
def audit_verifiers(
    agent: Agent,
    draw: Annotated[
        int | None, typer.Option(min=1, help="Draw this many runs for people to label.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    floor: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Least lower bound of precision; by default that of burnish.toml."
        ),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Measure the verifiers against people's labels of a random sample.

    A verifier whose lower bound of precision lies below the floor admits no run to training.

    Examples: `burnish verify audit support --draw 100`, then `burnish label run support`, then
    `burnish verify audit support`
    """
    from burnish.workspace import Workspace
    from burnish_exporters.verify.trust.audit import audit_agent
    from burnish_exporters.verify.trust.audit import draw as draw_sample

    workspace, (verifiers, declared, _) = Workspace(home), _declared_verifiers(agent)
    if draw is not None:
        drawn = draw_sample(workspace, agent, draw, seed=seed)
        if as_json:
            print_json(drawn)
        else:
            typer.echo(f"{len(drawn.ids)} of {drawn.of} finished runs were drawn")
            typer.echo(f"now label them: burnish label run {agent}")
        return
    report = audit_agent(workspace, agent, verifiers, floor=declared if floor is None else floor)
    if as_json:
        print_json(report)
    else:
        _print_report(report)


@app.command("list")
def list_verifiers(
    as_json: AsJson = False,
) -> None:
    """List the verifiers that `verify` in burnish.toml can name.

    Example: `burnish verify list`
    """
    from burnish_exporters.verify.registry import described

    found = described()
    if as_json:
        print_json(found)
    else:
        print_table("verifiers", ["name", "what it is"], found.items())


def _declared_verifiers(agent: str) -> tuple[list[Any], float, tuple[str, ...]]:
    """Verifiers, floor and trusted sources of burnish.toml."""
    from burnish.project import load_project
    from burnish_exporters.verify import make_verifiers

    project = load_project()
    config = project.agent(agent)
    made = make_verifiers(config.verify, project.folder, trust_received=config.trust_received)
    return made, config.dataset.verifier_floor, tuple(config.trust_received)


def _print_verdict(trajectory: Trajectory, verdict: Verdict, as_json: bool) -> None:
    if as_json:
        facts = {"trajectory_id": trajectory.id, "thread_id": trajectory.thread_id}
        said = {k: v for k, v in msgspec.to_builtins(verdict).items() if v is not None}
        typer.echo(json.dumps({**facts, **said}))
        return
    typer.echo(
        f"{trajectory.id[:12]}  {verdict.label:8}{verdict.verifier}  {shorten_text(trajectory.answer, 50)}"
    )


def _print_warning(verdict: Verdict, warned: set[str]) -> None:
    """Print a verifier's warning once, on standard error."""
    found = verdict.evidence.get("warning") if isinstance(verdict.evidence, dict) else None
    if isinstance(found, str) and found not in warned:
        warned.add(found)
        typer.echo(f"warning: {verdict.verifier}: {found}", err=True)


def _print_report(report: AuditReport) -> None:
    from burnish_exporters.verify.trust.verifier_quality import count_missing_labels

    typer.echo(f"{report.labelled} of {report.drawn} drawn runs are labelled")
    columns = ["verifier", "precision", "recall", "unknown", "trusted"]
    print_table(
        f"verifiers of {report.agent} (floor {report.floor:g})",
        columns,
        (
            (
                name,
                _format_rate(q.precision),
                _format_rate(q.recall),
                q.unknown,
                "yes" if q.trusted else "no",
            )
            for name, q in report.verifiers.items()
        ),
    )
    for name, quality in report.verifiers.items():
        if missing := count_missing_labels(quality.precision, report.floor):
            typer.echo(
                f"{name}: {quality.precision.total} of its successes are labelled, the floor counts from "
                f"{quality.precision.total + missing} on: {missing} are missing"
            )
    for judge, rounds in report.rounds.items():
        print_table(
            f"{judge} against the checks, round by round",
            ["adapter", "runs", "judge", "checks", "differ"],
            (
                (
                    r.adapter or "base",
                    r.runs,
                    f"{r.judge:.0%}",
                    f"{r.check:.0%}",
                    f"{r.divergence:.0%}",
                )
                for r in rounds
            ),
        )


def _format_rate(rate: Rate) -> str:
    return (
        f"{rate.rate:.0%} [{rate.low:.0%}, {rate.high:.0%}] of {rate.total}" if rate.total else "-"
    )
