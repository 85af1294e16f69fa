"""Define `burnish dataset`: build and show dataset versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json, print_table
from burnish.errors import RegistryError
from burnish.files.output_files import explain_unwritable
from burnish.files.storage import BROKEN_JSON
from burnish_exporters.commands.template import check_version

if TYPE_CHECKING:
    from burnish_exporters.dataset import DatasetVersion
    from burnish_exporters.dataset.store import DatasetStore

app = typer.Typer(help="Build and look at dataset versions.", no_args_is_help=True)
app.command("check")(check_version)

Version = Annotated[str, typer.Argument(help="Id of a version, or its beginning.")]


@app.command("build")
def build_version(
    agent: Annotated[str, typer.Argument(help="Agent, as declared in burnish.toml.")],
    name: Annotated[str | None, typer.Option(help="Name of the dataset.")] = None,
    choices: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the recipe, KEY=VALUE, or @FILE with TOML lines."),
    ] = None,
    parent: Annotated[
        str,
        typer.Option("--from", help="Version to continue from; `none` starts without a parent."),
    ] = "newest",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Turn the verified runs of an agent into a dataset version.

    A build that was interrupted continues where it stopped. The settings are those of `[agent.NAME.dataset]`, and more:
    `python -c "import burnish_exporters; help(burnish_exporters.Recipe)"`.

    Example: `burnish dataset build support --set heldout=0.1 --set 'kinds=["update", "refund"]'`
    """
    from burnish.project import load_project
    from burnish.workspace import Workspace
    from burnish_exporters.commands.choices import read_settings, show_progress, workers_for
    from burnish_exporters.pipeline import BuildOptions, build_dataset
    from burnish_exporters.verify import PoolSettings, make_verifiers

    project, workspace = load_project(), Workspace(home)
    config = project.agent(agent)
    with show_progress() as progress:
        version = build_dataset(
            workspace,
            agent=agent,
            verify=make_verifiers(
                config.verify, project.folder, trust_received=config.trust_received
            ),
            recipe={**msgspec.structs.asdict(config.dataset), **read_settings(choices or ())},
            name=name,
            options=BuildOptions(
                pool=PoolSettings(trust_received=tuple(config.trust_received)),
                from_=None if parent == "none" else parent,
                workers=workers_for(workspace, agent),
                progress=progress,
            ),
        )
    _print_version(version, as_json)


@app.command("show")
def show_version(
    version: Annotated[
        str, typer.Argument(help="Id of a version, its beginning, or a dataset's name.")
    ],
    rows: Annotated[int, typer.Option(min=0, help="Print this many rows too.")] = 0,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show a dataset version: its rows, its funnel, its verifiers.

    Example: `burnish dataset show support --rows 1`
    """
    _print_version(_open_store(home).find_version(version), as_json, rows)


@app.command("list")
def list_versions(home: Home = None, as_json: AsJson = False) -> None:
    """List the dataset versions of the workspace, newest first.

    Example: `burnish dataset list`
    """
    versions, unreadable = _open_store(home).scan_versions()
    for problem in unreadable:
        typer.echo(f"warning: {problem}", err=True)
    found = [version.manifest for version in versions]
    if as_json:
        print_json(found)
        return
    columns = ["id", "agent", "created", "rows"]
    cells = ((m.id, m.agent, m.created_at, _format_counts(m.rows)) for m in found)
    print_table("dataset versions", columns, cells)


@app.command("verify")
def verify_version(
    version: Version,
    home: Home = None,
) -> None:
    """Check that a version's rows and recipe hash to its name.

    Example: `burnish dataset verify support@4f1c2a`
    """
    found = _open_store(home).find_version(version)
    found.verify()
    typer.echo(f"{found.id} is unaltered")


@app.command("rebuild")
def rebuild_version(
    version: Version,
    home: Home = None,
) -> None:
    """Build a version again from its recipe, as of the day it was built; the same runs give the same version.

    Example: `burnish dataset rebuild support@4f1c2a`
    """
    from burnish.project import load_project
    from burnish.workspace import Workspace
    from burnish_exporters.dataset.recipe import read_recipe
    from burnish_exporters.pipeline import BuildOptions, build_dataset
    from burnish_exporters.verify import PoolSettings, make_verifiers

    old = _open_store(home).find_version(version)
    project = load_project()
    config = project.agent(old.manifest.agent)
    new = build_dataset(
        Workspace(home),
        agent=config.name,
        verify=make_verifiers(config.verify, project.folder, trust_received=config.trust_received),
        recipe=read_recipe(old.manifest),
        name=old.manifest.name,
        options=BuildOptions(
            pool=PoolSettings(trust_received=tuple(config.trust_received)),
            from_=next(iter(old.manifest.parents), None),
            as_of_ns=next((s["as_of_ns"] for s in old.manifest.sources if "as_of_ns" in s), None),
        ),
    )
    same = new.id == old.id
    typer.echo(f"{new.id}: the same version" if same else f"{new.id}: not the same as {old.id}")
    if not same:
        typer.echo(f"see: burnish dataset diff {old.id} {new.id}")
        raise typer.Exit(1)


@app.command("diff")
def diff_versions(
    old: Annotated[str, typer.Argument(help="Id of the older version, or its beginning.")],
    new: Annotated[str, typer.Argument(help="Id of the newer version, or its beginning.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show which runs were added and removed between two versions, and why.

    Example: `burnish dataset diff support@4f1c2a support@9b3e00`
    """
    from burnish_exporters.dataset.store import compare_versions

    shelf = _open_store(home)
    found = compare_versions(shelf.find_version(old), shelf.find_version(new))
    if as_json:
        print_json(found)
        return
    columns = ["split", "added", "removed", "changed"]
    cells = (
        (part, len(found.added[part]), len(found.removed[part]), len(found.changed[part]))
        for part in found.added
    )
    print_table("runs", columns, cells)
    print_table("recipe", ["key", "old", "new"], ((k, *v) for k, v in found.recipe.items()))
    print_table("dropped", ["reason", "old", "new"], ((k, *v) for k, v in found.dropped.items()))
    moved = [(run, "added") for part in found.added.values() for run in part]
    moved += [(run, "removed") for part in found.removed.values() for run in part]
    moved += [(run, "changed") for part in found.changed.values() for run in part]
    print_table(
        "why", ["run", "change", "reason"], ((r, how, found.why[r]) for r, how in moved[:50])
    )
    if len(moved) > 50:
        typer.echo(f"... and {len(moved) - 50} more: see --json")


@app.command("dropped")
def list_dropped(
    version: Version,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the runs that entered and left, each with the stage and the reason.

    Example: `burnish dataset dropped support`
    """
    found = _open_store(home).find_version(version).dropped()
    if as_json:
        print_json(found)
        return
    cells = ((run, stage, reason) for run, (stage, reason) in found.items())
    print_table("dropped", ["run", "stage", "reason"], cells)


@app.command("push")
def push_version(
    version: Version,
    url: Annotated[str, typer.Argument(help="Folder on any fsspec URL.")],
    home: Home = None,
) -> None:
    """Copy a version to a folder or an object store.

    Example: `burnish dataset push support@4f1c2a s3://team/datasets`
    """
    shelf = _open_store(home)
    with explain_unwritable(url, f"burnish dataset push {version}"):
        typer.echo(shelf.push(shelf.find_version(version), url))


@app.command("pull")
def pull_version(
    url: Annotated[str, typer.Argument(help="URL of a version that push copied.")],
    home: Home = None,
) -> None:
    """Fetch a version and check it.

    Example: `burnish dataset pull s3://team/datasets/support@4f1c2a90b3e0`
    """
    typer.echo(_open_store(home).pull(url).id)


@app.command("gc")
def collect_garbage(
    keep: Annotated[int, typer.Option(min=1, help="Newest versions of each name that stay.")] = 5,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove the versions; without it they are only listed.")
    ] = False,
    home: Home = None,
) -> None:
    """Remove old versions that no adapter and no other version refers to.

    Example: `burnish dataset gc --keep 3 --yes`
    """
    shelf = _open_store(home)
    for version in shelf.unneeded_versions(keep, _used_datasets(shelf.folder.parent)):
        if yes:
            shelf.remove(version)
        typer.echo(f"{'removed' if yes else 'would remove'}: {version.id}")


def _open_store(home: Path | None) -> DatasetStore:
    from burnish import settings
    from burnish_exporters.dataset.store import DatasetStore

    return DatasetStore((home or settings.current().home) / "datasets")


def _used_datasets(home: Path) -> list[str]:
    """Return the datasets that adapters of the workspace were trained on.

    Raises:
        RegistryError: If a manifest cannot be read: the dataset that it names must not be removed.
    """
    found: list[str | None] = []
    for path in sorted(home.glob("adapters/*/burnish.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=_TrainedOn).dataset)
        except BROKEN_JSON as problem:
            raise RegistryError(
                f"{path} cannot be read: {problem}",
                "the manifest as published, which names the dataset that must stay",
                f"restore {path.parent} from a backup, or remove it",
            ) from problem
    return [dataset for dataset in found if dataset]


class _TrainedOn(msgspec.Struct):
    """The part of an adapter's manifest that names its dataset."""

    dataset: str | None = None


def _format_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _print_version(version: DatasetVersion, as_json: bool, rows: int = 0) -> None:
    from itertools import islice

    manifest = version.manifest
    shown = list(islice(version.rows(), rows))
    if as_json:
        facts = {**msgspec.to_builtins(manifest), "path": str(version.path)}
        print_json({**facts, "first_rows": shown} if rows else facts)
        return
    verified = ", ".join(f"{v['name']} {v['version']}" for v in manifest.verifiers)
    facts = [
        ("folder", version.path),
        ("rows", _format_counts(manifest.rows)),
        ("verified by", verified),
        ("slices", _format_counts(manifest.slices)),
        ("parents", ", ".join(manifest.parents) or "nothing"),
        ("created", manifest.created_at),
    ]
    print_table(manifest.id, ["what", "is"], facts)
    print_table(
        "funnel",
        ["stage", "in", "kept", "dropped"],
        ((s["name"], s["in"], s["kept"], _format_counts(s["dropped"])) for s in manifest.funnel),
    )
    table = manifest.extras.get("coverage") or {}
    columns = ["runs", "successes", "rows"]
    print_table(
        "coverage",
        ["kind", *columns],
        ((kind, *(counts[name] for name in columns)) for kind, counts in sorted(table.items())),
    )
    for warning in manifest.extras.get("warnings") or ():
        typer.echo(f"warning: {warning}")
    for row in shown:
        print_json(row)
