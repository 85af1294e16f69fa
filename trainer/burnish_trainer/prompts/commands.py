"""Define `burnish optimize-prompt` and `burnish canary start`."""

from __future__ import annotations

import signal
from typing import Annotated, Any

import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json, print_table
from burnish.errors import CanaryError

_NOT_PROMOTED = 3

Agent = Annotated[str, typer.Argument(help="Agent, as declared in burnish.toml.")]


def optimize_app(
    agent: Agent,
    reflection: Annotated[
        str,
        typer.Option(
            help='Chat model that proposes prompts: "module:NAME", or "URL#MODEL" of an OpenAI-compatible server.'
        ),
    ],
    budget: Annotated[
        int, typer.Option(min=1, help="Most attempts at training tasks in all.")
    ] = 150,
    tasks: Annotated[int, typer.Option(min=4, help="Largest number of training tasks.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of tasks and proposals.")] = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget an earlier optimisation with these settings.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Find a better prompt with GEPA on training tasks, prove it on held-out tasks, and register it.

    An interrupted call (Ctrl-C, SIGTERM, kill) continues with the same command, and so does one with a larger budget. The
    reflection model reads the recorded runs. Nothing in service changes: `burnish canary start` rolls the prompt out.

    Examples: `burnish optimize-prompt support --reflection models:writer`,
    `burnish optimize-prompt support --reflection http://localhost:8000/v1#qwen --budget 300`
    """
    from burnish import configure
    from burnish_trainer import console
    from burnish_trainer.prompts.optimization import OptimizationOptions, optimize_prompt

    if home is not None:
        configure(home=home)
    options = OptimizationOptions(budget=budget, tasks=tasks, seed=seed, fresh=fresh)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with console.silenced(as_json):
            report = optimize_prompt(agent, reflection, options)
    finally:
        signal.signal(signal.SIGTERM, before)
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if report["status"] in ("reject", "inconclusive"):
        raise typer.Exit(_NOT_PROMOTED)


def start_app(
    agent: Agent,
    adapter: Annotated[
        str | None, typer.Option(help="Adapter version; by default the one in service.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Prompt version; by default the one in service.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Start the canary of a registered version: an adapter, a prompt, or both together.

    `burnish retrain`, `burnish optimize-prompt` and `burnish eval --register` register versions.

    Example: `burnish canary start support --prompt support-prompt@4f1c2a90b3e0`
    """
    from burnish import configure
    from burnish_trainer.evaluation.agent_project import load_agent
    from burnish_trainer.release import choose_version, start_canary

    if adapter is None and prompt is None:
        raise CanaryError(
            "no version is named",
            "--adapter, --prompt or both",
            f"burnish prompts list {agent}, or burnish adapters list",
        )
    if home is not None:
        configure(home=home)
    subject = load_agent(agent)
    version = choose_version(subject, adapter, prompt)
    status = start_canary(subject, version.adapter, prompt=version.prompt)
    if as_json:
        print_json(status)
    else:
        typer.echo(f"{status['state']} at {status['share']:.0%} of threads: {version.label}")


def _print_report(report: dict[str, Any]) -> None:
    score, tasks, model = report["score"], report["tasks"], report["reflection"]
    rows: list[tuple[str, Any]] = [
        ("status", report["status"]),
        ("prompt", report["prompt"] or "no better one"),
        ("proof", report["power"]),
        ("on training tasks", f"{score['before']:.1%} -> {score['best']:.1%}"),
        (
            "attempts",
            f"{report['attempts']} of {report['options']['budget']} ({report['unknown']} without a verdict)",
        ),
        ("candidates", report["candidates"]),
        (
            "training tasks",
            f"{tasks['train']} ({tasks['dropped']} dropped: they measure the agent)",
        ),
        ("reflection model", f"{model['model']}: {model['calls']} calls"),
        *((f"failed {count} times", error) for error, count in model["failures"].items()),
        *(("reason", reason) for reason in report.get("reasons", [])),
    ]
    print_table(f"prompt of {report['agent']}", ["fact", "value"], rows)
    if report["prompt"]:
        typer.echo(f"next: burnish prompts show {report['prompt']}")
        if report["undecided"]:
            typer.echo(
                f"      burnish eval {report['agent']} --prompt {report['prompt']} --register"
            )
    if report["status"] == "promote":
        typer.echo(f"      burnish canary start {report['agent']} --prompt {report['prompt']}")
