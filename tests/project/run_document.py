"""Run the code blocks of one Markdown document, in order, in the current folder.

usage: python run_document.py DOCUMENT

`python` blocks share one namespace; each line of a `sh` block is a command that must succeed;
`toml` blocks are parsed. A command in LONG is not run but checked: its target, options or extras
exist.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN_ONLY = {"text", "json", "mermaid", "html"}


def blocks(document: Path) -> list[tuple[int, str, str]]:
    """Line number, language and text of each block."""
    text = document.read_text()
    return [
        (text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for found in BLOCK.finditer(text)
    ]


def run_command(command: str) -> None:
    """Run one shell command; a long one is checked instead."""
    for beginning, check in LONG.items():
        if command.startswith(f"{beginning} "):
            check(command)
            return
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True)


def _is_a_target(command: str) -> None:
    root = Path(__file__).parents[2]
    subprocess.run(["make", "-n", "-C", str(root), *shlex.split(command)[1:]], check=True)


def _accepts_options(command: str) -> None:
    words = shlex.split(command)
    program = words[: 3 if words[1] == "-m" else 2]
    shown = subprocess.run(
        [*program, "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200", "TERM": "dumb"},
    ).stdout
    missing = [
        word for word in words[2:] if word.startswith("--") and word.split("=")[0] not in shown
    ]
    if missing:
        raise SystemExit(f"{command}: no such option {missing}")


def _names_known_extras(command: str) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"(?:burnish|\.|\.whl)\[([\w,]+)\]", command):
        unknown = set(extras.split(",")) - set(project["optional-dependencies"])
        if unknown:
            raise SystemExit(f"{command}: no such extra {unknown}")


def _is_known_to_pip(command: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--help"], check=True, capture_output=True, text=True
    ).stdout
    missing = [word for word in shlex.split(command) if word.startswith("--") and word not in shown]
    if missing:
        raise SystemExit(f"{command}: no such option {missing}")


LONG = {
    "make": _is_a_target,  # continuous integration runs each target
    "burnish demo": _accepts_options,  # tests/end_to_end runs it in full
    "burnish loop": _accepts_options,  # tests/trainer/test_loop.py runs it
    "burnish plan": _accepts_options,  # tests/trainer/test_planned_rounds.py runs it
    "burnish report": _accepts_options,  # tests/trainer/test_report.py runs it after a retrain
    "burnish retrain support": _accepts_options,  # the tutorial runs a retrain
    "burnish serve": _accepts_options,  # tests/sdk/serving runs the server
    "pip install": _names_known_extras,
    "pip wheel": _is_known_to_pip,  # tests/project/test_wheel.py builds it
    "python -m burnish_trainer.starter.pretrain": _accepts_options,  # an hour; tests/trainer/starter tries its parts
}


def run(document: Path) -> None:
    """Run the blocks of a document in order; the first failure ends the run."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for line, language, text in blocks(document):
        print(f"--- {document.name}:{line} ({language})", flush=True)
        if language == "python":
            exec(compile("\n" * line + text, str(document), "exec"), namespace)
        elif language == "sh":
            for command in text.replace("\\\n", " ").splitlines():
                if command.strip() and not command.startswith("#"):
                    run_command(command.split("  #")[0].strip())
        elif language == "toml":
            tomllib.loads(text)
        elif language not in SHOWN_ONLY:
            raise SystemExit(f"{document.name}:{line}: a block of language {language!r} is not run")


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    run(Path(sys.argv[1]).resolve())
