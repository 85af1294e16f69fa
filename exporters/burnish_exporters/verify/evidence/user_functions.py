"""Call the user's functions for verifiers: import them by path, version them by text, read their answers as verdicts."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from burnish.capture.recorder.values import WrongValue
from burnish.errors import ImportPathError
from burnish.imports.import_path import imported_sha256, resolve_object, unload_changed
from burnish.records import Verdict
from burnish_exporters.verify.verdicts import read_answer, shown, unknown


def version_of(module: str, folder: Path) -> str:
    """Return a version that follows the text of a module; "1" where the text is not found.

    It is the text that this process runs: changed modules are imported again, except in the middle of other work.
    """
    unload_changed(folder)
    parts = module.split(".")
    for root in (folder, *map(Path, sys.path)):
        for file in (
            root.joinpath(*parts).with_suffix(".py"),
            root.joinpath(*parts, "__init__.py"),
        ):
            if file.is_file():
                digest = imported_sha256(file) or hashlib.sha256(file.read_bytes()).hexdigest()
                return f"1.{digest[:8]}"
    return "1"


@lru_cache(maxsize=64)
def load_function(path: str, folder: Path | None, version: str) -> Callable[..., Any]:
    """Return the function that an import path names.

    Args:
        path: Import path "module:function".
        folder: Folder in which the module is looked up first; the current one if None.
        version: Version of the verifier that calls it: one of the same version gets the function that it had.

    Raises:
        ImportPathError: If it cannot be imported, or is not a function.
    """
    found = resolve_object(path, folder or Path.cwd())
    if not callable(found):
        raise ImportPathError(f"{path} is {shown(found)}", "a function", "name a function")
    return found


def verdict_of(verifier: Any, answer: Any) -> Verdict:
    """Read the answer of a predicate as a verdict."""
    evidence: Any = None
    if isinstance(answer, Verdict):
        return answer
    if isinstance(answer, tuple) and len(answer) == 2:
        answer, evidence = answer
    if answer is None:
        return unknown(verifier, "predicate could not tell", shown(evidence) if evidence else "")
    if not isinstance(answer, str):
        try:
            answer = "success" if read_answer(answer) else "fail"
        except WrongValue:
            return unknown(verifier, "no verdict", f"the predicate returned {shown(answer)}")
    if answer not in ("success", "fail", "unknown"):
        return unknown(verifier, "no verdict", f"the predicate returned {shown(answer)}")
    return Verdict(
        label=answer, verifier=verifier.name, version=verifier.version, evidence=evidence
    )
