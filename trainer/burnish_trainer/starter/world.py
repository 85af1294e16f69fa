"""Import the example project's modules, for the scripts that train the starter.

`project_module()` imports them by their plain names, as the project itself does.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

from burnish_trainer.starter.paths import project_path


def project_module(name: str) -> ModuleType:
    """Return a module of the example project; its folder joins the import path.

    Args:
        name: Plain name, such as `desk` or `tasks`.
    """
    folder = str(project_path())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return import_module(name)
