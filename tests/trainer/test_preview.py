"""`burnish dataset preview` shows exactly the tokens that training learns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from burnish_exporters import build_dataset
from burnish_exporters.sources import Demonstrations
from burnish_trainer.preview import load_tokenizer, rows_of, select_shown
from burnish_trainer.rows import IGNORE, tokenise_rows

TOOL = {"type": "function", "function": {"name": "get_order", "parameters": {"type": "object"}}}
REPLIES = ["Let me see.", "In Oslo."]


def line(order: int, answer: str = "In Oslo.", *, success: bool = True) -> dict:
    function = {"name": "get_order", "arguments": json.dumps({"order": order})}
    call = {"id": "c1", "type": "function", "function": function}
    return {
        "task_id": "t",
        "success": success,
        "tools": [TOOL],
        "messages": [
            {"role": "system", "content": "You help."},
            {"role": "user", "content": "Where is it?"},
            {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "Oslo"},
            {"role": "assistant", "content": answer},
        ],
    }


@pytest.fixture
def version(tmp_path, home):
    """A success and a failure of one task, which part at the call."""
    file = tmp_path / "lines.jsonl"
    given = [line(1), line(2, "Nowhere.", success=False)]
    file.write_text("\n".join(map(json.dumps, given)))
    runs = Demonstrations(str(file), agent="support")
    return build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})


def test_pieces_are_the_tokens_and_labels_of_training(tokenizer, made):
    rows = [json.loads(json.dumps(made.row(made.conversation(1234, 5678)))) for _ in range(2)]
    trained, _ = tokenise_rows(rows, tokenizer)

    found = list(select_shown(rows, tokenizer))

    assert len(found) == len(trained)
    for sequence, row in zip(found, trained, strict=True):
        flags = [piece.learned for piece in sequence.pieces for _ in range(piece.tokens)]
        assert flags == [label != IGNORE for label in row.labels]
        assert "".join(piece.text for piece in sequence.pieces) == tokenizer.decode(row.input_ids)


def test_a_row_that_training_refuses_says_why(tokenizer, made):
    row = made.row(made.conversation(1234, 5678))

    (long,) = select_shown([row], tokenizer, max_length=3)

    assert (long.dropped, long.pieces) == ("too long: over 3 tokens", [])


def learned(sequence) -> str:
    return "|".join(piece.text for piece in sequence.pieces if piece.learned)


def test_formats_show_what_they_would_teach(version):
    starter = load_tokenizer("starter")

    def of(form):
        return {one.part: learned(one) for one in select_shown(rows_of(version, form), starter)}

    assert all(reply in of(None)[""] for reply in REPLIES)
    assert of("openai") == of("trl-sft") == of(None)
    sides = of("trl-dpo")
    assert sides.keys() == {"chosen", "rejected"}
    assert "In Oslo." in sides["chosen"]
    assert "Nowhere." in sides["rejected"]
    steps = of("trl-dpo-step")
    assert "Let me see." in steps["rejected"]
    assert "Nowhere." not in steps["rejected"]
    assert of("trl-kto").keys() == {"", "unwanted"}
    parts = [
        learned(row) for row in select_shown(rows_of(version, "trl-prompt-completion"), starter)
    ]
    assert [part.split("<")[0].strip() for part in parts] == REPLIES  # one reply a row


@pytest.fixture
def cli(command_line):
    """Return exit code and all output."""

    def call(*arguments):
        code, printed, errors = command_line("dataset", "preview", *arguments)
        return code, printed + errors

    return call


def test_the_command_marks_what_is_learned(version, cli):
    code, plain = cli(version.path)

    marked = [part.split("⟧")[0] for part in plain.split("⟦")[1:]]
    assert (code, len(marked)) == (0, 2)
    assert marked[0].startswith("Let me see.")
    assert marked[1].startswith("In Oslo.")


@pytest.mark.slow
def test_on_a_terminal_it_colours_instead(version):
    command = [sys.executable, "-m", "burnish.cli", "dataset", "preview", str(version.path)]
    terminal = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color"}

    printed = subprocess.run(command, env=terminal, capture_output=True, text=True, check=True)

    assert "\x1b[1;32mIn Oslo." in printed.stdout
    assert "⟦" not in printed.stdout


def test_a_pair_is_one_row_with_two_sides(version, cli):
    code, printed = cli(version.path, "--format", "trl-dpo", "--json")

    sequences = json.loads(printed)["sequences"]
    assert code == 0
    assert [sequence["part"] for sequence in sequences] == ["chosen", "rejected"]
    assert all(0 < sequence["loss_tokens"] < sequence["tokens"] for sequence in sequences)


def test_a_row_longer_than_the_models_context_is_shown_as_training_drops_it(
    version, base, tmp_path, cli
):
    folder = shutil.copytree(base, tmp_path / "model")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 16}))
    _, printed = cli(version.path, "--tokenizer", folder, "--json")
    assert [one["dropped"] for one in json.loads(printed)["sequences"]] == [
        "too long: over 16 tokens"
    ]


def test_the_command_ends_as_documented(version, tmp_path, cli):
    cases = [
        ((version.path, "--help"), 0, "burnish dataset preview support"),
        ((version.path, "--tokenizer", "starter", "--rows", "9", "--json"), 0, '"learned": true'),
        (("nonesuch", "--home", tmp_path / "empty"), 1, "no dataset version"),
        ((version.path, "--tokenizer", "no-such-model"), 1, "no base model"),
        ((version.path, "--format", "rl-steps"), 1, "is not a conversation"),
        ((version.path, "--rows", "0"), 2, "rows"),
    ]
    for arguments, wanted, said in cases:
        code, printed = cli(*arguments)
        assert (code, said in printed) == (wanted, True), printed
