"""Write burnish.toml, checks.py and tasks.py for an agent of the user's own (`burnish init`).

`init` is the command. It asks on a terminal, takes options anywhere, writes all files or none, and
overwrites a file only with `--force`. Python files are searched for the graph without being run.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from burnish.cli.templates.project_files import AGENT, BURNISH_TOML, CHECKS, TASKS, render_template
from burnish.errors import SettingsError
from burnish.files.paths import is_component

_GRAPH_MAKERS = ("create_agent", "create_react_agent", "compile", "create_supervisor")
_GRAPH = re.compile(r"[A-Za-z_][\w.]{0,200}:[A-Za-z_]\w{0,200}")
_DEFAULT_GRAPH = "agent:build"
_MOST_FILES = 500
_LEFT_OUT = {"site-packages", "node_modules", "__pycache__", "venv", "build", "dist"}


class _Answers(msgspec.Struct, frozen=True, kw_only=True):
    """The values of the new burnish.toml."""

    agent: str
    graph: str
    base_model: str
    backend: str


def init(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the project.", show_default="the current one")
    ] = Path(),
    agent: Annotated[
        str | None,
        typer.Option(help="Name of the agent.", show_default="name of the folder"),
    ] = None,
    graph: Annotated[
        str | None,
        typer.Option(
            help="module:function that gets a chat model and returns the graph.",
            show_default="the one found, else a stub agent.py",
        ),
    ] = None,
    base_model: Annotated[
        str, typer.Option(help="Folder of the model to train, or starter.")
    ] = "starter",
    backend: Annotated[
        str, typer.Option(help="embedded, or the URL of the server of that model.")
    ] = "embedded",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
) -> None:
    """Write burnish.toml, checks.py and tasks.py for an agent of yours, as stubs that run.

    Examples: `burnish init`, `burnish init --agent analyst --graph shop.agent:build --yes`
    """
    folder = folder.expanduser().absolute()
    _check_folder(folder)
    answers = _Answers(
        agent=agent or _agent_name(folder),
        graph=graph or next(find_graphs(folder), _DEFAULT_GRAPH),
        base_model=base_model,
        backend=backend,
    )
    if not yes and sys.stdin.isatty() and sys.stdout.isatty():
        answers = _ask(answers)
    files = _render_files(answers, folder, needs_graph=graph is not None)
    _write_files(folder, files, force=force)
    _print_next_steps(answers, folder, list(files))


def find_graphs(folder: Path) -> Iterator[str]:
    """Yield "module:function" for each function of a folder that gets a model and makes a graph.

    The files are parsed, never imported. Functions whose first argument is named for a model come first.

    Args:
        folder: Folder whose Python files are searched, three levels deep.
    """
    found: list[tuple[bool, str]] = []
    for path in _python_files(folder):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        module = ".".join(path.relative_to(folder).with_suffix("").parts)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.args.args and _makes_graph(node):
                first = node.args.args[0].arg
                found.append((not re.search("model|llm|chat", first), f"{module}:{node.name}"))
    yield from (spec for _, spec in sorted(found))


def _python_files(folder: Path) -> Iterator[Path]:
    files = (path for depth in ("*.py", "*/*.py", "*/*/*.py") for path in folder.glob(depth))
    for number, path in enumerate(files):
        if number >= _MOST_FILES:
            return
        parts = path.relative_to(folder).with_suffix("").parts
        if all(part.isidentifier() and part not in _LEFT_OUT for part in parts):
            yield path


def _makes_graph(node: ast.FunctionDef) -> bool:
    calls = (one.func for one in ast.walk(node) if isinstance(one, ast.Call))
    names = (getattr(func, "attr", getattr(func, "id", "")) for func in calls)
    return any(name in _GRAPH_MAKERS for name in names)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise SettingsError(
            f"{folder} is not a folder", "the folder of your project", f"mkdir -p {folder}"
        )


def _agent_name(folder: Path) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", folder.name).strip("-") or "agent"


def _ask(known: _Answers) -> _Answers:
    """Ask on the terminal; an empty line takes what is shown in brackets."""
    questions = {
        "agent": "Name of the agent",
        "graph": "module:function that gets a chat model and returns the graph",
        "base_model": "Folder of the model to train (starter: the bundled one, for a first try)",
        "backend": "What serves it (embedded, or a URL)",
    }
    given = {
        key: typer.prompt(question, default=getattr(known, key))
        for key, question in questions.items()
    }
    return msgspec.convert(given, _Answers)


def _render_files(answers: _Answers, folder: Path, *, needs_graph: bool) -> dict[str, str]:
    """Return the files to write by name; agent.py is one of them where there is no graph yet."""
    if not is_component(answers.agent):
        raise SettingsError(
            f"agent name {answers.agent!r}",
            "a name that can be part of a file's name",
            "burnish init --agent analyst",
        )
    if not _GRAPH.fullmatch(answers.graph):
        raise SettingsError(
            f"graph {answers.graph!r}", '"module:function"', "burnish init --graph agent:build"
        )
    values = msgspec.structs.asdict(answers)
    files = {"burnish.toml": render_template(BURNISH_TOML, **values), "checks.py": CHECKS}
    files["tasks.py"] = TASKS
    module, _, function = answers.graph.partition(":")
    if _is_missing(module, folder):
        if needs_graph or answers.graph != _DEFAULT_GRAPH:
            raise SettingsError(
                f"graph {answers.graph!r}: there is no module {module!r} in {folder}",
                "a module of the project, or an installed one",
                "burnish init without --graph writes a stub agent.py",
            )
        files["agent.py"] = render_template(AGENT, function=function)
    else:
        _check_graph(answers.graph, folder)
    return files


def _is_missing(module: str, folder: Path) -> bool:
    from importlib.util import find_spec

    here = folder.joinpath(*module.split("."))
    if here.with_suffix(".py").is_file() or here.is_dir():
        return False
    try:
        return find_spec(module.partition(".")[0]) is None
    except (ImportError, ValueError):
        return True


def _check_graph(graph: str, folder: Path) -> None:
    """Refuse a name that a module of the project does not define, or defines as no function."""
    module, _, name = graph.partition(":")
    path = folder.joinpath(*module.split(".")).with_suffix(".py")
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return  # a package or an installed module: `burnish doctor` imports it
    known = {name: kind for node in tree.body for name, kind in _defined_names(node)}
    kind = known.get(name, "missing" if "*" not in known else "imported")
    if kind == "value":
        raise SettingsError(
            f"graph {graph!r}: {path.name} assigns {name!r} once, with one model",
            "a function that gets a chat model and returns the graph, since burnish compares models",
            f"write `def build(model): return create_agent(model, ...)` into {path.name}, then "
            f"burnish init --graph {module}:build",
        )
    if kind == "missing":
        functions = [name for name, kind in known.items() if kind == "function"]
        raise SettingsError(
            f"graph {graph!r}: {path.name} has no {name!r}",
            f"one of {', '.join(functions)}" if functions else "a function that returns the graph",
            f"burnish init --graph {module}:{functions[0] if functions else 'build'}",
        )


def _defined_names(node: ast.stmt) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name, "function"
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name, "imported") for alias in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        # A call or a name may be a function (functools.partial, an alias): only a graph is refused.
        kind = "value" if _is_graph_call(node.value) else "imported"
        yield from ((one.id, kind) for one in targets if isinstance(one, ast.Name))
    elif isinstance(node, ast.If | ast.Try):
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.stmt):
                yield from _defined_names(inner)


def _is_graph_call(value: ast.expr | None) -> bool:
    if not isinstance(value, ast.Call):
        return False
    return getattr(value.func, "attr", getattr(value.func, "id", "")) in _GRAPH_MAKERS


def _write_files(folder: Path, files: dict[str, str], *, force: bool) -> None:
    """Write all files, or none where one exists and may not be overwritten."""
    existing = [name for name in files if (folder / name).exists()]
    if existing and not force:
        raise SettingsError(
            f"{', '.join(existing)} in {folder} would be overwritten",
            "a folder without " + ("it" if len(existing) == 1 else "them"),
            "burnish init OTHER-FOLDER, or burnish init --force to overwrite",
        )
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _print_next_steps(answers: _Answers, folder: Path, written: list[str]) -> None:
    here = "" if folder == Path.cwd() else f"cd {folder} && "
    module, _, function = answers.graph.partition(":")
    lines = [
        f"wrote {', '.join(written)} in {folder}",
        "",
        "record your agent where it is built:",
        f"    from {module} import {function}",
        f'    graph = burnish.wrap({function}(model), agent="{answers.agent}")',
        "",
        "replace the examples in tasks.py and checks.py by your own; they run as they are",
        f"next: {here}burnish doctor",
    ]
    typer.echo("\n".join(lines))
