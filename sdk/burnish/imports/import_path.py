"""Resolve import paths "module:function" of burnish.toml, relative to its folder.

`resolve_object` is the entry. Modules of two projects in one process are kept apart. Python keeps a module that it has
imported, so a process that lives on (a notebook) calls `unload_changed` before it runs a project's code again. Work that
runs for long keeps the modules that it began with: `keep_modules`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

from burnish.config.nearest_names import suggest_name
from burnish.errors import ImportPathError

_project_folders: list[Path] = []
# Of the projects' modules, the file and its hash at their import. No lock: each step below is one operation of a dict or
# set, or works on a copy, and a process that is forked in the middle would inherit a lock that stays closed.
_sources: dict[str, tuple[Path, str]] = {}
_keepers: set[object] = set()


def resolve_object(spec: str, folder: Path) -> Any:
    """Import the object that "module:name" names, relative to the folder of burnish.toml.

    Raises:
        ImportPathError: If the module or the name in it cannot be imported.
    """
    module_name, colon, attribute = spec.partition(":")
    if not (colon and module_name and attribute):
        raise ImportPathError(f"import path {spec!r}", '"module:function"', "edit burnish.toml")
    folder = folder.absolute()
    _prioritize_folder(folder)
    try:
        found = importlib.import_module(module_name)
    except Exception as problem:  # the user's module may raise anything
        raise ImportPathError(
            f"import path {spec!r} failed: {type(problem).__name__}: {problem}",
            f"a module {module_name!r} in {folder} or among the installed packages",
            f'cd {folder} && python -c "import {module_name}"',
        ) from problem
    _note_sources(folder)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ImportPathError(
                f"import path {spec!r}: {getattr(found, '__file__', None) or found} has no {part!r}",
                suggest_name(part, [name for name in vars(found) if not name.startswith("_")]),
                "edit burnish.toml",
            )
        found = getattr(found, part)
    return found


@contextlib.contextmanager
def keep_modules() -> Generator[None]:
    """Keep the modules of all projects inside the block, also if their files change: `unload_changed` does nothing."""
    keeper = object()
    _keepers.add(keeper)
    try:
        yield
    finally:
        _keepers.discard(keeper)


def imported_sha256(file: Path) -> str | None:
    """Return the hash that a project's file had when it was imported; None if it is not imported."""
    return dict(list(_sources.values())).get(file.absolute())


def unload_changed(folder: Path) -> list[str]:
    """Unload all modules of a project if the file of one has changed since its import.

    The next `resolve_object` imports them again. Objects of the old modules stay as they are. Inside `keep_modules`
    nothing is unloaded.

    Args:
        folder: Folder of burnish.toml.

    Returns:
        The names of the files that have changed, sorted.
    """
    if _keepers:
        return []
    folder = folder.absolute()
    known = {name: at for name, at in list(_sources.items()) if at[0].is_relative_to(folder)}
    changed = {file for file, digest in known.values() if _hash_source(file) != digest}
    for name, (file, _) in known.items() if changed else ():
        sys.modules.pop(name, None)
        _sources.pop(name, None)
        with contextlib.suppress(OSError, NotImplementedError):
            # Its time has a resolution of a second: after an edit within one it would count as current.
            Path(importlib.util.cache_from_source(str(file))).unlink()
    importlib.invalidate_caches()
    return sorted({file.name for file in changed})


def _note_sources(folder: Path) -> None:
    """Keep the hashes of the modules that were imported from the project's folder since the last call."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__dict__", {}).get(
            "__file__"
        )  # without what a lazy module imports for it
        if name not in _sources and isinstance(file, str) and file.startswith(str(folder)):
            place = folder.joinpath(*name.split("."))
            if Path(file) in (place.with_suffix(".py"), place / "__init__.py"):
                _sources[name] = (Path(file), _hash_source(Path(file)))


def _hash_source(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _prioritize_folder(folder: Path) -> None:
    """Put the folder first on the import path, and unload modules of the same names from other projects."""
    if sys.path[:1] != [str(folder)]:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        sys.path.insert(0, str(folder))
    if folder not in _project_folders:
        _project_folders.append(folder)
    others = [other for other in _project_folders if other != folder]
    tops = {name.partition(".")[0] for name in sys.modules}
    foreign = {top for top in tops if _is_foreign(top, folder, others)}
    # The module's own imports must come from this project, too.
    for name in [name for name in sys.modules if name.partition(".")[0] in foreign]:
        del sys.modules[name]
        _sources.pop(name, None)
    importlib.invalidate_caches()


def _is_foreign(top: str, folder: Path, others: list[Path]) -> bool:
    """Return True if a loaded module belongs to another project and this one has one of that name."""
    loaded = getattr(sys.modules.get(top), "__file__", None)
    if loaded is None or Path(loaded).is_relative_to(folder):
        return False
    here = (folder / f"{top}.py").exists() or (folder / top).is_dir()
    return here and any(Path(loaded).is_relative_to(other) for other in others)
