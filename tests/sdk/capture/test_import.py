"""`import burnish` is quick and light, and shows the product on one page."""

import json
import subprocess
import sys

import pytest

import burnish

HEAVY = (
    "langchain",
    "langchain_core",
    "langgraph",
    "torch",
    "transformers",
    "openai",
    "sqlalchemy",
)


def in_a_fresh_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_loads_nothing_heavy():
    loaded = in_a_fresh_process("import burnish, json, sys; print(json.dumps(sorted(sys.modules)))")

    assert [name for name in loaded if name.split(".")[0] in HEAVY] == []


def test_importing_takes_less_than_a_tenth_of_a_second():
    """Take the best of several processes, to measure the import and not the machine's other work."""
    code = (
        "import time, json; t = time.process_time(); import burnish; "
        "print(json.dumps(time.process_time() - t))"
    )

    assert min(in_a_fresh_process(code) for _ in range(5)) < 0.1


def test_the_public_names_are_these():
    assert burnish.__all__ == [
        "Workspace", "configure", "errors", "flush", "outcome", "prompt", "records", "retrain",
        "route", "task", "trace", "wrap",
    ]  # fmt: skip
    assert burnish.__all__ == sorted(burnish.__all__)


@pytest.mark.parametrize("name", burnish.__all__)
def test_each_public_name_can_be_had(name):
    assert getattr(burnish, name) is not None
    assert name in dir(burnish)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'wrapp'"):
        burnish.wrapp  # noqa: B018
