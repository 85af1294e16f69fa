"""A verifier is measured before it is trusted, and below its floor it admits nothing."""

import json

import msgspec
import pytest
from stored_runs import put
from typer.testing import CliRunner

import burnish
from burnish.cli.app import build_app
from burnish.errors import EmptyDataset, VerificationError
from burnish.records import Policy, Verdict
from burnish_exporters import build_dataset
from burnish_exporters.labels import Label, record_label
from burnish_exporters.pipeline import BuildOptions
from burnish_exporters.verify import PoolSettings, goal_state, make_verifiers, outcome
from burnish_exporters.verify.trust.audit import audit_agent, draw, rounds_of
from burnish_exporters.verify.trust.verifier_quality import QualityStore

CHECKS = "def reached(run, state): return state['order'] % 10 != 9\n"
CONFIG = """
[agent.support]
build = "agent:build"
verify = [{ goal_state = "desk_checks_of_trust:reached" }]
base_model = "starter"
"""
HERE = PoolSettings(in_process=True)


@pytest.fixture
def project(tmp_path, monkeypatch, make_run, home):
    """Sixty runs; the check fails every tenth of them."""
    (tmp_path / "burnish.toml").write_text(CONFIG)
    (tmp_path / "desk_checks_of_trust.py").write_text(CHECKS)
    monkeypatch.chdir(tmp_path)
    workspace = burnish.Workspace()
    for n in range(60):
        put(workspace, make_run(n, success=None))
    return workspace


def run(*words):
    result = CliRunner().invoke(build_app(), words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def label_all(workspace, good):
    """Label every run; `good` returns whether a person accepts a run."""
    for found in list(workspace.trajectories(agent="support")):
        label = "accept" if good(found.final_state["order"]) else "reject"
        record_label(workspace, Label(trajectory_id=found.id, label=label))


def test_a_verifier_that_is_right_is_trusted_and_the_manifest_says_how_far(project):
    """54 runs pass the check and a person agrees on all of them: the lower bound is 54/(54+3.84) = .934."""
    run("verify", "audit", "support", "--draw", "60")
    label_all(project, lambda order: order % 10 != 9)

    report = json.loads(run("verify", "audit", "support", "--json"))
    version = json.loads(run("dataset", "build", "support", "--json"))

    quality = report["verifiers"]["goal_state"]
    assert (report["drawn"], report["labelled"], report["rounds"]) == (60, 60, {})
    assert (quality["precision"]["successes"], quality["precision"]["total"]) == (54, 54)
    assert (quality["recall"]["total"], quality["trusted"]) == (54, True)
    assert quality["precision"]["low"] == pytest.approx(0.9336, abs=1e-3)
    assert version["rows"] == {"train": 54}
    assert version["verifiers"][0]["quality"] == quality
    card = (project.datasets / version["id"] / "card.md").read_text()
    assert "60 labelled runs: 0.0% of the rows that it admitted are expected to be wrong" in card
    assert "(95 % interval 0.0% to 6.6%)" in card


def test_below_the_floor_a_success_admits_nothing(project):
    """People reject a fifth of what the check lets pass: at most .79 + .2 of the interval, far from .9."""
    run("verify", "audit", "support", "--draw", "60")
    label_all(project, lambda order: order % 10 < 7)

    shown = run("verify", "audit", "support")

    assert "no" in shown
    with pytest.raises(EmptyDataset, match="precision of goal_state is below the floor"):
        run("dataset", "build", "support")
    config = project.home.parent / "burnish.toml"
    config.write_text(CONFIG + "\n[agent.support.dataset]\nverifier_floor = 0.5\n")
    assert json.loads(run("dataset", "build", "support", "--json"))["rows"] == {"train": 54}


def test_a_changed_check_is_another_verifier_and_not_the_one_that_was_measured(project, tmp_path):
    run("verify", "audit", "support", "--draw", "60")
    label_all(project, lambda order: order % 10 < 7)
    run("verify", "audit", "support")
    (tmp_path / "desk_checks_of_trust.py").write_text(CHECKS + "# stricter now\n")

    version = json.loads(run("dataset", "build", "support", "--json"))

    assert version["rows"] == {"train": 54}
    assert "quality" not in version["verifiers"][0]


def test_only_labels_of_the_drawn_sample_count(project):
    drawn = draw(project, "support", 10, seed=3)
    label_all(project, lambda order: True)

    report = audit_agent(
        project, "support", [goal_state("desk_checks_of_trust:reached")], settings=HERE
    )

    assert (len(drawn.ids), drawn.of, report.labelled) == (10, 60, 10)
    assert report.verifiers["goal_state"].labelled == 10
    assert not report.verifiers["goal_state"].trusted


def test_a_verifier_that_reads_outcomes_is_not_shown_the_labels(project):
    """Only the labelling person reported an outcome, so outcome() gives unknown for every run."""
    draw(project, "support", 20)
    label_all(project, lambda order: True)

    report = audit_agent(
        project, "support", [outcome(), *make_verifiers(["human"], ".")], settings=HERE
    )

    assert list(report.verifiers) == ["outcome"]
    assert report.verifiers["outcome"].unknown == 20


def test_an_audit_without_a_sample_and_a_draw_without_runs_say_what_to_type(project):
    with pytest.raises(VerificationError, match=r"burnish verify audit support --draw 100"):
        run("verify", "audit", "support")
    with pytest.raises(VerificationError, match="no finished run of 'other'"):
        draw(project, "other", 5)


def test_a_damaged_ledger_is_one_clear_error(project):
    draw(project, "support", 5)
    (project.home / "quality" / "support.json").write_text("{")

    with pytest.raises(VerificationError, match="the JSON that `burnish verify audit` writes"):
        run("verify", "audit", "support")


class Says:
    """A verifier with a fixed label."""

    version, isolated = "1", False

    def __init__(self, label, name, kind="check"):
        self.name, self.label, self.kind = name, label, kind

    def verify(self, trajectory):
        return Verdict(label=self.label, verifier=self.name)


def test_rows_of_an_earlier_version_go_with_the_trust_in_their_verifier(project, make_run):
    """The first version holds a run that the journal has lost since; the second is built after the audit."""
    check = Says("success", "check")
    before = build_dataset([make_run(1), make_run(99)], agent="support", verify=[check])
    options = BuildOptions(home=project.datasets, from_=before.id)
    believed = build_dataset([make_run(1)], agent="support", verify=[check], options=options)
    draw(project, "support", 60)
    label_all(project, lambda order: order % 2 == 0)
    audit_agent(project, "support", [check], settings=HERE)

    with pytest.raises(EmptyDataset, match="2 unverified: precision of check"):
        build_dataset([make_run(1)], agent="support", verify=[check], options=options)

    assert {row["trajectory_id"] for row in believed.rows()} == {make_run(1).id, make_run(99).id}


def test_a_judge_admits_nothing_until_it_was_measured(project, make_run):
    judge = Says("success", "judge", "judge")
    with pytest.raises(EmptyDataset, match="judge was never measured"):
        build_dataset(project, agent="support", verify=[judge])
    draw(project, "support", 60)
    label_all(project, lambda order: True)
    audit_agent(project, "support", [judge], settings=HERE)

    version = build_dataset(project, agent="support", verify=[judge])

    assert version.manifest.rows == {"train": 60}


def test_beside_a_check_an_unmeasured_judge_may_doubt_but_not_admit(project):
    judge = Says("success", "judge", "judge")

    sure = build_dataset(project, agent="support", verify=[Says("success", "check"), judge])
    assert sure.manifest.rows == {"train": 60}
    recipe = {"ambiguous": "keep"}
    with pytest.raises(EmptyDataset, match="judge was never measured"):
        build_dataset(
            project, agent="support", verify=[Says("unknown", "check"), judge], recipe=recipe
        )


def test_judge_and_checks_are_compared_round_by_round(make_run):
    """Base: the judge agrees on both runs. First adapter: it calls both a success, the check one of them."""
    said = [(None, "success", "success"), (None, "fail", "fail"), ("a@1", "success", "success"),
            ("a@1", "success", "fail"), ("a@1", "unknown", "fail")]  # fmt: skip
    runs = []
    for n, (adapter, judge, check) in enumerate(said):
        run = make_run(n)
        calls = [
            msgspec.structs.replace(c, policy=Policy(adapter=adapter)) for c in run.model_calls
        ]
        verdicts = [Verdict(label=judge, verifier="judge"), Verdict(label=check, verifier="check")]
        runs.append(msgspec.structs.replace(run, model_calls=calls, verdicts=verdicts))

    rounds = rounds_of(runs, [Says("", "check"), Says("", "judge", "judge")])

    facts = [(r.adapter, r.runs, r.judge, r.check, r.divergence) for r in rounds["judge"]]
    assert facts == [(None, 2, 0.5, 0.5, 0.0), ("a@1", 2, 1.0, 0.5, 0.5)]


def test_what_was_measured_is_kept_by_verifier_and_version(project):
    draw(project, "support", 60)
    label_all(project, lambda order: True)
    check = goal_state("desk_checks_of_trust:reached")
    for _ in range(2):
        audit_agent(project, "support", [check, Says("fail", "other")], settings=HERE)

    kept = QualityStore(project.home).read("support").measured

    assert [(m.verifier, m.version) for m in kept] == [
        ("goal_state", check.version),
        ("other", "1"),
    ]
