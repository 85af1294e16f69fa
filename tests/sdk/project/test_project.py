"""burnish.toml is read completely or refused with one clear error."""

import pickle
import sys
from pathlib import Path

import msgspec
import pytest

from burnish import settings
from burnish.errors import BurnishError, ImportPathError, SettingsError, UnknownAgent
from burnish.imports.import_path import keep_modules, resolve_object, unload_changed
from burnish.project import (
    AgentConfig,
    DatasetConfig,
    TrainConfig,
    describe_keys,
    load_project,
)

MINIMAL = '[agent.support]\nbuild = "agent:build"\nbase_model = "starter"\n'
EXAMPLE = Path(__file__).parents[3] / "docs" / "burnish.toml"


@pytest.fixture(autouse=True)
def fresh_settings(tmp_path, monkeypatch):
    for name in ("BURNISH_HOME", "BURNISH_CONFIG", "BURNISH_SAMPLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    settings.reset()
    yield
    settings.reset()


def written(folder: Path, text: str) -> Path:
    path = folder / "burnish.toml"
    path.write_text(text)
    return path


def test_an_agent_with_only_the_required_keys_has_the_documented_defaults(tmp_path):
    agent = load_project(written(tmp_path, MINIMAL)).agent("support")

    assert agent == AgentConfig(name="support", build="agent:build", base_model="starter")
    assert (agent.backend, agent.train.rank, agent.canary.steps[0]) == ("embedded", 16, 0.01)


def test_the_commented_example_parses_to_the_defaults():
    project = load_project(EXAMPLE)

    assert project.agent("support") == AgentConfig(
        name="support", build="agent:build", base_model="starter"
    )
    assert settings.current() == settings.Settings(home=EXAMPLE.parent / ".burnish")


def test_the_example_names_every_key_with_its_meaning():
    text = EXAMPLE.read_text()

    for table, key, _, default, help_text in describe_keys():
        assert help_text, f"{table}.{key} says nothing"
        assert f"# {help_text}\n{'# ' if default is None else ''}{key} = " in text, (table, key)


def test_the_file_is_found_from_a_folder_below(tmp_path, monkeypatch):
    written(tmp_path, MINIMAL)
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")

    assert load_project().folder == tmp_path


def test_the_configured_file_goes_before_the_nearest_one(tmp_path):
    written(tmp_path, MINIMAL)
    (tmp_path / "other").mkdir()
    other = written(tmp_path / "other", MINIMAL.replace("support", "sales"))
    settings.configure(config=other)

    assert list(load_project().agents) == ["sales"]


def test_a_missing_file_is_one_error_that_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(SettingsError, match=rf"no burnish\.toml in {tmp_path}"):
        load_project()


def test_a_file_that_is_no_toml_is_one_error_with_the_line(tmp_path):
    with pytest.raises(SettingsError, match=r"is not TOML: .*line 1"):
        load_project(written(tmp_path, "[agent.support\n"))


@pytest.mark.parametrize(
    ("extra", "unknown", "nearest"),
    [
        ("bulid = 1\n", "bulid", "build"),
        ("[agent.support.canary]\nmin_thread = 3\n", "min_thread", "min_threads"),
        ("[agent.support.canary.guards]\nerror = true\n", "error", "errors"),
        ("[agents.x]\n", "agents", "agent"),
        ('[burnish]\nhom = "x"\n', "hom", "home"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(tmp_path, extra, unknown, nearest):
    with pytest.raises(SettingsError, match=rf"'{unknown}'.*expected '{nearest}'"):
        load_project(written(tmp_path, MINIMAL + extra))


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("[agent.support.train]\nrank = 0\n", r"rank"),
        ('[agent.support.train]\nrank = "big"\n', r"rank"),
        ("[agent.support.canary]\nsteps = [0.5, 0.25, 1.0]\n", r"growing shares"),
        ("[agent.support.canary]\nsteps = [1.0]\n", r"growing shares below 1\.0"),
        ("[agent.support.canary]\nsteps = [0.25, 0.5]\n", r"1\.0 at the end"),
        ("[agent.support]\n", r"is not TOML"),
        ("canary = 3\n", r"expected a table"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_key(tmp_path, extra, said):
    with pytest.raises(SettingsError, match=said):
        load_project(written(tmp_path, MINIMAL + extra))


def test_an_agent_without_a_build_path_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"\[agent\.support\].*build"):
        load_project(written(tmp_path, "[agent.support]\nbase_model = 'starter'\n"))


def test_an_unknown_agent_is_answered_with_the_nearest_one(tmp_path):
    project = load_project(written(tmp_path, MINIMAL))

    with pytest.raises(UnknownAgent, match="expected 'support'") as caught:
        project.agent("suport")
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), UnknownAgent)


def test_the_settings_table_yields_to_environment_and_configure(tmp_path, monkeypatch):
    written(tmp_path, MINIMAL + '[burnish]\nhome = "runs"\nsample = 0.25\nkeep_days = 3\n')
    monkeypatch.setenv("BURNISH_SAMPLE", "0.5")
    settings.configure(keep_days=9)

    current = settings.current()

    assert (current.home, current.sample, current.keep_days) == (tmp_path / "runs", 0.5, 9)


def test_who_listens_is_told_of_the_settings_of_a_project(tmp_path):
    told = []
    settings.on_change(lambda: told.append("changed"))

    load_project(written(tmp_path, MINIMAL + "[burnish]\nsample = 0.25\n"))

    assert told == ["changed"]
    assert settings.current().sample == 0.25

    settings.reset()

    assert told == ["changed", "changed"]


def test_a_setting_that_no_file_can_hold_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="unknown key 'exporters'"):
        load_project(written(tmp_path, "[burnish]\nexporters = []\n"))


def test_an_import_path_is_followed_relative_to_the_folder(tmp_path):
    (tmp_path / "burnish_test_agent.py").write_text("class A:\n    def build(): return 7\n")

    assert resolve_object("burnish_test_agent:A.build", tmp_path)() == 7


def test_namesakes_of_two_projects_do_not_mix(tmp_path):
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "burnish_namesake.py").write_text(f"N = {number}\n")

    assert [resolve_object("burnish_namesake:N", tmp_path / name) for name in "121"] == [1, 2, 1]


def test_what_a_module_imports_comes_from_its_own_project(tmp_path):
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "burnish_inner.py").write_text(f"N = {number}\n")
        (folder / "burnish_outer.py").write_text("from burnish_inner import N\n")

    assert [resolve_object("burnish_outer:N", tmp_path / name) for name in "121"] == [1, 2, 1]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("no_colon", r"expected \"module:function\""),
        ("not_there_at_all:build", r"ModuleNotFoundError.*not_there_at_all"),
        ("burnish_broken:build", r"ZeroDivisionError: division by zero"),
        ("burnish_whole:biuld", r"has no 'biuld'; expected 'build'"),
    ],
)
def test_an_import_that_fails_says_what_was_tried(tmp_path, spec, said):
    (tmp_path / "burnish_broken.py").write_text("1 / 0\n")
    (tmp_path / "burnish_whole.py").write_text("def build(): ...\n")

    with pytest.raises(ImportPathError, match=said) as caught:
        resolve_object(spec, tmp_path)
    assert isinstance(caught.value, BurnishError | ImportError)


def test_a_key_of_the_file_and_a_field_of_a_recipe_are_one_definition():
    from burnish_exporters import Recipe
    from burnish_trainer.recipes import TrainRecipe

    for table, recipe, own in (
        (DatasetConfig, Recipe, {"recipe"}),
        (TrainConfig, TrainRecipe, {"start", "recipe"}),
    ):
        keys = {field.name: field for field in msgspec.structs.fields(table)}
        fields = {field.name: field for field in msgspec.structs.fields(recipe)}
        shared = table.__mro__[1]
        assert issubclass(recipe, shared)
        assert keys.keys() - fields.keys() == own
        assert keys.keys() - own == set(shared.__struct_fields__)
        assert {str(keys[name]) for name in shared.__struct_fields__} == {
            str(fields[name]) for name in shared.__struct_fields__
        }


def test_changed_modules_of_a_project_are_imported_again_and_others_stay(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, text in ((one, "from parts_a import VALUE\n"), (other, "VALUE = 'other'\n")):
        folder.mkdir()
        (folder / f"main_{folder.name}.py").write_text(text)
    (one / "parts_a.py").write_text("VALUE = 'old'\n")
    assert resolve_object("main_other:VALUE", other) == "other"
    assert resolve_object("main_one:VALUE", one) == "old"
    kept = sys.modules["main_other"], sys.modules["main_one"]

    assert unload_changed(one) == []
    assert (sys.modules["main_other"], sys.modules["main_one"]) == kept

    (one / "parts_a.py").write_text(
        "VALUE = 'new'\n"
    )  # of the same size and second: its .pyc counts as current
    assert unload_changed(one) == ["parts_a.py"]
    assert resolve_object("main_one:VALUE", one) == "new"
    assert sys.modules["main_other"] is kept[0]
    assert unload_changed(one) == []
    (one / "parts_a.py").unlink()
    assert unload_changed(one) == ["parts_a.py"]
    with pytest.raises(ImportPathError, match="parts_a"):
        resolve_object("main_one:VALUE", one)


def test_modules_that_are_not_of_the_project_are_never_unloaded(tmp_path):
    (tmp_path / "main_two.py").write_text("import json, burnish.records\nVALUE = 1\n")
    resolve_object("main_two:VALUE", tmp_path)
    before = dict(sys.modules)
    (tmp_path / "main_two.py").write_text("VALUE = 2\n")

    assert unload_changed(tmp_path) == ["main_two.py"]
    assert before.keys() - sys.modules.keys() == {"main_two"}


def test_work_keeps_the_modules_that_it_began_with(tmp_path):
    file = tmp_path / "main_three.py"
    file.write_text("VALUE = 'old'\n")
    resolve_object("main_three:VALUE", tmp_path)
    file.write_text("VALUE = 'new'\n")
    with keep_modules():
        with keep_modules():
            assert unload_changed(tmp_path) == []
        assert unload_changed(tmp_path) == []
        assert resolve_object("main_three:VALUE", tmp_path) == "old"

    assert unload_changed(tmp_path) == ["main_three.py"]
    assert resolve_object("main_three:VALUE", tmp_path) == "new"
