"""The terminal shows the recorded text, and interruptions and full disks are reported."""

import errno
import io
import os
import signal
import subprocess
import sys

import pytest
from rich.text import Text

from burnish.cli.output import print_table
from burnish.testing.recording import Recording

ODD = "[/b] [red]x"


def test_an_answer_that_looks_like_markup_is_shown_as_it_is(tmp_path, burnish):
    recording = Recording(tmp_path / ".burnish")
    run = recording.run("4f1c2a" * 5)
    run.model_says(ODD)
    run.end(answer=ODD)
    recording.writer.close()
    home = ("--home", str(tmp_path / ".burnish"))

    (listed,) = burnish("traces", "list", "--json", *home)
    assert listed["answer"] == ODD
    assert f"answer: {ODD}" in burnish("traces", "show", "4f1c2a", *home)


def test_cells_titles_and_columns_are_never_read_as_markup(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")

    print_table(f"of {ODD}", ["id", ODD], [("one", ODD), ("two", ":smile: [/]"), ("three", None)])
    print_table(f"none {ODD}", ["id"], [])

    shown = capsys.readouterr().out
    assert shown.count(ODD) == 4
    assert ":smile: [/]" in shown
    assert f"none {ODD}: none" in shown


def test_text_with_a_style_stays_text(capsys):
    print_table("t", ["mark"], [(Text("ok", style="green"),)])

    assert "ok" in capsys.readouterr().out


def test_ids_stay_whole_on_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    cells = ("4f1c2a90b3e0", "2026-01-02 03:04:05", "a long answer that " * 5)

    print_table("trajectories", ["id", "started (UTC)", "answer"], [cells])

    shown = capsys.readouterr().out
    assert "4f1c2a90b3e0" in shown
    assert "2026-01-02" in shown
    assert "03:04:05" in shown


SCRIPT = """
import sys
import typer
from burnish.cli import app, main

build = app.build_app

def with_waiting():
    commands = build()

    @commands.command()
    def wait() -> None:
        print("ready", flush=True)
        sys.stdin.read()

    return commands

app.build_app = with_waiting
sys.argv = ["burnish", "wait"]
main()
"""


def test_an_interrupted_command_says_that_the_same_command_goes_on():
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=30)

    assert process.returncode == 130
    assert told == "interrupted; the same command continues\n"


def _raising(problem):
    """The command line with a command that fails so."""
    from burnish.cli.app import build_app

    commands = build_app()

    @commands.command("fail")
    def fail() -> None:
        raise problem

    return commands


def _chained(code):
    problem = RuntimeError("could not write the weights")
    problem.__cause__ = OSError(code, os.strerror(code), "/data/model")
    return problem


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/data/x"),
            "no space is left for /data/x",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no quota is left"),
        (_chained(errno.ENOSPC), "no space is left for /data/model"),
    ],
)
def test_a_full_disk_is_one_clear_error(problem, said, monkeypatch, capsys):
    from burnish.cli import app, main

    commands = _raising(problem)
    monkeypatch.setattr(app, "build_app", lambda: commands)
    monkeypatch.setattr(sys, "argv", ["burnish", "fail"])

    with pytest.raises(SystemExit) as left:
        main()

    assert left.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: {said}\n")
    assert "expected:" in told
    assert "try: free space; the same command continues" in told


def test_other_faults_are_not_taken_for_a_full_disk(monkeypatch):
    from burnish.cli import app, main

    commands = _raising(io.UnsupportedOperation("no such thing"))
    monkeypatch.setattr(app, "build_app", lambda: commands)
    monkeypatch.setattr(sys, "argv", ["burnish", "fail"])

    with pytest.raises(io.UnsupportedOperation):
        main()
