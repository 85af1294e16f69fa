"""Verifiers conclude from facts, in a separate process, and unknown admits nothing."""

import os
import select

import msgspec
import pytest

from burnish.errors import ImportPathError, NoVerifier, VerificationError
from burnish.imports.import_path import keep_modules
from burnish.records import Outcome, Verdict
from burnish_exporters.verify import (
    PoolSettings,
    code,
    combine,
    goal_state,
    judge_all,
    make_verifiers,
    outcome,
    passes_tests,
    reference_match,
    rules,
)


def label_of(verifier, run):
    return verifier.verify(run).label


# --- outcome ------------------------------------------------------------------------------------


def test_sources_that_contradict_each_other_are_unknown(make_run):
    told = [Outcome(source="crm", success=True), Outcome(source="survey", success=False)]

    verdict = outcome().verify(make_run(outcomes=told))

    assert verdict.label == "unknown"
    assert verdict.evidence["reason"] == "conflicting outcomes"
    assert label_of(outcome("survey"), make_run(outcomes=told)) == "fail"


# --- goal_state ---------------------------------------------------------------------------------


def test_a_predicate_sees_the_trajectory_and_the_recorded_state(make_run, module):
    name = module(
        "def reached(run, state): return state == {'order': 3} and run.task_id == 'task-3'"
    )

    assert label_of(goal_state(f"{name}:reached"), make_run(3)) == "success"
    assert label_of(goal_state(f"{name}:reached"), make_run(4)) == "fail"


def test_a_state_that_was_not_recorded_is_unknown_without_asking(make_run, module):
    name = module("def reached(run, state): raise SystemExit('asked')")

    verdict = goal_state(f"{name}:reached").verify(make_run(final_state=None))

    assert (verdict.label, verdict.evidence["reason"]) == ("unknown", "state was not recorded")


@pytest.mark.parametrize(
    ("answer", "label", "evidence"),
    [
        ("True, 'seen'", "success", "seen"),
        ("'fail', {'missing': 1}", "fail", {"missing": 1}),
        ("Verdict(label='success', verifier='x', score=0.5)", "success", None),
        ("None", "unknown", {"reason": "predicate could not tell"}),
    ],
)
def test_a_predicate_may_answer_with_evidence(make_run, module, answer, label, evidence):
    name = module(f"from burnish.records import Verdict\ndef reached(run, state): return {answer}")

    ((_, (verdict,)),) = judge_all([goal_state(f"{name}:reached")], [make_run()])

    assert (verdict.label, verdict.evidence, verdict.verifier) == (label, evidence, "goal_state")


def test_an_answer_that_is_none_of_these_is_unknown(make_run, module):
    name = module("def reached(run, state): return 'maybe'")

    assert label_of(goal_state(f"{name}:reached"), make_run()) == "unknown"


def test_a_path_that_leads_nowhere_is_one_error_and_no_pile_of_unknowns(make_run):
    with pytest.raises(ImportPathError, match="no_such_module"):
        list(judge_all([goal_state("no_such_module:f")], [make_run()]))
    with pytest.raises(ImportPathError, match="module:function"):
        goal_state("no_colon")


def test_a_changed_check_has_another_version(module, tmp_path):
    name = module("def reached(run, state): return True")
    before = goal_state(f"{name}:reached").version
    (tmp_path / "modules" / f"{name}.py").write_text("def reached(run, state): return False")

    assert goal_state(f"{name}:reached").version != before


def test_a_check_that_changed_in_a_living_process_judges_by_its_new_text(make_run, tmp_path):
    file, run = tmp_path / "changing_check.py", make_run()
    file.write_text("def reached(run, state): return True \n")
    old = goal_state("changing_check:reached", folder=tmp_path, needs_state=False)
    assert label_of(old, run) == "success"
    file.write_text("def reached(run, state): return False\n")
    new = goal_state("changing_check:reached", folder=tmp_path, needs_state=False)

    assert label_of(new, run) == "fail"
    assert label_of(old, run) == "success"  # under its own version


def test_a_check_that_changes_in_the_middle_of_work_keeps_its_text_and_its_version(
    make_run, tmp_path
):
    file, run = tmp_path / "kept_check.py", make_run()
    file.write_text("def reached(run, state): return True \n")
    before = goal_state("kept_check:reached", folder=tmp_path, needs_state=False)
    assert label_of(before, run) == "success"
    file.write_text("def reached(run, state): return False\n")
    with keep_modules():
        same = goal_state("kept_check:reached", folder=tmp_path, needs_state=False)
        assert (label_of(same, run), same.version) == ("success", before.version)
    after = goal_state("kept_check:reached", folder=tmp_path, needs_state=False)
    assert label_of(after, run) == "fail"
    assert after.version != before.version


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: rules({"predicates": ["changing_part:f"]}, folder=folder),
        lambda folder: code({"*": []}, program="changing_part:f", folder=folder),
        lambda folder: passes_tests({"*": ""}, program="changing_part:f", folder=folder),
        lambda folder: reference_match("changing_part:f", folder=folder),
    ],
)
def test_a_version_follows_the_function_that_a_verifier_calls(tmp_path, make):
    file = tmp_path / "changing_part.py"
    file.write_text("def f(run): return True\n")
    before = make(tmp_path)
    assert make(tmp_path).version == before.version
    file.write_text("def f(run): return False\n")
    assert make(tmp_path).version != before.version


# --- reference_match ----------------------------------------------------------------------------


def test_a_task_without_a_reference_is_unknown_and_a_run_without_answer_fails(make_run):
    verifier = reference_match({"task-1": "x"})

    silent = msgspec.structs.replace(make_run(1), answer=None)

    assert label_of(verifier, make_run(2)) == "unknown"
    assert label_of(verifier, silent) == "fail"


def test_references_can_come_from_a_file_or_a_function(make_run, module, tmp_path):
    (tmp_path / "modules" / "known.json").write_text('{"task-1": "yes"}')
    name = module("def known(run): return 'yes' if run.task_id == 'task-1' else None")

    for references in ("known.json", f"{name}:known"):
        assert label_of(reference_match(references), make_run(1, answer="Yes.")) == "success"
        assert label_of(reference_match(references), make_run(2, answer="Yes.")) == "unknown"


# --- processes ----------------------------------------------------------------------------------


def test_verification_runs_in_a_process_of_its_own(make_run, module):
    name = module("import os\ndef reached(run, state): return True, os.getpid()")

    results = list(judge_all([goal_state(f"{name}:reached")], [make_run(n) for n in range(3)]))

    pids = {verdict.evidence for _, (verdict,) in results}
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_in_process_is_only_for_those_who_ask(make_run, module):
    name = module("import os\ndef reached(run, state): return True, os.getpid()")
    settings = PoolSettings(in_process=True)

    ((_, (verdict,)),) = judge_all([goal_state(f"{name}:reached")], [make_run()], settings)

    assert verdict.evidence == os.getpid()


@pytest.mark.slow
def test_a_verifier_that_raises_hangs_exits_or_floods_costs_one_run_only(make_run, module):
    name = module(
        "import os, sys, time\n"
        "def reached(run, state):\n"
        "    n = state['order']\n"
        "    if n == 1: raise ValueError('broken')\n"
        "    if n == 2: time.sleep(600)\n"
        "    if n == 3: os._exit(3)\n"
        "    if n == 4:\n"
        "        for _ in range(60): print('x' * 1_000_000); print('y' * 1_000_000, file=sys.stderr)\n"
        "    return True\n"
    )
    settings = PoolSettings(time_limit_s=8)

    results = list(
        judge_all([goal_state(f"{name}:reached")], [make_run(n) for n in range(7)], settings)
    )

    assert [run.id for run, _ in results] == [make_run(n).id for n in range(7)]
    assert [verdict.label for _, (verdict,) in results] == [
        "success", "unknown", "unknown", "unknown", "success", "success", "success"
    ]  # fmt: skip
    evidence = [verdict.evidence for _, (verdict,) in results]
    assert evidence[1] == {"reason": "crash", "detail": "ValueError: broken"}
    assert evidence[2]["reason"] == "time limit of 8 s"
    assert evidence[3]["reason"] == "verifier process ended"


def test_a_verifier_that_wants_all_memory_is_unknown(make_run, module):
    name = module("def reached(run, state): return len(bytearray(3 * 1024**3)) > 0")
    settings = PoolSettings(memory_bytes=512 * 1024**2)

    ((_, (verdict,)),) = judge_all([goal_state(f"{name}:reached")], [make_run()], settings)

    assert verdict.label == "unknown"


def test_nothing_that_a_verifier_started_outlives_the_pool(make_run, module, tmp_path):
    name = module(
        "import subprocess\n"
        "def reached(run, state):\n"
        "    return True, subprocess.Popen(['sleep', '300']).pid\n"
    )

    ((_, (verdict,)),) = judge_all([goal_state(f"{name}:reached")], [make_run()])

    assert _has_ended(verdict.evidence, within_s=30)


def _has_ended(pid, within_s):
    """Return whether a process ends in time; the kernel reports it by the process's descriptor."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], within_s)[0])
    finally:
        os.close(descriptor)


def test_several_workers_keep_the_order(make_run, module):
    name = module("import os\ndef reached(run, state): return True, os.getpid()")
    runs = [make_run(n) for n in range(50)]
    settings = PoolSettings(workers=2, batch=4)

    results = list(judge_all([goal_state(f"{name}:reached")], runs, settings))

    assert [run.id for run, _ in results] == [run.id for run in runs]
    assert len({verdict.evidence for _, (verdict,) in results}) == 2


def test_evidence_that_is_no_data_is_shown_as_text(make_run, module):
    name = module("def reached(run, state): return True, object")

    ((_, (verdict,)),) = judge_all([goal_state(f"{name}:reached")], [make_run()])

    assert verdict.evidence == {"shown": "<class 'object'>"}


def test_a_verifier_that_cannot_travel_is_refused_with_the_remedy(make_run):
    class Local:
        name, version = "local", "1"

        def verify(self, trajectory):
            return Verdict(label="success", verifier="local")

    with pytest.raises(VerificationError, match="in_process=True"):
        list(judge_all([Local()], [make_run()]))


def test_a_verdict_of_the_same_version_is_believed_again_and_unknown_is_not(make_run, module):
    name = module("def reached(run, state): return False")
    verifier = goal_state(f"{name}:reached")
    known = [
        Verdict(label=label, verifier="goal_state", version=version, decided_ns=1)
        for label, version in (
            ("success", verifier.version),
            ("unknown", verifier.version),
            ("success", "0"),
        )
    ]

    labels = [
        verdict.label
        for _, (verdict,) in judge_all([verifier], [make_run(verdicts=[v]) for v in known])
    ]

    assert labels == ["success", "fail", "fail"]


def test_a_verdict_that_is_older_than_an_outcome_is_not_believed(make_run):
    old = Verdict(label="success", verifier="outcome", version="1", decided_ns=3)
    run = make_run(success=False, verdicts=[old])

    ((_, (verdict,)),) = judge_all([outcome()], [run])

    assert verdict.label == "fail"


# --- combination --------------------------------------------------------------------------------


def verdicts(*labels):
    return [Verdict(label=label, verifier=f"v{n}") for n, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "label"),
    [
        (("success", "success"), "success"),
        (("success", "fail"), "fail"),
        (("success", "unknown"), "unknown"),
        (("fail", "unknown"), "fail"),
    ],
)
def test_all_checks_must_agree(labels, label):
    assert combine(verdicts(*labels)).label == label


@pytest.mark.parametrize(
    ("check", "judge", "label"),
    [
        ("success", "fail", "success"),
        ("fail", "success", "fail"),
        ("unknown", "success", "success"),
        ("unknown", "fail", "fail"),
    ],
)
def test_a_check_outranks_a_judge_and_the_conflict_is_recorded(check, judge, label):
    combined = combine(verdicts(check, judge), ["check", "judge"])

    assert combined.label == label
    assert combined.evidence.get("conflict", False) == (check != "unknown")


def test_nothing_to_combine_is_an_error():
    with pytest.raises(NoVerifier):
        combine([])


# --- declaration --------------------------------------------------------------------------------


def test_verifiers_are_declared_by_name_and_argument(tmp_path):
    made = make_verifiers(
        [
            "outcome",
            {"goal_state": "checks:reached"},
            {"reference_match": {"references": {}, "mode": "exact"}},
        ],
        tmp_path,
    )

    assert [verifier.name for verifier in made] == ["outcome", "goal_state", "reference_match"]
    assert made[1].folder == tmp_path


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (["outcom"], "unknown verifier 'outcom'; expected 'outcome'"),
        (["outcome", "outcome"], "declared twice"),
        ([{"goal_state": {"predicat": "a:b"}}], "predicat"),
        ([3], "a verifier is declared as 3"),
    ],
)
def test_a_wrong_declaration_is_one_clear_error(config, message, tmp_path):
    with pytest.raises(VerificationError, match=message):
        make_verifiers(config, tmp_path)


def test_no_verifier_is_an_error_that_says_what_to_write(tmp_path):
    with pytest.raises(NoVerifier, match=r'verify = \["outcome"\]'):
        make_verifiers([], tmp_path)
