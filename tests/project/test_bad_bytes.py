"""A byte that is not UTF-8 in one stored JSON file never ends the reading of the others.

For such a byte `msgspec.json.decode` raises UnicodeDecodeError, which is not a `msgspec.DecodeError`.
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

from burnish.adapters import AdapterStore
from burnish.errors import ExportError, RegistryError
from burnish.files.storage import BROKEN_JSON
from burnish_exporters import DatasetVersion
from burnish_exporters.commands.dataset import _used_datasets
from burnish_exporters.dataset.store import DatasetStore

TOP = Path(__file__).parents[2]
WRITTEN = Path(__file__).parent / "written_by_99de4c1" / "home"
DATASET, ADAPTER = "desk@ff0b2d49b1d6", "desk@0ebc1373e187"


@pytest.fixture
def home(tmp_path):
    shutil.copytree(WRITTEN, tmp_path / "home")
    return tmp_path / "home"


def spoil(path: Path, value: str) -> None:
    """Put a byte that is not UTF-8 into a value."""
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(value.encode(), value.encode()[:-1] + b"\xe5", 1))


def test_an_unreadable_dataset_hides_no_other_and_is_named(home):
    copy = home / "datasets" / "other@ff0b2d49b1d6"
    shutil.copytree(home / "datasets" / DATASET, copy)
    spoil(copy / "manifest.json", "desk")

    found, unreadable = DatasetStore(home / "datasets").scan_versions()

    assert [version.id for version in found] == [DATASET]
    assert len(unreadable) == 1
    assert str(copy) in unreadable[0]
    with pytest.raises(ExportError, match="no dataset version in"):
        DatasetVersion.open(copy)


def test_an_unreadable_adapter_hides_no_other_and_keeps_every_dataset(home):
    copy = home / "adapters" / "other@0ebc1373e187"
    shutil.copytree(home / "adapters" / ADAPTER, copy)
    spoil(copy / "burnish.json", "desk")
    store = AdapterStore(home)

    assert [manifest.id for manifest in store.list()] == [ADAPTER]
    with pytest.raises(RegistryError, match="cannot be read"):
        store.get(copy.name)
    (copy / "burnish.json").write_bytes(b'{"dataset":"desk@\xe5"}')
    with pytest.raises(RegistryError, match="cannot be read"):
        _used_datasets(home)


@pytest.mark.parametrize(
    ("file", "value", "said"),
    [("SHA256SUMS", "burnish.json", "was altered"), ("adapter_config.json", "LORA", "is not JSON")],
)
def test_an_altered_adapter_is_told(home, file, value, said):
    store = AdapterStore(home)
    store.verify(ADAPTER)
    spoil(home / "adapters" / ADAPTER / file, value)

    with pytest.raises(RegistryError, match=said):
        store.verify(ADAPTER)


def test_what_catches_the_errors_of_msgspec_catches_bytes_that_are_no_text():
    assert issubclass(UnicodeDecodeError, BROKEN_JSON)
    narrow = []
    for package in ("sdk", "exporters", "trainer"):
        for path in sorted((TOP / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                caught = _caught_errors(node)
                named = set(re.findall(r"[A-Za-z_]+", caught))
                if named & {"DecodeError", "MsgspecError"} and not named & {
                    "ValueError",
                    "UnicodeDecodeError",
                    "UnicodeEncodeError",
                }:
                    narrow.append(f"{path.relative_to(TOP)}:{getattr(node, 'lineno', 0)}: {caught}")
    assert not narrow, "name BROKEN_JSON of burnish.files.storage"


def _caught_errors(node: ast.AST) -> str:
    if isinstance(node, ast.ExceptHandler) and node.type is not None:
        text = ast.unparse(node.type)
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "contextlib.suppress":
        text = ast.unparse(node)
    else:
        return ""
    return text if "msgspec." in text else ""
