"""Every command and code block of the README and of the documentation runs unchanged."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("examples/*/README.md"),
        ROOT / "trainer" / "burnish_trainer" / "starter" / "README.md",
    ]
)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_blocks_of_a_document_run(document: Path, tmp_path: Path) -> None:
    """In a copy of the examples: that of the document itself, otherwise the support desk."""
    examples = tmp_path / "examples"
    left_out = shutil.ignore_patterns("__pycache__", ".burnish*")
    shutil.copytree(ROOT / "examples", examples, ignore=left_out)
    is_of_an_example = document.parent.parent == ROOT / "examples"
    project = examples / (document.parent.name if is_of_an_example else "support_desk")
    if document.name == "tutorial.md":  # it begins with nothing
        project = examples / "my-analyst"
        project.mkdir()
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("BURNISH_", "PYTEST_"))
    }
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"

    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_document.py")), str(document)],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
            if "://" not in target and not (document.parent / target).exists():
                broken.append(f"{document.name} -> {target}")

    assert broken == []
