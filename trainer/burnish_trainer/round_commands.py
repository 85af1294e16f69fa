"""Define `burnish retrain`, `burnish plan` and `burnish rounds`.

Exit codes: 0 done or nothing new, 1 a burnish error that names the next command, 2 wrong usage, 3 the gate did not promote,
130 interrupted.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json, print_table, print_wide_table, shorten_text
from burnish.errors import SettingsError
from burnish.files.storage import BROKEN_JSON
from burnish.records import RetrainReport
from burnish_trainer.rounds.history import RoundSummary

NOT_PROMOTED = 3
_RESULTS = ("dataset", "rows", "adapter", "decision")  # columns of their own

Agent = Annotated[str, typer.Argument(help="Agent, as declared in burnish.toml.")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting for this call, such as train.epochs=4."),
]

Prompt = Annotated[
    str | None,
    typer.Option(help="Prompt version to evaluate and roll out too; by default that in service."),
]

retrain_app = typer.Typer()
"""The command `burnish retrain`."""


@retrain_app.command("retrain")
def run_retrain(
    agent: Agent,
    setting: Setting = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Continue in spite of what readiness or the gate refuses; the registry records it.",
        ),
    ] = False,
    canary: Annotated[bool, typer.Option(help="Start the canary at the end.")] = True,
    prompt: Prompt = None,
    again: Annotated[
        bool, typer.Option("--again", help="Run a round even if nothing is new since the last one.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Stop after the plan; the next call continues there.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Train without asking whether the plan is right.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Turn the verified runs of an agent into an adapter, evaluate it, and start its canary.

    An interrupted call continues where it stopped, and a call with nothing new does nothing. On a terminal the command shows
    its plan and asks before it trains.

    Examples: `burnish retrain support`, `burnish retrain support --set train.epochs=4 --no-canary`,
    `burnish retrain support --dry-run`
    """
    from burnish import configure
    from burnish_trainer import console
    from burnish_trainer.retrain import retrain

    if home is not None:
        configure(home=home)
    overrides = parse_settings(setting or [])
    if not canary and "canary" in overrides:
        raise SettingsError(
            "--no-canary together with a setting of the canary", "one of them", "leave one out"
        )
    chosen: Any = overrides.pop("canary", canary)
    approve = None if yes or as_json else _approve_plan
    with console.silenced(as_json):
        report = retrain(
            agent,
            force=force,
            canary=chosen,
            again=again,
            dry_run=dry_run,
            approve=approve,
            prompt=prompt,
            **overrides,
        )
    _show_retrain(report, as_json)


def plan_app(
    agent: Agent,
    setting: Setting = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show what a retrain would do and cost: rows, tokens, steps, time, memory, attempts.

    It runs the stages up to the plan and changes nothing in service; `burnish retrain` with the same settings continues there.

    Examples: `burnish plan support`, `burnish plan support --set train.epochs=4 --json`
    """
    from burnish import configure
    from burnish_trainer import console
    from burnish_trainer.retrain import retrain
    from burnish_trainer.rounds.planning import read_plan

    if home is not None:
        configure(home=home)
    with console.silenced(as_json):
        report = retrain(agent, dry_run=True, **parse_settings(setting or []))
    if as_json:
        print_json({**msgspec.to_builtins(report), "plan": read_plan(Path(report.path))})
    else:
        _show_retrain(report, as_json)


def rounds_app(
    agent: Agent,
    number: Annotated[
        int | None, typer.Argument(help="Number of a round to show.", show_default="all rounds")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the rounds of an agent, or show one: its result, and what changed against the round before.

    Examples: `burnish rounds support`, `burnish rounds support 3`, `burnish rounds support --json`
    """
    import burnish
    from burnish.agent_names import require_agent
    from burnish_trainer.rounds.history import read_rounds
    from burnish_trainer.rounds.hooks import read_hook_counts

    workspace = burnish.Workspace(home)
    require_agent(agent, workspace)
    folder = workspace.home
    found = read_rounds(folder, agent)
    if number is not None:
        found = [one for one in found if one.number == number]
        if not found:
            raise SettingsError(
                f"no round {number} of {agent!r} in {folder / 'runs'}",
                "the number of a round",
                f"burnish rounds {agent}",
            )
    if as_json:
        shown: Any = {"rounds": found, "hooks": read_hook_counts(folder, agent)}
        print_json(shown if number is None else found[0])
    elif number is None:
        _list_rounds(agent, found, read_hook_counts(folder, agent))
    else:
        _show_round(found[0])


def loop_app(
    agent: Agent,
    setting: Setting = None,
    every: Annotated[
        str | None,
        typer.Option(help='Time between two rounds, such as "6h"; by default as in burnish.toml.'),
    ] = None,
    min_new_successes: Annotated[
        int | None, typer.Option(min=0, help="New verified successes that a round waits for.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Look once, without waiting for the interval, then end.")
    ] = False,
    print_cron: Annotated[
        bool, typer.Option("--print-cron", help="Print the line of a crontab, and end.")
    ] = False,
    home: Home = None,
) -> None:
    """Retrain again and again: at an interval, after enough new verified successes, or both.

    One loop of an agent runs at a time. It verifies finished runs, lets the canary judge its threads, and calls the hooks of
    `[agent.NAME.loop]`. Ctrl-C or SIGTERM ends it; the next loop continues an interrupted round.

    Examples: `burnish loop support --every 6h`, `burnish loop support --min-new-successes 200`,
    `burnish loop support --every 6h --print-cron`
    """
    from burnish import configure
    from burnish_trainer import console
    from burnish_trainer.evaluation.agent_project import load_agent
    from burnish_trainer.loop import apply_schedule, make_cron_line, open_loop

    if home is not None:
        configure(home=home)
    subject = apply_schedule(load_agent(agent), every, min_new_successes)
    if print_cron:
        typer.echo(make_cron_line(subject))
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if open_loop(subject, **parse_settings(setting or [])).run(once=once):
            sys.stderr.flush()
            os.execv(sys.executable, [sys.executable, "-m", "burnish.cli", *sys.argv[1:]])  # noqa: S606
    except KeyboardInterrupt:
        console.say("the loop ended; the next one continues an interrupted round")
    finally:
        signal.signal(signal.SIGTERM, before)


def _list_rounds(agent: str, found: list[RoundSummary], hooks: dict[str, dict[str, Any]]) -> None:
    columns = [
        "round",
        "began",
        "status",
        "dataset",
        "rows",
        "adapter",
        "gain",
        "served",
        "changed",
    ]
    rows = [
        (
            one.number,
            (one.began or "-").removesuffix("+00:00"),
            one.status,
            one.dataset,
            one.rows,
            one.adapter,
            None if one.gain is None else f"{100 * one.gain:+.1f}",
            one.served,
            ", ".join(name for name in one.changes if name not in _RESULTS),
        )
        for one in found
    ]
    (print_wide_table if rows else print_table)(f"rounds of {agent}", columns, rows)
    for name, counts in hooks.items():
        if counts.get("failed"):
            failed, sent = counts["failed"], counts["sent"]
            typer.echo(f"hook {name}: {sent} sent, {failed} failed: {counts.get('last_error')}")


def _show_round(one: RoundSummary) -> None:
    facts = msgspec.to_builtins(one)
    changes = facts.pop("changes")
    rows = [(name, _shorten(value)) for name, value in facts.items() if value not in (None, [], {})]
    print_table(f"round {one.number} of {one.run_id}", ["", ""], rows)
    print_table(
        "changed against the round before",
        ["", "before", "now"],
        [(name, _shorten(before), _shorten(now)) for name, (before, now) in changes.items()],
    )


def _shorten(value: Any) -> str:
    return shorten_text(value if isinstance(value, str) else json.dumps(value), 120)


def _approve_plan(_plan: dict[str, Any]) -> bool:
    """Ask on a terminal if the plan, which was printed, is right; elsewhere say that it is not asked."""
    from burnish_trainer import console

    if not sys.stdin.isatty():
        console.say("  [dim]no terminal to ask on: the round continues, as with --yes[/]")
        return True
    return typer.confirm("train and evaluate?", default=True, err=True)


def _show_retrain(report: RetrainReport, as_json: bool) -> None:
    """Print the result of a retrain, and end with the exit code of its decision."""
    from burnish_trainer import console

    if as_json:
        print_json(report)
    else:
        console.say("[bold]{}[/]: {}", report.status, "; ".join(report.reasons))
        console.say("  report in {}", report.path)
    if report.status in ("rejected", "inconclusive"):
        raise typer.Exit(NOT_PROMOTED)


def parse_settings(given: list[str]) -> dict[str, Any]:
    """Read overrides from `table.key=value`; values are JSON, or else text.

    Args:
        given: The values of `--set`.

    Raises:
        SettingsError: An override has another form.
    """
    found: dict[str, Any] = {}
    for one in given:
        path, equals, text = one.partition("=")
        keys = path.split(".")
        if not equals or not all(keys) or len(keys) > 2:
            raise SettingsError(f"--set {one}", "table.key=value", "--set train.epochs=4")
        try:
            value: Any = msgspec.json.decode(text.encode())
        except BROKEN_JSON:
            value = text
        if len(keys) == 1:
            found[keys[0]] = value
        else:
            found.setdefault(keys[0], {})[keys[1]] = value
    return found
