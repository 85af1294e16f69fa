"""docs/contracts.md names every argument of public functions and verifiers, and its examples load."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/contracts.md"


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location(
        "contract_tables", ROOT / "docs/contract_tables.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rows(name):
    found = re.search(rf"<!-- table: {name} -->\n(.*?)<!-- end -->", PAGE.read_text(), re.DOTALL)
    assert found, f"docs/contracts.md has no table of {name}"
    cells = [re.split(r"(?<!\\)\|", line)[1:4] for line in found[1].splitlines()[2:]]
    return [(one.strip(), default.strip(), meaning.strip()) for one, default, meaning in cells]


def test_every_argument_stands_in_the_page_with_its_default(tables):
    remedy = "run python docs/contract_tables.py --write"
    for name, function in tables.contracts().items():
        rows = _rows(name)
        assert [row[:2] for row in rows] == tables.arguments_of(function), f"{name}: {remedy}"


def test_every_verifier_of_the_page_can_be_declared_as_it_is_shown(tmp_path):
    from burnish_exporters.verify import registry

    (tmp_path / "constitution.toml").write_text("max_calls = { cancel_order = 1 }\n")
    (tmp_path / "answer.schema.json").write_text('{"type": "object"}')
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/square.py").write_text("def test_nothing():\n    pass\n")
    for name in ("answers", "queries", "cases"):
        (tmp_path / f"{name}.json").write_text("{}")
    (tmp_path / "cases.json").write_text('{"*": [{"stdout": "4"}]}')
    (tmp_path / "shop.db").write_bytes(b"")
    shown = re.findall(r"^### (\S+)\n\n```toml\n(verify.*?)^```", PAGE.read_text(), re.M | re.S)

    assert sorted(name for name, _ in shown) == registry.known_verifiers()
    for name, text in shown:
        (made,) = registry.make_verifiers(tomllib.loads(text)["verify"], tmp_path)
        assert made.name == name


def test_the_constitution_of_the_page_has_every_key_and_is_read():
    from burnish_exporters.verify import rules
    from burnish_exporters.verify.checks.rules import Constitution

    (text,) = re.findall(r"^## Constitution\n.*?```toml\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    table = tomllib.loads(text)

    assert sorted(table) == sorted(Constitution.__struct_fields__)
    assert rules(table).constitution.max_calls == {"cancel_order": 1}
