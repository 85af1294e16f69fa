"""Task sets are made from recorded runs, refreshed and checked; what is measured on is never learned from."""

from __future__ import annotations

import json

import msgspec
import pytest
from gate_by_hand import attempt, measured, pool
from recorded_runs import record_run, text

import burnish
from burnish.errors import EvaluationError, WorkspaceError
from burnish.records import Task, Trajectory
from burnish_exporters import build_dataset, make_verifiers
from burnish_exporters.curate.steps.pools import Refusals, task_hash
from burnish_exporters.tasks.set_versions import read_manifest
from burnish_exporters.tasks.task_files import read_tasks
from burnish_exporters.tasks.task_sources import hash_tasks
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.evaluation.comparison import compare_pool, task_facts
from burnish_trainer.heldout_uses import decide_and_record, next_number
from burnish_trainer.tasks.editing import add_run, refresh_heldout
from burnish_trainer.tasks.from_traces import sample_tasks
from burnish_trainer.tasks.run_task import NoTask, read_input, request_of_row
from burnish_trainer.tasks.set_check import check_sets

WORDS = [
    "apple",
    "river",
    "stone",
    "cloud",
    "ember",
    "maple",
    "quartz",
    "violet",
    "walnut",
    "zephyr",
    "copper",
    "lagoon",
]


def use_files(shop, named='"tasks/"'):
    toml = shop / "burnish.toml"
    toml.write_text(toml.read_text().replace('"shop:tasks"', named, 1))
    return load_agent("shop")


def ask(word, **fields):
    return record_run(f"Please send the invoice for the {word}", **fields)


def test_tasks_are_a_sample_of_each_kind(shop):
    for word in WORDS[:9]:
        ask(word, tags=["kind:invoice"])
    record_run("Cancel everything, now", tags=["kind:cancel"])
    sample = sample_tasks(load_agent("shop"), 5)
    assert sample.kinds == {"invoice": 4, "cancel": 1}
    assert sample.left_out == {"more than asked for": 5}
    assert sample_tasks(load_agent("shop"), 5).rows[0]["id"] == sample.rows[0]["id"]
    assert len(sample_tasks(load_agent("shop"), 50).rows) == 10


def test_near_duplicates_and_what_gives_no_task_are_left_out_and_counted(shop):
    ask("apple")
    ask("apple", at=1_800_000_000_000_000_000)
    record_run("please, send the invoice for the APPLE!")
    record_run("total of order 20")  # a held-out task of the agent
    ask("river", status="cancelled")
    ask("stone", source="evaluation")
    ask("cloud", metadata={"pool": "standing"})
    image = {"role": "user", "parts": [{"type": "blob", "modality": "image", "content": "AA=="}]}
    ask("maple", input={"messages": [image]})
    sample = sample_tasks(load_agent("shop"), 9)
    assert [request_of_row(row) for row in sample.rows] == ["Please send the invoice for the apple"]
    assert sample.runs == 7
    assert sample.left_out == {
        "cancelled, not ended": 1,
        "an attempt at a measured task": 1,
        "the input holds more than text": 1,
        "like another task": 3,
    }


def test_a_run_without_input_gives_no_task():
    with pytest.raises(NoTask, match="no input"):
        read_input(Trajectory(id="1", agent="shop", status="completed"))


def test_a_turn_of_a_conversation_is_no_task(shop):
    run = record_run("And for the river?")
    first = burnish.Workspace().trajectory(run).model_calls[0]
    earlier = [
        *first.messages[:1],
        text("user", "For the apple?"),
        text("assistant", "12"),
        *first.messages[1:],
    ]
    call = msgspec.structs.replace(first, messages=earlier)
    record_run("And for the stone?", model_calls=[call], tool_runs=[])
    sample = sample_tasks(load_agent("shop"), 9)
    assert [row["input"]["messages"][0]["content"] for row in sample.rows] == ["And for the river?"]
    assert sample.left_out == {"continues a conversation": 1}


def test_what_was_trained_on_gives_no_held_out_task(shop):
    goal = load_agent("shop").verifiers[0]
    for word in WORDS[:3]:
        ask(word, label="success", verifier=goal, final_state={"x": 1})
    version = build_dataset(burnish.Workspace(), agent="shop", verify=[goal])
    assert version.manifest.rows["train"] == 3
    ask("apple", at=1_800_000_000_000_000_000)
    ask("river bank", label="fail", verifier=goal)
    record_run("Where is the lagoon?", label="fail", verifier=goal)
    sample = sample_tasks(load_agent("shop"), 9)
    assert [row["input"]["messages"][0]["content"] for row in sample.rows] == [
        "Where is the lagoon?"
    ]
    assert sample.left_out == {
        "in the training data": 3,
        "like training data (exact)": 1,
        "like training data (near duplicate)": 1,
    }
    assert sample_tasks(load_agent("shop"), 9, measured=False).left_out == {"like another task": 2}


def test_a_task_is_redacted_and_has_a_reference_only_if_the_run_is_verified(shop):
    goal = load_agent("shop").verifiers[0]
    asked = {"role": "user", "parts": [{"type": "text", "content": "Invoice of ann@example.org"}]}
    good = record_run("Invoice of ann@example.org", input={"messages": [asked], "locale": "de"}, final_state={"paid": 12},
                      answer="Sent to ann@example.org", label="success", verifier=goal)  # fmt: skip
    bad = ask("river", label="fail", verifier=goal)
    rows = {row["origin"]["trajectory"]: row for row in sample_tasks(load_agent("shop"), 9).rows}
    made = json.dumps(rows[good])
    assert "ann@example.org" not in made
    (message,) = rows[good]["input"]["messages"]
    assert set(message) == {"role", "content"}
    assert rows[good]["input"]["locale"] == "de"
    assert rows[good]["reference"]["state"] == {"paid": 12}
    assert rows[good]["reference"]["answer"].startswith("Sent to ")
    assert "reference" not in rows[bad]
    assert rows[bad]["id"] == burnish.Workspace().trajectory(bad).task_id


def test_a_failing_run_becomes_a_standing_task_with_one_command(shop, command_line):
    subject = use_files(shop)
    run = ask("apple")
    code, out, err = command_line("tasks", "add", "shop", run[:12], "--tag", "edge")
    assert code == 0, err
    assert "1 tasks written to" in out
    (task,) = subject.tasks("standing")
    assert task.tags == ["edge"]
    code, _, err = command_line("tasks", "add", "shop", run, "--pool", "heldout")
    assert code == 1
    assert "is in the pool standing already" in err
    refused = Refusals([], refused=[task_hash(task.id)])
    assert refused.of_task(burnish.Workspace().trajectory(run).task_id) == "held out: task"
    code, out, _ = command_line("tasks", "show", "shop", task.id)
    assert json.loads(out)["origin"]["trajectory"] == run
    with pytest.raises(WorkspaceError):
        add_run(subject, "0" * 32, "standing")
    (shop / "burnish.toml").write_text(
        (shop / "burnish.toml").read_text()
        + '\n[agent.other]\nbuild = "shop:build"\nbase_model = "starter"\n'
    )
    with pytest.raises(EvaluationError, match="is of agent 'shop'"):
        add_run(load_agent("other"), run, "standing")


def test_fresh_held_out_tasks_restart_the_count_of_decisions(shop, home):
    subject = use_files(shop)
    for word in WORDS[:4]:
        ask(word)
    burnish_tasks = sample_tasks(subject, 4)
    from burnish_trainer.tasks.editing import add_rows

    written = add_rows(subject, "heldout", burnish_tasks.rows)
    assert written.named
    old = subject.tasks("heldout")
    _decide_on(home, old)
    assert next_number(home, [fact.sha256 for fact in task_facts(old).values()]) == 2
    with pytest.raises(EvaluationError, match=r"4 runs give 0 fresh tasks .*a task already"):
        refresh_heldout(subject)
    assert subject.tasks("heldout") == old, "nothing changes where too few runs give fresh tasks"
    for word in WORDS[4:9]:
        ask(word)
    written, _ = refresh_heldout(subject)
    fresh = subject.tasks("heldout")
    assert (written.added, written.retired, len(fresh)) == (4, 4, 4)
    assert not {t.id for t in fresh} & {t.id for t in old}
    assert sum(one.retired for one in read_tasks(shop / "tasks")) == 4
    assert next_number(home, [fact.sha256 for fact in task_facts(fresh).values()]) == 1
    versions = read_manifest(shop / "tasks").versions
    assert [version.by for version in versions] == ["add", "refresh"]
    assert versions[-1].pools["heldout"].sha256 == hash_tasks(fresh)
    with pytest.raises(EvaluationError, match="1 fresh tasks"):
        refresh_heldout(subject)


def _decide_on(home, tasks):
    found = pool("heldout", total=4, before=1, won=2, lost=0)
    facts = list(task_facts(tasks).items())
    named = [
        msgspec.structs.replace(one, task=facts[n][0], sha256=facts[n][1].sha256)
        for n, one in enumerate(found.tasks)
    ]
    heldout = msgspec.structs.replace(found, tasks=named)
    rules = load_agent("shop").config.gate
    decide_and_record(home, measured(heldout), rules)


def test_a_set_that_leaks_is_named(shop, command_line):
    subject = use_files(shop)
    tasks = shop / "tasks"
    tasks.mkdir()

    def write(pool, *asked, **more):
        rows = [{"id": f"{pool}-{n}", "input": one, **more} for n, one in enumerate(asked)]
        (tasks / f"{pool}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    write("train", "Send the invoice for the apple")
    write(
        "heldout",
        "send the invoice for the Apple",
        "What does the river cost?",
        tags=["edge", "mine"],
    )
    write("standing", "What does the river cost?", "Where is the stone?", "where is the stone")
    found = check_sets(subject)
    assert found.trained == {"heldout-0": "exact"}
    assert found.shared == [("heldout-1", "standing-0", "exact")]
    assert found.repeated == {"standing": 1}
    assert found.slices["edge"] == 2
    assert found.missing_slices == [
        "paraphrase",
        "unseen_tool",
        "unneeded_tool",
        "should_abstain",
        "instruction_hierarchy",
    ]
    assert "too few to show any gain" in found.power
    code, out, _ = command_line("tasks", "check", "shop", "--json")
    assert (code, json.loads(out)["sound"]) == (1, False)
    write("heldout", "What does the lagoon cost?")
    code, out, _ = command_line("tasks", "check", "shop")
    assert code == 0, out
    assert "missing: paraphrase" in out
    (tasks / "heldout.jsonl").write_text("{\n[]\n")
    code, out, _ = command_line("tasks", "check", "shop", "--json")
    told = json.loads(out)
    assert code == 1
    assert [problem.partition(":")[0] for problem in told["malformed"]] == [
        "heldout.jsonl, line 1", "heldout.jsonl, line 2",
    ]  # fmt: skip
    assert (told["unread"][0], told["power"], told["missing_slices"]) == ("train", "", [])
    _, out, _ = command_line("tasks", "check", "shop")
    assert "not counted: see below" in " ".join(out.split())
    assert "gate cannot promote" not in " ".join(out.split())  # it was not read


def test_training_data_that_holds_a_task_is_found(shop):
    subject = use_files(shop)
    goal = subject.verifiers[0]
    ask("apple", label="success", verifier=goal, final_state={"x": 1})
    build_dataset(burnish.Workspace(), agent="shop", verify=[goal])
    (shop / "tasks").mkdir()
    row = {"id": "a", "input": {"messages": [("user", "please send the invoice for the apple")]}}
    (shop / "tasks/heldout.jsonl").write_text(json.dumps(row))
    assert check_sets(subject).trained == {"a": "exact"}


def test_the_commands_write_and_list_sets(shop, command_line):
    for word in WORDS[:6]:
        ask(word)
    code, out, err = command_line(
        "tasks", "from-traces", "shop", "--pool", "heldout", "--count", "3"
    )
    assert code == 0, err
    assert "3 tasks written" in out
    assert 'add "tasks/" to `tasks` in [agent.shop]' in out
    use_files(shop, '["shop:tasks", "tasks/"]')
    code, out, _ = command_line("tasks", "list", "shop", "--json")
    assert code == 0
    told = json.loads(out)
    assert {one["pool"]: one["tasks"] for one in told["pools"]} == {
        "train": 8, "heldout": 11, "standing": 8, "capability": 8,
    }  # fmt: skip
    assert told["versions"][0]["version"] == 1
    assert told["versions"][0]["current"]
    code, out, _ = command_line("tasks", "list", "shop")
    assert "version 1 of" in out
    code, out, _ = command_line("tasks", "from-traces", "shop", "--count", "3", "--json")
    assert json.loads(out)["added"] == 3
    assert len(read_tasks(shop / "tasks")) == 6
    code, _, err = command_line("tasks", "from-traces", "shop")
    assert code == 1
    assert "give no new task" in err
    code, _, err = command_line("tasks", "show", "shop", "heldout-2000")
    assert code == 1
    code, out, _ = command_line("tasks", "show", "shop", "heldout-20")
    assert json.loads(out)["pool"] == "heldout"


def test_task_ids_find_their_reference(shop):
    goal = load_agent("shop").verifiers[0]
    run = ask("apple", label="success", verifier=goal, answer="12 EUR")
    add_run(use_files(shop), run, "standing")
    (verifier,) = make_verifiers([{"reference_match": "tasks/"}], shop)
    assert verifier.verify(burnish.Workspace().trajectory(run)).label == "success"


def test_tags_make_no_other_task():
    one, other = (
        Task(id="a", input="x", data={"id": "a", "tags": tags}, tags=tags)
        for tags in (["edge"], [])
    )
    assert task_facts([one])["a"].sha256 == task_facts([other])["a"].sha256


def test_results_are_told_by_slice():
    tasks = [Task(id=f"t{n}", input=f"{n}", tags=["edge"] if n < 3 else []) for n in range(6)]
    pairs = [
        (attempt("heldout", f"t{n}", 1, n == 0), attempt("heldout", f"t{n}", 1, n < 2))
        for n in range(6)
    ]
    found = compare_pool("heldout", pairs, task_facts(tasks))
    (edge,) = found.by_tag.items()
    assert edge[0] == "edge"
    assert [(edge[1][side].successes, edge[1][side].total) for side in ("before", "after")] == [
        (1, 3),
        (2, 3),
    ]
    assert compare_pool("heldout", pairs).by_tag == {}
