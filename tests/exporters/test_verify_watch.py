"""`burnish verify watch` gives finished production runs their verdicts as they come, once."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from stored_runs import put
from typer.testing import CliRunner

import burnish
from burnish.cli.app import build_app
from burnish.errors import ImportPathError, NoVerifier, UnknownAgent
from burnish.records import Outcome
from burnish_exporters import verify_runs
from burnish_exporters.verify import outcome
from burnish_exporters.verify.registry import known_verifiers
from burnish_exporters.verify.running.watching import Watch

CHECKS = "def reached(run, state): return state['order'] < 2, os.getpid()\nimport os\n"
CONFIG = """
[agent.support]
build = "agent:build"
verify = [{ goal_state = "desk_checks_of_watch:reached" }]
base_model = "starter"
"""


@pytest.fixture
def project(tmp_path, monkeypatch, home):
    (tmp_path / "burnish.toml").write_text(CONFIG)
    (tmp_path / "desk_checks_of_watch.py").write_text(CHECKS)
    monkeypatch.chdir(tmp_path)
    return burnish.Workspace()


def watch_once(*words):
    words = ("verify", "watch", "support", "--once", "--json", *words)
    result = CliRunner().invoke(build_app(), words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def verdicts(workspace):
    return {run.id: [v.label for v in run.verdicts] for run in workspace.trajectories()}


@pytest.mark.slow
def test_runs_are_verified_as_they_come_until_ctrl_c_and_the_next_watch_goes_on(
    project, make_run, home
):
    process = subprocess.Popen(
        [sys.executable, "-m", "burnish.cli", "verify", "watch", "support", "--json", "--every", "0.1",
         "--home", str(home)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "BURNISH_CAPTURE": "off"},
    )  # fmt: skip
    said = []
    for n in range(3):
        put(project, make_run(n))
        said.append(json.loads(process.stdout.readline()))
    process.send_signal(signal.SIGINT)
    rest, told = process.communicate(timeout=60)

    assert (process.returncode, rest) == (130, "")
    assert "interrupted; the same command continues" in told
    assert [line["label"] for line in said] == ["success", "success", "fail"]
    assert len({line["evidence"] for line in said}) == 1, "each look started the verifiers anew"
    assert watch_once() == []
    put(project, make_run(3))
    assert [line["trajectory_id"] for line in watch_once()] == [make_run(3).id]
    assert [len(labels) for labels in verdicts(project).values()] == [1, 1, 1, 1]


def test_other_sources_and_open_runs_are_left_alone_unless_asked_for(project, make_run):
    put(project, make_run(1, source="rollout"))
    put(project, make_run(2, status="interrupted"))

    assert watch_once() == []
    assert [line["trajectory_id"] for line in watch_once("--source", "all")] == [make_run(1).id]


def test_without_json_a_line_tells_run_label_and_verifier(project, make_run):
    put(project, make_run(1))

    shown = CliRunner().invoke(build_app(), ("verify", "watch", "support", "--once")).stdout

    assert shown.split()[:3] == [make_run(1).id[:12], "success", "goal_state"]


def test_a_later_outcome_is_judged_at_the_next_look(project, make_run):
    put(project, make_run(1, success=None))
    with Watch(project, "support", [outcome()]) as watching:
        first = [verdict.label for _, verdict in watching.look()]
        nothing = list(watching.look())
        project.append_outcome(Outcome(source="crm", success=False), trajectory_id=make_run(1).id)
        later = [verdict.label for _, verdict in watching.look()]

    assert (first, nothing, later) == (["unknown"], [], ["fail"])


def test_a_canary_that_nobody_reports_to_reads_the_verdicts(project, make_run):
    from burnish.canary.outcomes import find_decision

    put(project, make_run(1))
    watch_once()

    assert find_decision(list(project.trajectories()), "goal_state") is True


def test_what_cannot_be_watched_is_one_clear_error(project, make_run, tmp_path):
    put(project, make_run(1))
    with pytest.raises(NoVerifier):
        Watch(project, "support", [])
    with pytest.raises(UnknownAgent):
        CliRunner().invoke(
            build_app(), ("verify", "watch", "suport", "--once"), catch_exceptions=False
        )
    (tmp_path / "burnish.toml").write_text(CONFIG.replace(":reached", ":unreached"))
    with pytest.raises(ImportPathError, match="unreached"):
        watch_once()
    assert verdicts(project) == {make_run(1).id: []}


def test_a_judge_of_the_policys_family_is_warned_of_once(project, make_run, tmp_path):
    (tmp_path / "desk_judges_of_watch.py").write_text(
        "from burnish.testing import ScriptedChatModel\n"
        "def make(): return ScriptedChatModel(script=['A'], repeat=True, model='tiny-judge-7b')\n"
    )
    judge = '{ judge = { model = "desk_judges_of_watch:make", rubric = "Found.", votes = 1 } }'
    before = '{ goal_state = "desk_checks_of_watch:reached" }'
    (tmp_path / "burnish.toml").write_text(CONFIG.replace(before, judge))
    for n in range(2):
        put(project, make_run(n))

    done = CliRunner().invoke(build_app(), ("verify", "watch", "support", "--once", "--json"))

    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == ["unknown"] * 2
    assert done.stderr == "warning: judge: judge and policy are of one family: tiny\n"


def test_a_run_that_arrives_late_is_verified_too(project, make_run):
    """From another host, with a start before that of runs which were verified already."""
    day = 24 * 3600 * 10**9
    put(project, make_run(1))
    with Watch(project, "support", [outcome()]) as watching:
        first = [run.id for run, _ in watching.look()]
        put(project, make_run(2), time.time_ns() - day // 2)
        later = [run.id for run, _ in watching.look()]

    assert (first, later) == ([make_run(1).id], [make_run(2).id])


def test_the_verifiers_that_can_be_declared_are_listed():
    shown = json.loads(CliRunner().invoke(build_app(), ("verify", "list", "--json")).stdout)

    assert set(known_verifiers()) == set(shown)
    assert all(len(text) > 20 for text in shown.values())


def test_finished_runs_get_a_verdict_once(project, make_run):
    for run in (
        make_run(1),
        make_run(2, success=False, source="rollout"),
        make_run(3, status="interrupted"),
    ):
        put(project, run)

    first, second = (verify_runs(project, "support", [outcome()]) for _ in range(2))

    assert (first.seen, first.labels) == (2, {"outcome": {"success": 1, "fail": 1}})
    assert (second.seen, second.skipped, second.labels) == (2, 2, {"outcome": {}})
    assert [len(labels) for labels in verdicts(project).values()] == [1, 1, 0]
