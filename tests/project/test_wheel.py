"""The wheel holds the files that the demo needs: the example project, the weights, the chat template."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STARTER = "burnish_trainer/starter"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names in a wheel built from this tree, and how to read them."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as opened:
        yield opened


def test_the_wheel_holds_three_packages_and_their_types(wheel):
    packages = {name.partition("/")[0] for name in wheel.namelist() if name.endswith(".py")}

    assert packages == {"burnish", "burnish_exporters", "burnish_trainer"}
    assert {f"{package}/py.typed" for package in packages} <= set(wheel.namelist())


@pytest.mark.parametrize("name", ["agent.py", "desk.py", "tasks.py", "checks.py", "burnish.toml"])
def test_the_wheel_holds_the_example_project_that_the_demo_copies(wheel, name):
    content = wheel.read(f"{STARTER}/support_desk/{name}")

    assert content == (ROOT / "examples/support_desk" / name).read_bytes()


def test_the_wheel_holds_the_bundled_model(wheel):
    weights = wheel.read(f"{STARTER}/weights/model.safetensors")

    assert hashlib.sha256(weights).hexdigest() in wheel.read(f"{STARTER}/weights/SHA256").decode()
    for name in ("config.json", "tokenizer.json", "chat_template.jinja"):
        assert wheel.read(f"{STARTER}/weights/{name}")
    assert wheel.read(f"{STARTER}/chat_template.jinja")


def test_the_wheel_holds_nothing_that_runs_left_behind(wheel):
    left = [name for name in wheel.namelist() if "__pycache__" in name or ".burnish" in name]

    assert left == []
