"""Implement `burnish readiness`: report before any cost if an agent can be retrained."""

from __future__ import annotations

from typing import Annotated

import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json


def readiness_app(
    agent: Annotated[str, typer.Argument(help="Agent, as declared in burnish.toml.")],
    canary: Annotated[bool, typer.Option(help="Check that a canary can start.")] = True,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Report what is ready for a retrain, what is missing and how to get it; exit code 1 if something blocks.

    Nothing is trained, run or asked of a model.

    Examples: `burnish readiness support`, `burnish readiness support --json`
    """
    from burnish import configure
    from burnish_trainer.evaluation.agent_project import load_agent
    from burnish_trainer.readiness.assembly import assemble_readiness
    from burnish_trainer.readiness.stage import encode_readiness, show_readiness

    if home is not None:
        configure(home=home)
    report = assemble_readiness(load_agent(agent), releases=canary)
    if as_json:
        print_json(encode_readiness(report))
    else:
        show_readiness(report)
    if not report.ready:
        raise typer.Exit(1)
