"""Hash an agent's code: the modules that it imports and the text files that it may read.

The hash covers the Python files and prompts under the folder of burnish.toml, and those of the
agent's own packages elsewhere: imported modules that are neither of the standard library nor
installed. Data such as JSON and YAML counts if the source names the file or its folder, so that
reports written there do not count. Imports are followed in the source, so the hash is the same
before and after the agent ran. burnish.toml is excluded: its settings count one by one.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

_PROMPTS = frozenset(
    {".txt", ".md", ".jinja", ".jinja2", ".j2", ".tmpl", ".mustache", ".hbs", ".prompt", ".prompty"}
)
_DATA = frozenset({".json", ".yaml", ".yml", ".toml", ".xml", ".html", ".csv"})
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist"})
_PROSE = ("readme", "changelog", "license", "contributing")
_LARGEST = 1 << 20  # larger files are data


def hash_code(folder: Path, modules: Iterable[str], home: Path) -> str:
    """Hash the files of an agent.

    Args:
        folder: Folder of burnish.toml.
        modules: Names of the modules that burnish.toml names.
        home: Folder of the workspace, which holds no code.
    """
    folder = folder.resolve()
    files = {
        path: path.relative_to(folder).as_posix() for path in _code_files(folder, home.resolve())
    }
    for path in _imported_files(folder, modules, set(files)):
        files.setdefault(path, f"{path.parent.name}/{path.name}")
    source = b"".join(_read_bytes(path) for path in files if path.suffix == ".py")
    files = {path: name for path, name in files.items() if _may_be_read(path, folder, source)}
    digest = hashlib.sha256()
    for path, name in sorted(files.items(), key=lambda item: (item[1], str(item[0]))):
        digest.update(f"{name}\0".encode(errors="surrogateescape"))
        digest.update(hashlib.sha256(_read_bytes(path)).digest())
    return digest.hexdigest()


def _code_files(folder: Path, home: Path) -> Iterator[Path]:
    """Yield Python and text files of a folder, without hidden folders, environments and the workspace."""
    for top, folders, names in os.walk(folder):
        here = Path(top)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED
            and not name.endswith(".egg-info")
            and here / name != home
            and not (here / name / "pyvenv.cfg").exists()
        ]
        yield from (here / name for name in names if _is_code_file(here / name))


def _may_be_read(path: Path, folder: Path, source: bytes) -> bool:
    """Report if the agent may read a file: code, a prompt, or data that its source names."""
    if path.suffix.lower() not in _DATA:
        return True
    names = [path.name, *([] if path.parent == folder else [path.parent.name])]
    return any(name.encode(errors="surrogateescape") in source for name in names)


def _is_code_file(path: Path) -> bool:
    if path.suffix == ".py":
        return True
    if path.suffix.lower() not in _PROMPTS | _DATA or path.name == "burnish.toml":
        return False
    if path.name.startswith(".") or path.stem.lower().startswith(_PROSE):
        return False
    try:
        return path.stat().st_size <= _LARGEST
    except OSError:
        return False


def _imported_files(folder: Path, modules: Iterable[str], known: set[Path]) -> set[Path]:
    """Return the files of the agent's own packages outside its folder, by the imports in their source."""
    roots = [str(folder), *sys.path]
    found: set[Path] = set()
    waiting = [_find_source(name, roots) for name in modules] + list(known)
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path is None or path in seen or _is_foreign(path):
            continue
        seen.add(path)
        if path not in known:
            found.add(path)
            if path.name == "__init__.py":
                found.update(
                    file for file in _code_files(path.parent, folder) if file.suffix != ".py"
                )
        if path.suffix == ".py":
            waiting += [_find_source(name, roots) for name in _imported_names(path)]
    return found


def _imported_names(path: Path) -> set[str]:
    """Return the names of the modules that a file may import, including those of its own package."""
    try:
        tree = ast.parse(_read_bytes(path))
    except (SyntaxError, ValueError):
        return set()
    package = _package_of(path)
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
    parents = {".".join(name.split(".")[: n + 1]) for name in names for n in range(name.count("."))}
    return {name for name in names | parents if name}


def _package_of(path: Path) -> list[str]:
    """Return the package that a file belongs to, outermost first."""
    parts: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return parts


def _find_source(name: str, roots: list[str]) -> Path | None:
    """Find the source file of a module without importing it."""
    spec, search = None, roots
    for part in _module_prefixes(name):
        try:
            spec = importlib.machinery.PathFinder.find_spec(part, search)
        except (ImportError, ValueError, AttributeError):
            return None
        if spec is None:
            return None
        search = list(spec.submodule_search_locations or ())
    origin = spec.origin if spec is not None else None
    return Path(origin).resolve() if origin and origin.endswith(".py") else None


def _module_prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def _is_foreign(path: Path) -> bool:
    """Report if a file belongs to the standard library, an installed package or burnish itself."""
    return "site-packages" in path.parts or any(
        path.is_relative_to(root) for root in _foreign_roots()
    )


@lru_cache(maxsize=1)
def _foreign_roots() -> tuple[Path, ...]:
    named = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    own = [importlib.util.find_spec(name) for name in _OWN]
    folders = [Path(spec.origin).parent for spec in own if spec is not None and spec.origin]
    return tuple(Path(path).resolve() for path in [*filter(None, named), *folders])


_OWN = ("burnish", "burnish_exporters", "burnish_trainer")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
