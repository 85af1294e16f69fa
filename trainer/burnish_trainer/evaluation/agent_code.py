"""Hash what decides an agent's behaviour: the modules that it imports and the text files that it may read.

Modules are followed from those that burnish.toml names, through imports in the source, so the hash is the same before
and after the agent ran; installed packages and burnish itself are left out. A package counts with all of its modules,
because it may look for them at run time. Comments and blank lines do not count.

A text file counts in three cases: it lies within one of these packages and is a prompt; the source (or a text that
counts) names it or a folder above it; or the source builds names with its suffix, or lists folders. So a report, a
cache or a note that is written beside the agent changes nothing, and files with burnish's mark never count.
burnish.toml is excluded: its settings count one by one.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from burnish.files.output_files import is_output

_PROMPTS = frozenset(
    {
        ".txt", ".md", ".rst", ".jinja", ".jinja2", ".j2", ".tmpl", ".tpl", ".liquid", ".mustache", ".hbs",
        ".prompt", ".prompty",
    }
)  # fmt: skip
_DATA = frozenset({".json", ".yaml", ".yml", ".toml", ".xml", ".html", ".csv", ".tsv", ".sql", ".py", ".sh", ".ini", ".cfg"})  # fmt: skip
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist"})
_PROSE = ("readme", "changelog", "license", "contributing")
_LARGEST = 1 << 20  # larger files are data
_LOOKS_FOR_MODULES = frozenset(
    {"import_module", "__import__", "runpy", "pkgutil", "exec", "spec_from_file_location"}
)
_LISTS_FOLDERS = frozenset({"iterdir", "listdir", "scandir", "walk"})
_WORD = re.compile(r"\w[\w.-]*")
_BUILT = re.compile(r"[*?%{}\[\]]")  # marks of a name that is built at run time


@dataclass
class _Code:
    """The code of a module.

    Attributes:
        text: The code without comments.
        words: Names of files, folders and functions that it holds.
        suffixes: Suffixes of names that it builds, such as ".md" of "*.md".
        imports: Modules that it may import.
    """

    text: str
    words: set[str] = field(default_factory=set[str])
    suffixes: set[str] = field(default_factory=set[str])
    imports: set[str] = field(default_factory=set[str])


def hash_code(folder: Path, modules: Iterable[str], home: Path) -> str:
    """Hash the files of an agent.

    Args:
        folder: Folder of burnish.toml.
        modules: Names of the modules that burnish.toml names.
        home: Folder of the workspace, which holds no code.
    """
    folder, home = folder.resolve(), home.resolve()
    sources = _reached_sources(folder, home, modules)
    found = {path: code.text.encode(errors="replace") for path, code in sources.items()}
    found |= _reached_texts(folder, home, sources)
    digest = hashlib.sha256()
    for name, path in sorted((_name_file(path, folder), str(path)) for path in found):
        digest.update(f"{name}\0".encode(errors="surrogateescape"))
        digest.update(hashlib.sha256(found[Path(path)]).digest())
    return digest.hexdigest()


def _name_file(path: Path, folder: Path) -> str:
    if path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    return f"{path.parent.name}/{path.name}"


def _walk_files(folder: Path, home: Path) -> Iterator[Path]:
    """Yield the files of a folder, without hidden folders, environments and the workspace."""
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
        yield from (here / name for name in names if not name.startswith("."))


def _reached_sources(folder: Path, home: Path, modules: Iterable[str]) -> dict[Path, _Code]:
    """Return the agent's own modules by file."""
    roots = [str(folder), *sys.path]
    found: dict[Path, _Code] = {}
    waiting = [_find_source(name, roots) for name in modules]
    looked = False
    while waiting:
        path = waiting.pop()
        if path is None or path in found or _is_foreign(path):
            continue
        code = found[path] = _read_code(path)
        waiting += [_find_source(name, roots) for name in code.imports]
        if path.name == "__init__.py":
            waiting += _list_modules(path.parent, home)
        if not looked and code.words & _LOOKS_FOR_MODULES:
            looked = True
            waiting += _list_modules(folder, home)
    return found


def _list_modules(folder: Path, home: Path) -> list[Path]:
    return [path for path in _walk_files(folder, home) if path.suffix == ".py"]


def _reached_texts(folder: Path, home: Path, sources: dict[Path, _Code]) -> dict[Path, bytes]:
    """Return the text files that the agent may read, with their bytes."""
    packages = {path.parent for path in sources if path.name == "__init__.py"}
    words = set[str]().union(*(code.words for code in sources.values()))
    suffixes = set[str]().union(*(code.suffixes for code in sources.values()))
    listed = _PROMPTS if words & _LISTS_FOLDERS else _PROMPTS & suffixes
    tops = [folder, *(top for top in packages if not top.is_relative_to(folder))]
    waiting = {
        path: top
        for top in tops
        for path in _walk_files(top, home)
        if _is_text(path) and path not in sources
    }
    found: dict[Path, bytes] = {}
    chosen = [
        path
        for path, top in waiting.items()
        if _is_named(path, top, words) or _is_prompt(path, packages, listed)
    ]
    while chosen:
        told = set[str]()
        for path in chosen:
            del waiting[path]
            content = _read_bytes(path)
            if not is_output(content):
                found[path] = content
                told |= _words_of(content.decode(errors="replace"))
        chosen = [path for path, top in waiting.items() if _is_named(path, top, told)]
    return found


def _is_text(path: Path) -> bool:
    return path.suffix.lower() in _PROMPTS | _DATA and path.name != "burnish.toml"


def _is_named(path: Path, top: Path, words: set[str]) -> bool:
    """Report if a file is named, or a folder above it within `top`."""
    if path.name in words:
        return True
    above = path.parent.relative_to(top).parts if path.is_relative_to(top) else ()
    return not words.isdisjoint(above) and _may_be_unnamed(path)


def _is_prompt(path: Path, packages: set[Path], listed: frozenset[str]) -> bool:
    """Report if a file is a prompt of a package, or one of those that the source lists."""
    suffix = path.suffix.lower()
    if suffix not in _PROMPTS or not _may_be_unnamed(path):
        return False
    return suffix in listed or any(path.is_relative_to(package) for package in packages)


def _may_be_unnamed(path: Path) -> bool:
    """Report if a file is small, and not written for readers of the project."""
    if path.stem.lower().startswith(_PROSE):
        return False
    try:
        return path.stat().st_size <= _LARGEST
    except OSError:
        return False


def _read_code(path: Path) -> _Code:
    """Read a module; the text itself is its code if it is not valid Python."""
    content = _read_bytes(path)
    try:
        tree = ast.parse(content)
        code = _Code(ast.dump(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        text = content.decode(errors="replace")
        return _Code(text, _words_of(text))
    code.imports = _imported_names(tree, _package_of(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            code.words |= _words_of(node.value)
            stem, dot, suffix = node.value.rpartition("/")[2].rpartition(".")
            if not stem or _BUILT.search(stem):
                code.suffixes.add(f"{dot}{suffix}".lower())
        elif isinstance(node, (ast.Name, ast.Attribute)):
            code.words.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            code.words |= {part for alias in node.names for part in alias.name.split(".")}
            code.words |= set((getattr(node, "module", None) or "").split("."))
    return code


def _words_of(text: str) -> set[str]:
    """Return the names that a text may hold: of files, folders and modules, and the text itself."""
    found = {text} if len(text) < 256 else set[str]()
    for word in _WORD.findall(text):
        name = word.rstrip(".-")
        found |= {name, *name.split(".")}
    return found


def _imported_names(tree: ast.AST, package: list[str]) -> set[str]:
    """Return the names of the modules that a file may import, including those of its own package."""
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
