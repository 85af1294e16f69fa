"""Implement `burnish doctor`: check the installation, burnish.toml and the workspace.

`check_all` yields one finding per check; each finding names its remedy. `agents` checks what
burnish.toml names.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json, print_table
from burnish.errors import BurnishError

if TYPE_CHECKING:
    from rich.text import Text

    from burnish.project import Project

PACKAGES = (
    "langchain-core",
    "langgraph",
    "opentelemetry-sdk",
    "torch",
    "transformers",
    "trl",
    "peft",
)
KEYS = "burnish doctor --keys lists what it may hold"
LOW_DISK_BYTES = 1024**3
STUCK_NS = 3600 * 10**9  # an exporter that has not moved for this time is reported
LOG = "read the log of the process, which states each kind once"
DAMAGE_FIXES = {
    "unreadable": "chmod -R u+rX {home}/journal; is the archive reachable, and unchanged?",
    "unknown_events": "pip install --upgrade burnish",
    "corrupt": "put {home}/journal back from a backup; what is whole was read",
    "wrong_contents": "put {home}/journal back from a backup; its contents were altered",
    "lost_events": "put {home}/journal back from a backup; what is whole was read",
    "unreadable_runs": "burnish traces list; the log names each",
    "damaged_files": "put them back from a backup; the others are read",
    "stray": "mv them out of {home}/journal; nothing reads them",
}


class DoctorFinding(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def run_doctor(
    home: Home = None,
    as_json: AsJson = False,
    keys: Annotated[
        bool, typer.Option("--keys", help="Check nothing; list the keys of burnish.toml.")
    ] = False,
    imports: Annotated[
        bool,
        typer.Option(
            "--imports/--no-imports",
            help="Import and open what burnish.toml names and ask its backends; this runs your modules.",
        ),
    ] = True,
) -> None:
    """Check the installation, burnish.toml and the workspace; exit code 1 if something is wrong.

    Examples: `burnish doctor --home .burnish`, `burnish doctor --keys`
    """
    if keys:
        _print_keys(as_json)
        return
    findings = list(check_all(home, imports=imports))
    if as_json:
        print_json(findings)
    else:
        print_table(
            "burnish doctor",
            ["", "what", "found", "try"],
            ((_format_mark(item.ok), item.name, item.detail, item.fix) for item in findings),
        )
    if not all(item.ok for item in findings):
        raise typer.Exit(1)


def _format_mark(ok: bool) -> Text:
    from rich.text import Text

    return Text("ok", style="green") if ok else Text("!!", style="red")


def _print_keys(as_json: bool) -> None:
    from burnish.project import describe_keys

    rows = describe_keys()
    if as_json:
        names = ("table", "key", "type", "default", "meaning")
        found: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in rows]
        for row in found:
            row["required"] = row["default"] is ...
            row["default"] = _encode_default(row["default"])
        print_json(found)
        return
    for table, group in itertools.groupby(rows, key=lambda row: row[0]):
        print_table(
            f"[{table}]",
            ["key", "type", "default", "meaning"],
            ((key, kind, _format_default(value), told) for _, key, kind, value, told in group),
        )


def _encode_default(default: Any) -> Any:
    if default is ...:
        return None
    return str(default) if isinstance(default, Path) else default


def _format_default(default: Any) -> str:
    if default is ...:
        return "required"
    plain = _encode_default(default)
    return "-" if plain is None else msgspec.json.encode(plain).decode()


def check_all(home: Path | None = None, *, imports: bool = True) -> Iterator[DoctorFinding]:
    """Yield a finding for each check, in order; a check that fails to run is a finding.

    Args:
        home: Folder of the workspace.
        imports: Import and reach what burnish.toml names.
    """
    yield _check_versions()
    yield _check_platform()
    yield _check_extras()
    if imports:
        yield from _check_compatibility()
    yield _run_check("burnish.toml", _check_project)
    if imports:
        yield from _check_agents(home)
    for name, check in (
        ("agents in the journal", lambda: _check_undeclared(home)),
        ("threads", lambda: _check_threads(home)),
        ("workspace", lambda: _check_workspace(home)),
        ("disk", lambda: _check_disk(home)),
        ("journal", lambda: _check_journal(home)),
        ("versions made", lambda: _check_artefacts(home)),
        ("shipping", lambda: _check_shipping(home)),
        ("losses", lambda: _check_losses(home)),
        ("faults", lambda: _check_faults(home)),
        ("notices", lambda: _check_notices(home)),
    ):
        yield _run_check(name, check)


def _run_check(name: str, check: Callable[[], DoctorFinding]) -> DoctorFinding:
    try:
        return check()
    except BurnishError as error:
        return DoctorFinding(name=name, ok=False, detail=error.found, fix=error.fix)
    except OSError as error:
        return DoctorFinding(name=name, ok=False, detail=str(error), fix="check the folder's owner")
    except Exception as error:  # noqa: BLE001 - one check that fails must not end the others
        detail = f"the check itself failed: {type(error).__name__}: {error}"
        return DoctorFinding(name=name, ok=False, detail=detail, fix="burnish doctor --json")


def _check_versions() -> DoctorFinding:
    found = [f"Python {platform.python_version()}"]
    for package in ("burnish", *PACKAGES):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{package} -")
    return DoctorFinding(name="versions", ok=True, detail=", ".join(found))


def _check_platform() -> DoctorFinding:
    from burnish.files.platform import missing_features

    missing = "; ".join(missing_features()) or "everything that burnish uses"
    return DoctorFinding(name="platform", ok=True, detail=f"{platform.platform()}: {missing}")


def _check_project() -> DoctorFinding:
    from burnish import settings
    from burnish.config import config_file
    from burnish.project import load_project

    if settings.current().config is None and config_file.find_config() is None:
        return DoctorFinding(
            name="burnish.toml", ok=True, detail="none here; capture works without"
        )
    project = load_project()
    agents = ", ".join(sorted(project.agents)) or "no agents"
    return DoctorFinding(name="burnish.toml", ok=True, detail=f"{project.path}: {agents}; {KEYS}")


def _check_compatibility() -> Iterator[DoctorFinding]:
    """Probe the private names of other libraries that burnish needs."""
    from burnish.compat.registered_tables import list_tables

    for table in list_tables():
        version = table.installed_version()
        if version is None:
            continue
        missing = table.probe()
        detail = "; ".join(f"{name} is missing: {name.without_it}" for name in missing)
        yield DoctorFinding(
            name=f"{table.distribution} {version}",
            ok=not missing,
            detail=detail
            or f"{len(table.names)} private names found; tried with {table.tried_with}",
            fix=f"pip install '{table.distribution}<={table.tried_with.split()[-1]}'"
            if missing
            else "",
        )


def _check_extras() -> DoctorFinding:
    """Name the extras whose packages are missing; none of them is needed to capture."""
    from burnish.imports.extras import list_extras

    missing = sorted({extra for name, extra in list_extras().items() if not _is_installed(name)})
    if not missing:
        return DoctorFinding(name="extras", ok=True, detail="all installed")
    fix = f"pip install 'burnish[{','.join(missing)}]'"
    return DoctorFinding(
        name="extras", ok=True, detail=f"not installed: {', '.join(missing)}", fix=fix
    )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _load_declared() -> Project | None:
    """Return the project of burnish.toml; None where there is none or it is wrong."""
    from burnish import settings
    from burnish.config import config_file
    from burnish.project import load_project

    if settings.current().config is None and config_file.find_config() is None:
        return None
    try:
        return load_project()
    except BurnishError:  # the finding "burnish.toml" reports it
        return None


def _check_agents(home: Path | None) -> Iterator[DoctorFinding]:
    from burnish.cli.doctor.agents import check_agents

    project = _load_declared()
    for agent in check_agents(project, home) if project else ():
        name, told = f"agent {agent.name}", list(agent.notes)
        if not agent.problems:
            well = "imports, tasks, environment, verifiers, model and backend are usable"
            told = [well, *told]
        if told:
            yield DoctorFinding(name=name, ok=True, detail="; ".join(told))
        for problem, fix in agent.problems:
            yield DoctorFinding(name=name, ok=False, detail=problem, fix=fix)


def _check_undeclared(home: Path | None) -> DoctorFinding:
    from burnish.cli.doctor.agents import find_undeclared

    name, project = "agents in the journal", _load_declared()
    if project is None:
        return DoctorFinding(name=name, ok=True, detail="no burnish.toml")
    unknown = find_undeclared(project, home)
    if not unknown:
        return DoctorFinding(name=name, ok=True, detail="all in burnish.toml")
    detail = ", ".join(f"{agent} ({count} runs)" for agent, count in sorted(unknown.items()))
    fix = "write [agent.NAME], or correct the name given to wrap()"
    return DoctorFinding(name=name, ok=True, detail=f"not in burnish.toml: {detail}", fix=fix)


def _check_threads(home: Path | None) -> DoctorFinding:
    from burnish.cli.doctor.agents import count_without_thread

    without, total = count_without_thread(home)
    detail = f"{without} of {total} production runs have no thread"
    fix = 'pass config={"configurable": {"thread_id": ...}}: a canary needs it' if without else ""
    return DoctorFinding(name="threads", ok=True, detail=detail, fix=fix)


def _check_workspace(home: Path | None) -> DoctorFinding:
    from burnish.journal.layout import open_to_others
    from burnish.workspace import Workspace

    folder = Workspace(home).home
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    reason = _why_not_writable(existing)
    if reason:
        detail = f"{existing} cannot be written: {reason}"
        fix = "set home to a folder that can be written, or mend its rights"
        return DoctorFinding(name="workspace", ok=False, detail=detail, fix=fix)
    if existing != folder:
        return DoctorFinding(
            name="workspace", ok=True, detail=f"{folder} is made at the first event"
        )
    opened = open_to_others(folder)
    if opened:
        names = ", ".join(str(path) for path in opened)
        fix = f"chmod -R go-rwx {folder}"
        detail = f"other users may read {names}"
        return DoctorFinding(name="workspace", ok=False, detail=detail, fix=fix)
    return DoctorFinding(name="workspace", ok=True, detail=str(folder))


def _why_not_writable(folder: Path) -> str:
    """Return why no file can be created in the folder; empty if one can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _check_disk(home: Path | None) -> DoctorFinding:
    from burnish.workspace import Workspace

    folder = Workspace(home).home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    enough = free >= LOW_DISK_BYTES
    fix = "" if enough else "free some space, or set keep_bytes"
    return DoctorFinding(name="disk", ok=enough, detail=f"{free / 1024**3:.1f} GiB free", fix=fix)


def _check_journal(home: Path | None) -> DoctorFinding:
    from burnish.journal.damage import damaged_files
    from burnish.workspace import Workspace

    workspace = Workspace(home)
    report = workspace.read_report()
    damage = {
        name: count for name in ("torn_tails", *DAMAGE_FIXES) if (count := getattr(report, name))
    }
    detail = f"{report.segments} segments, {report.events} events"
    if damage:
        detail += "; " + ", ".join(f"{name} {count}" for name, count in damage.items())
    if report.damaged_files:
        detail += f" ({', '.join(path.name for path in damaged_files(workspace.home))})"
    # A killed process leaves a torn tail; everything before it was read.
    fixes = [
        fix.format(home=workspace.home) for name, fix in DAMAGE_FIXES.items() if name in damage
    ]
    return DoctorFinding(name="journal", ok=not fixes, detail=detail, fix="; ".join(fixes))


def _check_artefacts(home: Path | None) -> DoctorFinding:
    """Report unreadable datasets, adapters and control databases, and altered prompts."""
    from burnish.adapters.prompt_store import PromptStore
    from burnish.files.artefacts import find_unreadable
    from burnish.workspace import Workspace

    folder = Workspace(home).home
    damaged = [*find_unreadable(folder), *PromptStore(folder).find_altered()]
    if not damaged:
        return DoctorFinding(name="versions made", ok=True, detail="all can be read")
    detail = "cannot be read: " + ", ".join(str(path) for path in damaged)
    fix = "put them back from a backup; all others are used"
    return DoctorFinding(name="versions made", ok=False, detail=detail, fix=fix)


def _check_shipping(home: Path | None) -> DoctorFinding:
    from burnish import settings
    from burnish.telemetry.delivery.shipper import measure_lag
    from burnish.workspace import Workspace

    waiting = measure_lag(Workspace(home).home)
    if not waiting:
        target = settings.current().otlp_endpoint
        return DoctorFinding(
            name="shipping", ok=True, detail=f"to {target}" if target else "no exporter"
        )
    detail = ", ".join(f"{name}: {count} bytes unshipped" for name, count in waiting.items())
    stuck = _find_stuck(Workspace(home).home, waiting)
    if stuck:
        detail += "; not moved for over an hour: " + ", ".join(stuck)
    fix = "is the receiver up? the log of the process names the reason" if stuck else ""
    return DoctorFinding(name="shipping", ok=not stuck, detail=detail, fix=fix)


def _find_stuck(home: Path, waiting: dict[str, int]) -> list[str]:
    """Return the exporters with unshipped spans that have not moved for a long time."""
    from burnish.journal import cursor as cursors

    moved: dict[str, int] = {}
    for path in cursors.folder_of(home).glob("*.cursor"):
        name = path.stem.split(".", 1)[0]
        cursor = cursors.read(path)
        moved[name] = max(moved.get(name, 0), cursor.moved_ns if cursor else 0)
    now = time.time_ns()
    return [name for name, count in waiting.items() if count and now - moved[name] > STUCK_NS]


def _check_losses(home: Path | None) -> DoctorFinding:
    from burnish.capture.fault_reports import PREFIX
    from burnish.workspace import Workspace

    counts = Workspace(home).losses()
    lost = {name: count for name, count in counts.items() if not name.startswith(PREFIX)}
    return DoctorFinding(
        name="losses", ok=not lost, detail=_format_counts(lost), fix=LOG if lost else ""
    )


def _check_faults(home: Path | None) -> DoctorFinding:
    """Report faults inside burnish, in any process, that agents did not notice."""
    from burnish.capture.notices import NOTICE

    counts = _count_process_events(home)
    found = {name: count for name, count in counts.items() if not name.startswith(NOTICE)}
    return DoctorFinding(
        name="faults", ok=not found, detail=_format_counts(found), fix=LOG if found else ""
    )


def _check_notices(home: Path | None) -> DoctorFinding:
    """Report likely mistakes; each may be intended, so none is a failure."""
    from burnish.capture.notices import NOTICE
    from burnish.workspace import Workspace

    found = {
        name.removeprefix(NOTICE): count
        for name, count in _count_process_events(home).items()
        if name.startswith(NOTICE)
    }
    lonely = sorted(Workspace(home).threads_without_run())
    if lonely:
        found[f"threads with an outcome and without a run, such as {lonely[0]}:"] = len(lonely)
    fix = "is it the name, the thread and the workspace (BURNISH_HOME) of the agent?"
    return DoctorFinding(
        name="notices", ok=True, detail=_format_counts(found), fix=fix if found else ""
    )


def _count_process_events(home: Path | None) -> dict[str, int]:
    """Return what processes counted of themselves, by kind."""
    from burnish.capture.fault_reports import PREFIX
    from burnish.workspace import Workspace

    return {
        name.removeprefix(PREFIX): count
        for name, count in Workspace(home).losses().items()
        if name.startswith(PREFIX)
    }


def _format_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"
