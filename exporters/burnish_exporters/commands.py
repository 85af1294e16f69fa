"""`burnish dataset`: build and look at dataset versions.

Knows: the commands and how their results are printed. Does not know: how a version is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from burnish.cli.output import print_json, print_table
from burnish.errors import ExportError

app = typer.Typer(help="Build and look at dataset versions.", no_args_is_help=True)

Home = Annotated[
    Path | None, typer.Option("--home", help="Folder of the workspace.", show_default=".burnish")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command("build")
def build(
    agent: Annotated[str, typer.Argument(help="Agent, as declared in burnish.toml.")],
    name: Annotated[str | None, typer.Option(help="Name of the dataset.")] = None,
    max_per_task: Annotated[
        int | None, typer.Option(min=1, help="Most runs of one task; else as in burnish.toml.")
    ] = None,
    heldout: Annotated[
        float, typer.Option(min=0, max=1, help="Share of groups that is held out.")
    ] = 0.0,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Turn the verified runs of an agent into a dataset version.

    Example: `burnish dataset build support --heldout 0.1`
    """
    from burnish.project import load_project
    from burnish.workspace import Workspace
    from burnish_exporters.pipeline import build_dataset
    from burnish_exporters.verify import make_verifiers

    project = load_project()
    config = project.agent(agent)
    recipe: dict[str, Any] = {**msgspec.structs.asdict(config.dataset), "heldout": heldout}
    if max_per_task is not None:
        recipe["max_per_task"] = max_per_task
    version = build_dataset(
        Workspace(home),
        agent=agent,
        verify=make_verifiers(config.verify, project.folder),
        recipe=recipe,
        name=name,
    )
    _print_version(version.path, as_json)


@app.command("show")
def show(
    version: Annotated[
        str, typer.Argument(help="Id of a version, its beginning, or a dataset's name.")
    ],
    rows: Annotated[int, typer.Option(min=0, help="Print so many rows too.")] = 0,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show a dataset version: its rows, its funnel, who verified them.

    Example: `burnish dataset show support --rows 1`
    """
    _print_version(find_version(version, home), as_json, rows)


@app.command("list")
def list_versions(home: Home = None, as_json: AsJson = False) -> None:
    """List the dataset versions of the workspace, newest first.

    Example: `burnish dataset list`
    """
    from burnish_exporters.dataset import DatasetVersion

    found = [DatasetVersion.open(folder).manifest for folder in _folders(home)]
    if as_json:
        print_json(found)
        return
    columns = ["id", "agent", "created", "rows"]
    cells = ((m.id, m.agent, m.created_at, _counts(m.rows)) for m in found)
    print_table("dataset versions", columns, cells)


@app.command("verify")
def verify_version(
    version: Annotated[str, typer.Argument(help="Id of a version, or its beginning.")],
    home: Home = None,
) -> None:
    """Check that a version's rows and recipe are those that its name was made from.

    Example: `burnish dataset verify support@4f1c2a`
    """
    from burnish_exporters.dataset import DatasetVersion

    found = DatasetVersion.open(find_version(version, home))
    found.verify()
    typer.echo(f"{found.id} is unaltered")


def find_version(wanted: str, home: Path | None) -> Path:
    """Folder of the newest version whose id begins with `wanted`.

    Raises:
        ExportError: If there is none.
    """
    for folder in _folders(home):
        if folder.name == wanted or folder.name.startswith(wanted):
            return folder
    known = ", ".join(folder.name for folder in _folders(home)[:5])
    raise ExportError(
        f"no dataset version {wanted!r}",
        f"one of {known}" if known else "a version that was built",
        "burnish dataset build AGENT",
    )


def _folders(home: Path | None) -> list[Path]:
    """Folders of all versions, newest first."""
    from burnish import settings

    datasets = (home or settings.current().home) / "datasets"
    found = [path.parent for path in datasets.glob("[!.]*@*/manifest.json")]
    return sorted(found, key=_age, reverse=True)


def _age(folder: Path) -> tuple[float, str]:
    return (folder / "manifest.json").stat().st_mtime, folder.name


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _print_version(path: Path, as_json: bool, rows: int = 0) -> None:
    from itertools import islice

    from burnish_exporters.dataset import DatasetVersion

    version = DatasetVersion.open(path)
    manifest = version.manifest
    shown = list(islice(version.rows(), rows))
    if as_json:
        facts = {**msgspec.to_builtins(manifest), "path": str(path)}
        print_json({**facts, "first_rows": shown} if rows else facts)
        return
    verified = ", ".join(f"{v['name']} {v['version']}" for v in manifest.verifiers)
    facts = [
        ("folder", path),
        ("rows", _counts(manifest.rows)),
        ("verified by", verified),
        ("slices", _counts(manifest.slices)),
        ("created", manifest.created_at),
    ]
    print_table(manifest.id, ["what", "is"], facts)
    print_table(
        "funnel",
        ["stage", "in", "kept", "dropped"],
        ((s["name"], s["in"], s["kept"], _counts(s["dropped"])) for s in manifest.funnel),
    )
    for row in shown:
        print_json(row)
