"""A command or call that needs an extra which is not installed names the extra."""

from __future__ import annotations

import subprocess
import sys

import pytest

from burnish.errors import MissingExtra
from burnish.imports.extras import find_extra, import_extra, list_extras
from burnish.imports.lazy_exports import lazy_exports

HIDDEN = ("pyarrow", "uvicorn", "starlette", "torch", "presidio_analyzer", "detect_secrets")
PROGRAM = """
import sys
for name in {hidden!r}:
    sys.modules[name] = None
sys.argv = ["burnish", *{words!r}]
from burnish.cli import main
main()
"""


def test_every_optional_package_belongs_to_the_smallest_extra_that_brings_it():
    extras = list_extras()

    assert extras["pyarrow"] == "export"
    assert extras["uvicorn"] == extras["torch"] == "serve"
    assert extras["trl"] == "train"
    assert extras["grpc"] == "grpc"
    assert extras["presidio_analyzer"] == "redact"
    assert find_extra("pyarrow.parquet") == "export"
    assert find_extra("json") is None


def test_a_missing_package_is_an_error_with_the_line_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    with pytest.raises(MissingExtra, match=r"pip install 'burnish\[export\]'") as caught:
        import_extra("pyarrow.parquet")
    assert isinstance(caught.value, ImportError)


def test_a_name_that_a_package_exports_late_names_the_extra_that_it_needs(monkeypatch):
    get_attribute, list_names = lazy_exports("burnish", {"writer": "pyarrow.parquet"}, always=["x"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    with pytest.raises(MissingExtra, match=r"pip install 'burnish\[export\]'"):
        get_attribute("writer")
    with pytest.raises(AttributeError, match="module 'burnish' has no attribute 'reader'"):
        get_attribute("reader")
    assert list_names() == ["writer", "x"]


def test_a_module_of_nobody_stays_what_it_is():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        import_extra("no_such_module")


@pytest.mark.parametrize("words", [["serve"], ["dataset", "build", "q"], ["retrain", "q"]])
def test_a_command_of_a_base_install_names_the_extra(tmp_path, words):
    (tmp_path / "burnish.toml").write_text(
        '[agent.q]\nbuild = "x:y"\nbase_model = "starter"\nverify = ["outcome"]\n'
    )
    record = (
        "import burnish\n"
        "@burnish.trace(agent='q', thread_id='t')\n"
        "def f(q):\n"
        "    with burnish.trace.model_call(model='m', messages=[{'role': 'user', 'content': q}]) as c:\n"
        "        c.reply('x')\n"
        "    return 'x'\n"
        "f('a')\nburnish.outcome(thread_id='t', success=True, source='crm')\nburnish.flush()\n"
    )
    subprocess.run([sys.executable, "-c", record], cwd=tmp_path, check=True)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(hidden=HIDDEN, words=words)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    if words != ["retrain", "q"]:  # it stops earlier: the agent's module does not exist
        assert "pip install 'burnish[" in done.stderr
