"""`burnish import`: lines of people and teachers become ordinary runs."""

import json

import pytest

import burnish
from burnish.errors import ExportError
from burnish_exporters import build_dataset
from burnish_exporters.importing import ImportFacts, import_runs
from burnish_exporters.sources import Demonstrations

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def chat(order=3, answer="In Oslo.", **facts):
    function = {"name": "look_up", "arguments": f'{{"order":  {order}}}'}
    return {
        "messages": [
            {"role": "system", "content": "You help."},
            {"role": "user", "content": f"Where is order {order}?"},
            {"role": "assistant", "content": "Let me see.",
             "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "c1", "content": ""},
            {"role": "assistant", "content": answer},
        ],
        "tools": [TOOL],
        "success": True,
        **facts,
    }  # fmt: skip


SHARED = {
    "conversations": [
        {"from": "human", "value": "Where is order 4?"},
        {"from": "function_call", "value": '{"name": "look_up", "arguments": {"order": 4}}'},
        {"from": "observation", "value": "Rome"},
        {"from": "gpt", "value": "In Rome."},
    ],
    "tools": json.dumps([TOOL["function"]]),
    "success": True,
}
BROKEN = {
    "{": "no JSON",
    "[1]": "no JSON object",
    '{"x": 1}': "no messages and no conversations",
    '{"messages": [{"role": "user", "content": "Hm?"}]}': "no reply of an assistant",
    '{"conversations": [{"from": "robot", "value": "x"}]}': "no robot, or an unknown one",
    '{"conversations": [{"from": "observation", "value": "x"}]}': "a result without its call",
    '{"conversations": [{"from": "function_call", "value": "look it up"}]}': "arguments or tools that are no JSON",
    '{"messages": 7}': "a value of the wrong type",
}  # fmt: skip


@pytest.fixture
def written(tmp_path):
    def write(*lines, name="runs.jsonl"):
        path = tmp_path / name
        path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
        return path

    return write


HUMAN = ImportFacts(agent="support", source="human", license="CC-BY-4.0", rights=["internal"])


def test_an_imported_run_is_the_run_that_the_line_tells_of(written):
    file = written(chat(user="u1", task_id="t1", final_state={"a": 1}, tags=["gold"]))
    (told,) = Demonstrations(str(file), agent="support").trajectories()

    import_runs(file, burnish.Workspace(), HUMAN)

    (run,) = burnish.Workspace().trajectories(agent="support")
    for name in ("agent", "status", "source", "user", "task_id", "answer", "final_state"):
        assert getattr(run, name) == getattr(told, name), name
    assert run.losses == {}
    assert run.tags == ["gold", "license:CC-BY-4.0", "rights:internal"]
    assert [(o.source, o.success) for o in run.outcomes] == [("import", True)]
    assert [(c.messages, c.reply, c.tools) for c in run.model_calls] == [
        (c.messages, c.reply, c.tools) for c in told.model_calls
    ]
    assert [(t.name, t.call_id, t.arguments, t.result) for t in run.tool_runs] == [
        (t.name, t.call_id, t.arguments, t.result) for t in told.tool_runs
    ]
    spans = [call.span_id for call in (*run.model_calls, *run.tool_runs)]
    assert len(set(spans)) == 3


def test_imported_runs_become_rows_by_the_same_verification_as_captured_ones(written):
    file = written(chat(3), chat(5, success=False), {k: v for k, v in chat(6).items() if k != "success"}, SHARED)  # fmt: skip
    import_runs(file, burnish.Workspace(), HUMAN)

    version = build_dataset(burnish.Workspace(), agent="support", verify=["outcome"])

    assert version.manifest.rows == {"train": 2}
    slices = version.manifest.slices
    assert slices["source:demonstration"] == slices["license:CC-BY-4.0"] == 2
    assert slices["rights:internal"] == 2
    (row,) = (r for r in version.rows() if "order 3" in r["messages"][1]["content"])
    assert row["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"order":  3}'
    assert row["messages"][3]["content"] == ""


def test_a_line_is_taken_once_for_each_agent(written):
    file, more = written(chat(3), chat(3)), written(chat(3), chat(4), name="more.jsonl")
    workspace = burnish.Workspace()

    first, again = (import_runs(file, workspace, HUMAN) for _ in range(2))
    grown = import_runs(more, workspace, HUMAN)
    other = import_runs(file, workspace, ImportFacts(agent="sales", source="teacher", model="big"))

    assert [(r.imported, r.known) for r in (first, again, grown, other)] == [(1, 1), (0, 2), (1, 1), (1, 1)]  # fmt: skip
    (run,) = burnish.Workspace().trajectories(agent="sales")
    assert (run.source, run.model_calls[0].policy.model) == ("teacher", "big")


@pytest.mark.parametrize(("line", "reason"), BROKEN.items(), ids=BROKEN.values())
def test_a_line_that_is_no_run_is_dropped_with_its_reason(written, line, reason):
    report = import_runs(written(chat(), line, SHARED), burnish.Workspace(), HUMAN)

    assert (report.imported, report.dropped) == (2, {reason: 1})


def test_lines_of_another_form_than_was_said_are_dropped(written):
    file = written(chat(), SHARED)

    found = {
        form: import_runs(
            file, burnish.Workspace(), ImportFacts(agent=form, source="human", form=form)
        )
        for form in ("openai", "sharegpt")
    }

    assert found["openai"].dropped == {"no messages": 1}
    assert found["sharegpt"].dropped == {"no conversations": 1}


def test_bytes_that_are_no_text_and_empty_lines_stop_nothing(tmp_path):
    """The line with broken bytes becomes a run with the same bytes, and no row: JSON cannot hold it."""
    file = tmp_path / "runs.jsonl"
    broken = json.dumps(chat(5)).encode().replace(b"Oslo", b"Os\xfflo")
    file.write_bytes(b"\n\n".join([json.dumps(chat(3)).encode(), broken, b"\xff\xfe", b"  "]))

    report = import_runs(file, burnish.Workspace(), HUMAN)

    assert (report.imported, report.dropped) == (2, {"no JSON": 1})
    version = build_dataset(burnish.Workspace(), agent="support", verify=["outcome"])
    assert version.manifest.rows == {"train": 1}


def test_what_is_redacted_at_the_door_is_redacted_here_too(written, home):
    burnish.configure(home=home, redact="structured")
    file = written(chat(answer="Ask ann.smith@firm-mail.com."))

    import_runs(file, burnish.Workspace(), HUMAN)

    (run,) = burnish.Workspace().trajectories()
    assert run.redacted
    stored = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"firm-mail" not in stored
    assert b"In Oslo" not in stored


def test_an_imported_person_can_be_forgotten(written):
    workspace = burnish.Workspace()
    import_runs(written(chat(3, user="u1"), chat(4, user="u2")), workspace, HUMAN)

    workspace.forget(user="u1")

    assert [run.user for run in burnish.Workspace().trajectories()] == ["u2"]


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path):
    with pytest.raises(ExportError, match="cannot be read"):
        import_runs(tmp_path / "none.jsonl", burnish.Workspace(), HUMAN)


def test_the_command_imports_tells_and_ends_as_documented(written, tmp_path, command_line):
    file = written(chat(), "{", SHARED)
    given = ["import", file, "--agent", "support", "--source", "human", "--home", tmp_path / "w"]

    done = command_line(*given, "--license", "MIT", "--json")
    table = command_line(*given)
    missing = command_line("import", "none.jsonl", *given[2:])
    wrong = command_line("import", file, "--agent", "a", "--source", "robot")

    assert json.loads(done[1]) == {
        "imported": 2,
        "known": 0,
        "dropped": {"no JSON": 1},
        "examples": [{"line": 2, "reason": "no JSON", "detail": ""}],
    }
    assert [code for code, _, _ in (done, table, missing, wrong)] == [0, 0, 1, 2]
    assert "known" in table[1]
    assert "cannot be read" in missing[2]
    assert "burnish import" in command_line("import", "--help")[1]
    tags = {tag for run in burnish.Workspace(tmp_path / "w").trajectories() for tag in run.tags}
    assert tags == {"license:MIT"}
