"""Private names of other libraries are listed and probed, and a missing one stops training before any work."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from transformers import Trainer

from burnish.compat import LibraryTable, PrivateName, list_tables
from burnish.compat.langchain import FORMAT_FOR_TRACING
from burnish.compat.langgraph import CHECKPOINTER_KEY
from burnish.errors import TrainingError
from burnish_trainer.compat import TABLES, check_libraries

ROOT = Path(__file__).parents[2]


def test_all_names_are_there_in_the_versions_that_are_installed():
    missing: dict[str, list[PrivateName]] = {}
    for table in (*list_tables(), *TABLES):
        if table.installed_version():
            missing.setdefault(table.distribution, []).extend(table.probe())
    assert {name: [*map(str, names)] for name, names in missing.items() if names} == {}
    assert {
        "langchain-core",
        "langchain-openai",
        "langgraph",
        "openai",
        "trl",
        "transformers",
    } <= set(missing)


def test_training_is_refused_before_work_where_a_name_is_gone(monkeypatch):
    monkeypatch.delattr(Trainer, "_get_output_dir")
    with pytest.raises(
        TrainingError, match=r"transformers .* has no transformers\.Trainer\._get_output_dir"
    ):
        check_libraries()


def test_a_field_that_only_the_instance_has_is_found_in_its_methods():
    def field(name):
        return PrivateName(
            module="trl.trainer.sft_trainer",
            path=f"SFTTrainer.{name}",
            needed_for="",
            without_it="",
            of_instance=True,
        )

    assert field("_metrics").is_present()
    assert not field("_no_such_field").is_present()
    assert not field("_get_num_items_in_batch").is_present(), "a method that is called is not set"


def test_a_name_of_a_library_that_is_not_installed_is_missing():
    name = PrivateName(module="no_such_library", path="a._b", needed_for="", without_it="")
    table = LibraryTable(distribution="no-such-library", tried_with="1.0", names=(name,))
    assert table.installed_version() is None
    assert table.probe() == [name]


def test_a_missing_class_does_not_end_the_probe():
    name = PrivateName(
        module=FORMAT_FOR_TRACING.module, path="Gone._generate", needed_for="", without_it=""
    )
    assert not name.is_present()


def test_a_constant_that_holds_another_value_is_missing():
    key = msgspec.structs.replace(CHECKPOINTER_KEY, value="another")
    assert CHECKPOINTER_KEY.is_present()
    assert not key.is_present()


def test_each_private_name_that_the_code_touches_is_in_a_table():
    """Lines that ruff lets touch another object's private name, apart from those about our own."""
    listed = {
        name.path.split(".")[-1] for table in (*list_tables(), *TABLES) for name in table.names
    }
    touched = set()
    for folder in ("sdk/burnish/capture/clients", "sdk/burnish/capture/patches"):
        for path in (ROOT / folder).rglob("*.py"):
            for line in path.read_text().splitlines():
                if "noqa: SLF001" in line:
                    code = line.partition("#")[0]
                    touched |= {name for _, name in re.findall(r"(\w+)\.(_[a-z]\w*)", code)}
    assert len(touched) >= 6
    assert touched - listed == set()
