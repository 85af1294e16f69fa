"""Names that other libraries keep to themselves are listed, probed, and missed before any work."""

from __future__ import annotations

import pytest
from transformers import Trainer

from burnish.compat import LibraryTable, PrivateName, list_tables
from burnish.compat.langchain import FORMAT_FOR_TRACING
from burnish.errors import TrainingError
from burnish_trainer.compat import TABLES, check_libraries


def test_all_names_are_there_in_the_versions_that_are_installed():
    tables = [*list_tables(), *TABLES]
    missing = {table.distribution: table.probe() for table in tables}
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


def test_a_field_that_only_the_instance_has_is_found_in_the_source():
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
