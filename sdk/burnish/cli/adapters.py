"""Implement `burnish adapters`: list, show, compare, push, pull and remove the adapter versions of the workspace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import format_time, print_json, print_table

app = typer.Typer(help="Show the adapter versions of the workspace.", no_args_is_help=True)

Version = Annotated[str, typer.Argument(help="An adapter version, such as support@4f1c2a90b3e0.")]
_CANDIDATE = ("decision", "forced", "evaluation", "at_ns")


@app.command("list")
def list_adapters(
    agent: Annotated[
        str | None, typer.Argument(help="Only versions of this agent.", show_default="all")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List adapter versions, newest first, with the gate's decision and where each one serves.

    Example: `burnish adapters list support`
    """
    from burnish.agent_names import require_agent
    from burnish.workspace import Workspace

    require_agent(agent, Workspace(home))
    found = [fact for fact in _read_versions(folder_of(home)) if agent in (None, *fact["agents"])]
    if as_json:
        print_json(found)
        return
    rows = [
        (
            fact["id"],
            fact["created_at"][:16].replace("T", " "),
            _describe_decision(fact),
            ", ".join(fact["serves"]) or "-",
        )
        for fact in found
    ]
    title = f"adapters of {agent or 'all agents'} in {folder_of(home)}"
    columns = ["version", "made (UTC)", "gate", "serves"]
    print_table(title, columns, rows)


@app.command("show")
def show_adapter(version: Version, home: Home = None, as_json: AsJson = False) -> None:
    """Show an adapter version: its manifest, its candidacies, where it serves, whether its files are whole.

    Example: `burnish adapters show support@4f1c2a90b3e0`
    """
    from burnish.adapters import AdapterStore
    from burnish.errors import RegistryError

    folder = folder_of(home)
    store = AdapterStore(folder)
    store.get(version)
    (fact,) = (fact for fact in _read_versions(folder) if fact["id"] == version)
    fact["folder"] = str(store.path(version))
    try:
        store.verify(version)
        fact["files"] = "as published"
    except RegistryError as problem:
        fact["files"] = problem.found
    if as_json:
        print_json(fact)
        return
    lines = [
        (name, _format_value(value))
        for name, value in _flatten(fact)
        if value not in ([], {}, None)
    ]
    print_table(f"adapter {version}", ["fact", "value"], lines)


@app.command("diff")
def compare_adapters(
    before: Version, after: Version, home: Home = None, as_json: AsJson = False
) -> None:
    """Show what differs between two adapter versions: base, plan, dataset, metrics.

    Example: `burnish adapters diff support@4f1c2a90b3e0 support@09ab3c4d5e6f`
    """
    from burnish.adapters import AdapterStore

    store = AdapterStore(folder_of(home))
    one, other = (dict(_flatten(msgspec.to_builtins(store.get(name)))) for name in (before, after))
    changed = [
        {"fact": name, "before": one.get(name), "after": other.get(name)}
        for name in dict.fromkeys((*one, *other))
        if one.get(name) != other.get(name)
    ]
    if as_json:
        print_json(changed)
        return
    rows = [
        (line["fact"], _format_value(line["before"]), _format_value(line["after"]))
        for line in changed
    ]
    print_table(f"differences of {before} and {after}", ["fact", before, after], rows)


@app.command("push")
def push_version(
    version: Version,
    place: Annotated[str, typer.Argument(help="A folder, or hf://OWNER/NAME.")],
    public: Annotated[
        bool, typer.Option("--public", help="A new repository is public; by default private.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Copy an adapter version into a folder or a repository of the Hugging Face Hub.

    Examples: `burnish adapters push support@4f1c2a90b3e0 /backup`,
    `burnish adapters push support@4f1c2a90b3e0 hf://acme/support`
    """
    from burnish.adapters import AdapterStore
    from burnish.adapters.exchange import push_adapter

    address = push_adapter(AdapterStore(folder_of(home)), version, place, private=not public)
    print_json({"address": address}) if as_json else typer.echo(address)


@app.command("pull")
def pull_version(
    place: Annotated[
        str, typer.Argument(help="The folder of a version, or hf://OWNER/NAME[@REVISION].")
    ],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Fetch an adapter version and check it; it serves nothing before it has been evaluated here.

    Example: `burnish adapters pull hf://acme/support@main`
    """
    from burnish.adapters import AdapterStore
    from burnish.adapters.exchange import pull_adapter

    manifest = pull_adapter(AdapterStore(folder_of(home)), place)
    if as_json:
        print_json({"adapter": manifest.id, "base_model": manifest.base_model})
        return
    typer.echo(f"{manifest.id}, for base model {manifest.base_model}")


@app.command("gc")
def remove_unneeded(
    keep: Annotated[
        int, typer.Option(min=0, help="Versions of each name that stay in any case.")
    ] = 2,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove; without it the versions are only listed.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Remove old adapter versions that neither serve nor are ancestors of ones that do.

    Examples: `burnish adapters gc`, `burnish adapters gc --keep 5 --yes`
    """
    from burnish.adapters import AdapterStore
    from burnish.adapters.cleaning import choose_removals, remove_version

    folder = folder_of(home)
    store = AdapterStore(folder)
    found = choose_removals(store, read_serving(folder), keep)
    freed = [one for one in found if not one.needed_for]
    for one in freed if yes else ():
        remove_version(store, one.id)
    if as_json:
        print_json(
            {
                "removed": yes,
                "versions": [one.id for one in freed],
                "bytes": sum(one.size for one in freed),
                "kept": {one.id: list(one.needed_for) for one in found if one.needed_for},
            }
        )
        return
    rows = [
        (one.id, f"{one.size / 2**20:.1f}", "\n".join(one.needed_for) or "nothing") for one in found
    ]
    print_table("adapter versions", ["version", "MiB", "needed for"], rows)
    size = sum(one.size for one in freed) / 2**20
    said = "removed" if yes else "can be removed (--yes removes them)"
    typer.echo(f"{len(freed)} versions, {size:.1f} MiB, {said}")


def folder_of(home: Path | None) -> Path:
    """Return the folder of the workspace that a command works on."""
    from burnish.workspace import Workspace

    return Workspace(home).home


def _read_versions(home: Path) -> list[dict[str, Any]]:
    """Read the manifest of each version, with its candidacies and the places where it serves."""
    from burnish.adapters import AdapterStore, Registry

    candidates = Registry(home).list()
    serving = read_serving(home)
    found: list[dict[str, Any]] = []
    for manifest in reversed(AdapterStore(home).list()):
        own = [candidate for candidate in candidates if candidate.adapter == manifest.id]
        fact: dict[str, Any] = msgspec.to_builtins(manifest)
        fact["agents"] = sorted({manifest.name, *(candidate.agent for candidate in own)})
        fact["candidates"] = [
            {name: getattr(candidate, name) for name in ("agent", *_CANDIDATE)} for candidate in own
        ]
        fact["serves"] = serving.get(manifest.id, [])
        found.append(fact)
    return found


def read_serving(home: Path) -> dict[str, list[str]]:
    """Find by version where it serves: 'canary of support'."""
    from burnish.adapters import Registry
    from burnish.canary import Rollout

    registry = Registry(home)
    agents = {candidate.agent for candidate in registry.list()}
    agents |= {str(line["agent"]) for line in registry.store.audit()}
    serving: dict[str, list[str]] = {}
    for agent in sorted(agents):
        document = Rollout(home, agent).document()
        for role in ("stable", "canary", "previous"):
            target = getattr(document, role)
            if target is not None and target.adapter is not None:
                serving.setdefault(target.adapter, []).append(f"{role} of {agent}")
    return serving


def _describe_decision(fact: Mapping[str, Any]) -> str:
    said = [
        f"{line['decision']} (forced)" if line["forced"] else line["decision"]
        for line in fact["candidates"]
    ]
    return ", ".join(said) or "not evaluated"


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(_format_value, value))
    if isinstance(value, dict):
        when = value.get("at_ns")
        facts = {**value, "at_ns": format_time(when)} if when else value
        return ", ".join(f"{name.removesuffix('_ns')} {item}" for name, item in facts.items())
    return "-" if value is None else str(value)


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a nested table as lines 'plan.epochs', 3."""
    for name, item in value.items():
        if isinstance(item, dict) and item:
            yield from _flatten(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item
