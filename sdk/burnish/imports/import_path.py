"""Resolve import paths "module:function" of burnish.toml, relative to its folder.

`resolve_object` is the entry. Modules of two projects in one process are kept apart.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from burnish.config.nearest_names import suggest_name
from burnish.errors import ImportPathError

_project_folders: list[Path] = []


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
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ImportPathError(
                f"import path {spec!r}: {getattr(found, '__file__', None) or found} has no {part!r}",
                suggest_name(part, [name for name in vars(found) if not name.startswith("_")]),
                "edit burnish.toml",
            )
        found = getattr(found, part)
    return found


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
    importlib.invalidate_caches()


def _is_foreign(top: str, folder: Path, others: list[Path]) -> bool:
    """Return True if a loaded module belongs to another project and this one has one of that name."""
    loaded = getattr(sys.modules.get(top), "__file__", None)
    if loaded is None or Path(loaded).is_relative_to(folder):
        return False
    here = (folder / f"{top}.py").exists() or (folder / top).is_dir()
    return here and any(Path(loaded).is_relative_to(other) for other in others)
