"""`burnish prompts` stores a text as a version and shows versions with their decisions and where they serve."""

import msgspec
import pytest

from burnish.adapters import Registry, Target
from burnish.adapters.prompt_store import PromptStore
from burnish.canary import Rollout
from burnish.errors import RegistryError, SettingsError, UnknownAgent
from burnish.files.platform import user_name
from burnish.project import CanaryConfig
from burnish.records import Evaluation


def test_a_text_is_stored_listed_and_shown_with_where_it_serves(project, burnish, tmp_path):
    (tmp_path / "better.md").write_text("Check the stock first.")
    (tmp_path / "own.md").write_text("You are a clerk.")
    added = burnish("prompts", "add", "support", "better.md", "--replaces", "own.md", "--json")
    assert added["texts"] == {"system": "Check the stock first."}
    assert added["defaults"] == {"system": "You are a clerk."}

    home = tmp_path / ".burnish"
    report = home / "evaluation.json"
    evaluation = Evaluation(
        agent="support", base_model="starter", before=None, after=None, after_prompt=added["id"],
        pools={}, trajectories=0,
    )  # fmt: skip
    report.write_bytes(msgspec.json.encode(evaluation))
    Registry(home).register("support", None, report, "promote", prompt=added["id"])
    target = Target(backend="own", prompt=added["id"])
    Rollout(home, "support").start(target, CanaryConfig(min_threads=5))

    (listed,) = burnish("prompts", "list", "support", "--json")
    assert listed["serves"] == ["canary of support"]
    assert listed["candidates"] == [{"adapter": None, "decision": "promote", "forced": False}]
    assert "Check the stock first." in burnish("prompts", "show", added["id"])
    with pytest.raises(UnknownAgent, match="'other'"):
        burnish("prompts", "list", "other", "--json")


def test_a_prompt_shows_who_forced_it_and_what_made_it(project, burnish, tmp_path):
    (tmp_path / "better.md").write_text("Check the stock first.")
    version = burnish("prompts", "add", "support", "better.md", "--json")
    home = tmp_path / ".burnish"
    made = {"score": {"before": 0.2, "best": 0.9}, "made_with": {"verifiers": [["check", "1"]]}}
    PromptStore(home).put("support", version["texts"], report=made)
    path = home / "evaluation.json"
    evaluation = Evaluation(
        agent="support", base_model="starter", before=None, after=None, after_prompt=version["id"],
        pools={}, trajectories=0,
    )  # fmt: skip
    path.write_bytes(msgspec.json.encode(evaluation))
    registry = Registry(home)
    registry.register("support", None, path, "reject", prompt=version["id"], forced=True)
    rollout = Rollout(home, "support")
    rollout.start(Target(backend="own", prompt=version["id"]), CanaryConfig(maturity_s=0.0))
    rollout.promote(force=True)

    shown = burnish("prompts", "show", version["id"], "--json")
    actions = [(line["action"], line["forced"]) for line in shown["history"]]
    assert actions == [("registered", True), ("staged", True), ("canary", True), ("promoted", True)]
    assert {line["by"].partition("@")[0] for line in shown["history"]} == {user_name()}
    assert shown["report"] == made
    text = " ".join(burnish("prompts", "show", version["id"]).split())
    assert "registered (forced) by" in text


def test_a_file_that_is_no_text_and_an_unknown_version_are_named(project, burnish, tmp_path):
    (tmp_path / "raw.md").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"raw.md cannot be read"):
        burnish("prompts", "add", "support", "raw.md")
    with pytest.raises(RegistryError, match="no prompt"):
        burnish("prompts", "show", "support-prompt@" + "0" * 12)
