"""Run LangGraph's and LangChain's own tests bare and with every graph wrapped, and compare each test.

python tests/suites/compare.py [--suite NAME] [--json FILE] [PYTEST_ARGUMENT ...]

`make suites` runs it in a separate environment. The tests are those of the source packages of the
installed versions. A test with different results is run once more, alone, both ways; if the results
then agree, the test is unstable and only listed. Ends with 1 if a difference remains that
`EXPECTED` does not explain.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
SOURCES = Path(sys.prefix) / "sources"


class Suite(NamedTuple):
    """The tests of one package: where they lie in its source package, and how they are run."""

    package: str
    tests: tuple[str, ...]
    arguments: tuple[str, ...] = ()


SUITES = {
    suite.package: suite
    for suite in (
        Suite("langgraph", ("tests",)),
        Suite("langgraph-prebuilt", ("tests",)),
        Suite(
            "langchain",
            ("tests/unit_tests/agents", "tests/unit_tests/chat_models"),
            ("--disable-socket", "--allow-unix-socket"),
        ),
    )
}
EXPECTED: dict[str, str] = {}
"""Tests that may end differently under `wrap`, each with its reason; there is none today."""


def main() -> int:
    """Compare the suites, print the differences, and return the exit code."""
    asked = argparse.ArgumentParser(description="Compare tests bare and wrapped.")
    asked.add_argument("--suite", choices=sorted(SUITES), action="append")
    asked.add_argument("--json", type=Path, help="write the figures into this file")
    given, more = asked.parse_known_args()
    figures: dict[str, Any] = {}
    unexplained = 0
    for name in given.suite or SUITES:
        found = compare_suite(SUITES[name], more)
        unexplained += len(found["different"])
        figures[f"{name} {metadata.version(name)}"] = found
        print_suite(name, found)
    if given.json:
        conditions = {
            "python": sys.version.split()[0],
            "langchain-core": _version("langchain-core"),
        }
        given.json.write_text(json.dumps({"figures": figures, "conditions": conditions}, indent=1))
    return 1 if unexplained else 0


def _version(package: str) -> str:
    return metadata.version(package)


def compare_suite(suite: Suite, more: list[str]) -> dict[str, Any]:
    """Run a suite both ways; return its counts, and the tests with different results."""
    folder = fetch_source(suite.package)
    named = [given for given in more if (folder / given.split("::")[0]).exists()]
    if named:
        suite, more = suite._replace(tests=tuple(named)), [x for x in more if x not in named]
    began = time.monotonic()
    bare = run_tests(folder, suite, more, wrapped=False)
    wrapped = run_tests(folder, suite, more, wrapped=True)
    different = differing(bare, wrapped)
    unstable: list[str] = []
    if different:
        again = [
            run_tests(folder, suite._replace(tests=tuple(different)), more, wrapped=wrap)
            for wrap in (False, True)
        ]
        still = differing(*again)
        unstable = sorted(set(different) - set(still))
        different = {name: found for name, found in still.items() if name not in EXPECTED}
    return {
        "bare": count_outcomes(bare),
        "wrapped": count_outcomes(wrapped),
        "different": different,
        "unstable": unstable,
        "seconds": round(time.monotonic() - began),
    }


def fetch_source(package: str) -> Path:
    """Return the unpacked source package of the installed version; fetches it once."""
    version = metadata.version(package)
    folder = SOURCES / f"{package.replace('-', '_')}-{version}"
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", ":all:", "--dest", place, f"{package}=={version}"]
        subprocess.run(command, check=True)
        (archive,) = Path(place).glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(SOURCES, filter="data")
    return folder


def run_tests(folder: Path, suite: Suite, more: list[str], *, wrapped: bool) -> dict[str, str]:
    """Run tests in their source package; return the result of each, by its id."""
    with tempfile.TemporaryDirectory() as place:
        results = Path(place) / "results.json"
        environment = {
            **os.environ,
            "BURNISH_HOME": str(Path(place) / "home"),
            "BURNISH_SUITES_RESULTS": str(results),
            "BURNISH_SUITES_WRAP": "1" if wrapped else "0",
            "NO_DOCKER": "true",  # without PostgreSQL and Redis
            "PYTHONPATH": str(HERE),
        }
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "wrap_everything",
            "-p",
            "no:cacheprovider",
        ]
        command += ["-q", "--no-header", "--tb=line", *suite.arguments, *more, *suite.tests]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if not results.is_file():
            sys.exit(
                f"the tests of {suite.package} did not run:\n{done.stdout[-2000:]}{done.stderr}"
            )
        return json.loads(results.read_text())


def differing(bare: dict[str, str], wrapped: dict[str, str]) -> dict[str, list[str]]:
    """Return the tests that pass, fail or are skipped in one way only."""
    return {
        name: [bare.get(name, "missing"), wrapped.get(name, "missing")]
        for name in sorted(bare.keys() | wrapped.keys())
        if _kind(bare.get(name)) != _kind(wrapped.get(name))
    }


def _kind(outcome: str | None) -> str:
    return (outcome or "missing").split(":")[0]


def count_outcomes(results: dict[str, str]) -> dict[str, int]:
    """Return how many tests ended in each way."""
    counts: dict[str, int] = {}
    for outcome in results.values():
        kind = _kind(outcome)
        counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items()))


def print_suite(name: str, found: dict[str, Any]) -> None:
    """Print the counts of a suite and every difference."""
    print(f"{name} {metadata.version(name)}: bare {found['bare']}, wrapped {found['wrapped']}")
    for test, (bare, wrapped) in found["different"].items():
        print(f"  {test}\n    bare    {bare}\n    wrapped {wrapped}")
    for test in found["unstable"]:
        print(f"  unstable by itself: {test}")
    print(f"  {len(found['different'])} different, {found['seconds']} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
