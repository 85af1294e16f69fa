"""Bad input ends in one error with what was found, what was expected and the next command."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from burnish.testing.recording import Recording

pytestmark = pytest.mark.xdist_group("bad_input")  # all cases are run by the first test

GOOD = '[agent.support]\nbuild = "clerk_agent:build"\nbase_model = "starter"\n'
CHECKED = GOOD + 'verify = [{ goal_state = "clerk_checks:reached" }]\n'


class Bad(NamedTuple):
    """A folder with one fault, the command to type there, and the expected message."""

    words: str
    said: tuple[str, ...]
    config: str | None = GOOD
    files: Mapping[str, str] = MappingProxyType({})
    recorded: bool = False


CASES = {
    "unknown agent": Bad("dataset build suport", ("'suport'", "'support'")),
    "no burnish.toml": Bad("retrain support", ("no burnish.toml",), config=None),
    "broken TOML": Bad("dataset build support", ("burnish.toml",), config="[agent.support\n"),
    "unknown key": Bad(
        "dataset build support",
        ("unknown key 'verfy'", "'verify'"),
        config=GOOD + 'verfy = ["outcome"]\n',
    ),
    "import that fails": Bad(
        "dataset build support",
        ("'clerk_checks:reached' failed", "ZeroDivisionError"),
        config=CHECKED,
        files={"clerk_checks.py": "1 / 0\n"},
        recorded=True,
    ),
    "newer workspace": Bad(
        "traces list",
        ("has format 999",),
        files={".burnish/workspace.json": json.dumps({"format": 999})},
    ),
    "unknown trajectory": Bad("traces show nonesuch", ("no trajectory 'nonesuch'",), recorded=True),
    "no verifier": Bad("dataset build support", ("verif",), recorded=True),
    "no runs": Bad(
        "dataset build support",
        ("0 training rows are left", "0 runs came in"),
        config=CHECKED,
        files={"clerk_checks.py": "def reached(run, state):\n    return True\n"},
    ),
    "unknown agent of retrain": Bad("retrain suport", ("'suport'", "'support'")),
}


def typed(folder: Path, bad: Bad) -> subprocess.CompletedProcess[str]:
    """Make the folder and run the command there, in a separate process."""
    if bad.config is not None:
        (folder / "burnish.toml").write_text(bad.config)
    for name, text in bad.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    if bad.recorded:
        recording = Recording(folder / ".burnish")
        recording.write_run("4f1c2a" * 5, task_id="one")
        recording.writer.close()
    return subprocess.run(
        [sys.executable, "-m", "burnish.cli", *bad.words.split()],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if not key.startswith("BURNISH_")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """The outputs of all cases; two processes at a time."""
    folders = [tmp_path_factory.mktemp("bad") for _ in CASES]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CASES, pool.map(typed, folders, CASES.values()), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_bad_input_ends_in_one_error_that_says_what_to_do(name, answers):
    answer = answers[name]

    assert answer.returncode == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stderr.count("error:") == 1
    assert "  try: " in answer.stderr
    for part in CASES[name].said:
        assert part in answer.stderr
