"""The workflow and the hooks call only targets and programs that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())


def test_each_job_calls_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name, job in WORKFLOW["jobs"].items():
        called = [
            step["run"].split()[1:] for step in job["steps"] if "make " in step.get("run", "")
        ]
        assert called, f"{name} calls no target"
        assert set().union(*called) <= targets, name


def test_every_python_that_is_declared_is_tried() -> None:
    declared = re.findall(
        r"Programming Language :: Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text()
    )

    assert WORKFLOW["jobs"]["tests"]["strategy"]["matrix"]["python"] == declared
    assert WORKFLOW["jobs"]["recorder-on-macos"]["runs-on"].startswith("macos")


def test_the_hooks_are_the_tools_of_make_lint() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    for hook in local["hooks"]:
        assert Path(hook["entry"].split()[0]).name in lint, hook["id"]


@pytest.mark.xdist_group("groups")
def test_tests_of_a_group_share_a_worker(request: pytest.FixtureRequest) -> None:
    """Fixtures that take minutes would be built by each worker, and nothing would tell."""
    if not hasattr(request.config, "workerinput"):
        pytest.skip("one process runs all tests")
    assert request.node.nodeid.endswith("@groups"), "pytest-xdist does not see the groups"
