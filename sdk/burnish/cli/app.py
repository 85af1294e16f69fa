"""Build the tree of commands: those of the SDK, and those of other packages, by entry point."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from burnish._version import __version__
from burnish.cli import (
    adapters,
    canary,
    compare,
    doctor,
    init,
    journal,
    lineage,
    prompts,
    serve,
    traces,
)
from burnish.cli.output import INTERRUPTED, report_interrupt

EPILOG = "Exit codes: 0 done, 1 explained error, 2 wrong usage, 3 not promoted, 130 interrupted."


class Commands(TyperGroup):
    """The root of the tree; it reports an interrupted command, which typer does not."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command.

        Args:
            ctx: Typer's context of the command line.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            report_interrupt()
            raise typer.Exit(INTERRUPTED) from None


def build_app() -> typer.Typer:
    """Build the whole command line, with the commands of every installed package."""
    app = typer.Typer(
        name="burnish",
        cls=Commands,
        help="Agents polished by their own runs: trace, verify, train, swap.",
        epilog=EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    app.callback()(_root_command)
    traces.app.command("ship")(journal.ship_traces)
    app.add_typer(traces.app, name="traces")
    app.add_typer(canary.app, name="canary")
    app.add_typer(adapters.app, name="adapters")
    app.add_typer(prompts.app, name="prompts")
    app.command("init")(init.init)
    app.command("serve")(serve.serve_model)
    app.command("doctor")(doctor.run_doctor)
    app.command("lineage")(lineage.show_lineage)
    app.command("compare")(compare.compare_results)
    app.command("receive")(journal.receive_spans)
    app.command("forget")(journal.forget_runs)
    app.command("archive")(journal.archive_journal)
    for name, command in _list_commands().items():
        _mount_command(app, name, command)
    return app


def _list_commands() -> dict[str, object]:
    """Return the commands of other packages by name.

    An entry point names one; the module that it lies in may list more under COMMANDS, which need no new installation.
    """
    found: dict[str, object] = {}
    for entry in sorted(entry_points(group="burnish.commands"), key=lambda known: known.name):
        found[entry.name] = entry.load()
        found.update(getattr(sys.modules[entry.module], "COMMANDS", {}))
    return found


def _mount_command(app: typer.Typer, name: str, command: object) -> None:
    """Add a command or a group of commands.

    A command named "group.name" joins the group of another package. A Typer whose only command has the given name is
    added as that command.
    """
    group, dot, leaf = name.rpartition(".")
    if dot:
        groups = {known.name: known.typer_instance for known in app.registered_groups}
        if group not in groups:
            return
        app = groups[group] or app
        app.registered_commands = [known for known in app.registered_commands if known.name != leaf]
    if isinstance(command, typer.Typer):
        if [known.name for known in command.registered_commands] != [leaf]:
            app.add_typer(command, name=leaf)
            return
        command = command.registered_commands[0].callback
    if callable(command):
        app.command(leaf)(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"burnish {__version__}")
        raise typer.Exit


def _root_command(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Agents polished by their own runs: trace, verify, train, swap."""
