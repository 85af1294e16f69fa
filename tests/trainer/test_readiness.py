"""Everything that can be known before a retrain costs anything is said before it, with what to do."""

from __future__ import annotations

import json
import time

import msgspec
import pytest
from recorded_runs import record_run

import burnish
from burnish.adapters import Registry
from burnish.errors import CanaryError, NotReady, NoVerifier, TrainingError
from burnish.records import Decision, Evaluation, Outcome, PoolComparison, Rate
from burnish_trainer import Recipe, train
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion
from burnish_trainer.readiness import assemble_readiness, require_readiness
from burnish_trainer.readiness.run_facts import collect_run_facts
from burnish_trainer.readiness.run_findings import check_baseline, check_known_results
from burnish_trainer.readiness.stage import ReadinessChoice
from burnish_trainer.recipes.train_recipe import recipe_of_agent
from burnish_trainer.release import register_adapter
from burnish_trainer.retrain import retrain

DAY_NS = 24 * 3600 * 10**9


def edit(shop, old, new):
    toml = shop / "burnish.toml"
    assert old in toml.read_text()
    toml.write_text(toml.read_text().replace(old, new))


def report_on(agent="shop", **options):
    return assemble_readiness(load_agent(agent), **options)


def finding(report, check):
    return next(found for found in report.findings if found.check == check)


def test_a_new_agent_gets_warnings_and_nothing_blocks(shop):
    report = report_on()
    assert report.ready
    assert finding(report, "verified runs").level == "warning"
    assert "0 verified successes in 0 recorded runs" in finding(report, "verified runs").found
    assert finding(report, "prompt-only baseline").level == "warning"
    assert "burnish eval shop" in finding(report, "prompt-only baseline").fix
    assert finding(report, "evaluation sets").found == "8 heldout, 8 standing, 8 capability"
    assert finding(report, "proof").level == "ok"
    assert [reason.holds for reason in report.reasons] == [None, None, None, False]


def test_successes_are_counted_by_recorded_verdicts_with_marks(shop, monkeypatch):
    import burnish_trainer.readiness.run_findings as marks

    goal = load_agent("shop").verifiers[0]
    for n in range(6):
        record_run(f"order {n}", task_id=f"t{n}", label="success", verifier=goal)
    record_run("order 7", task_id="t7", label="fail", verifier=goal)
    record_run("order 8", task_id="t8")
    record_run(
        "held", task_id="heldout-20", label="success", verifier=goal, metadata={"pool": "heldout"}
    )
    found = finding(report_on(), "verified runs")
    assert found.found.startswith(
        "6 verified successes in 9 recorded runs, 1 failures, 0 undecided, 1 not verified yet"
    )
    assert found.fix == "burnish verify watch shop --once"
    for fewest, good, level in ((7, 8, "warning"), (6, 8, "note"), (3, 6, "ok")):
        monkeypatch.setattr(marks, "FEWEST_SUCCESSES", fewest)
        monkeypatch.setattr(marks, "GOOD_SUCCESSES", good)
        assert finding(report_on(), "verified runs").level == level


def test_a_verdict_from_elsewhere_is_no_success(shop):
    goal = load_agent("shop").verifiers[0]
    run = record_run("order 1")
    burnish.Workspace().append_verdict(
        run, burnish.records.Verdict(label="success", verifier=goal.name, version="of old")
    )
    assert "0 verified successes" in finding(report_on(), "verified runs").found


def test_outcomes_alone_prove_nothing_and_this_is_said_before_the_training(shop):
    edit(shop, 'verify = [{ goal_state = "shop:even_length" }]', 'verify = ["outcome"]')
    blocked = finding(report_on(), "proof")
    assert blocked.level == "blocks"
    assert "prove = " in blocked.fix
    with pytest.raises(NotReady, match="no adapter can be proven"):
        retrain("shop", canary=False)
    assert not list((burnish.Workspace().home / "datasets").glob("*"))
    edit(
        shop,
        'verify = ["outcome"]',
        'verify = ["outcome"]\nprove = [{ goal_state = "shop:even_length" }]',
    )
    assert finding(report_on(), "proof").level == "ok"


def test_outcomes_count_as_they_come(shop):
    edit(shop, 'verify = [{ goal_state = "shop:even_length" }]', 'verify = ["outcome"]')
    run = record_run("order 1")
    burnish.Workspace().append_outcome(Outcome(source="users", success=True), trajectory_id=run)
    record_run("order 2")
    found = finding(report_on(), "verified runs").found
    assert found.startswith("1 verified successes in 2 recorded runs, 0 failures, 1 undecided")


@pytest.mark.parametrize("pool", ["heldout", "standing", "capability"])
def test_a_missing_set_blocks(shop, pool):
    code = shop / "shop.py"
    code.write_text(code.read_text() + f"\nknown = tasks\ndef tasks(pool, n=None, seed=0):\n"
                    f"    return [] if pool == {pool!r} else known(pool, n, seed)\n")  # fmt: skip
    report = report_on()
    (blocking,) = report.blocking
    assert f"no {pool} tasks" in blocking.found
    assert f"--pool {pool}" in blocking.fix


def test_a_run_is_forced_past_what_blocks_and_the_lineage_names_it(
    shop, home, base, orders, command_line
):
    edit(shop, 'verify = [{ goal_state = "shop:even_length" }]', 'verify = ["outcome"]')
    subject = load_agent("shop")
    facts = require_readiness(subject, ReadinessChoice(releases=False, force=True), home)
    (overridden,) = facts["overridden"]
    assert overridden.startswith("proof: learned by outcome")
    assert json.loads((home / "readiness.json").read_text())["ready"] is False
    adapter = train(
        orders,
        base_model=base,
        recipe=Recipe(name="shop", rank=4, epochs=2, learning_rate=3e-2, batch_size=4),
    ).id
    rate = Rate(successes=1, total=2, rate=0.5, low=0.1, high=0.9)
    pool = PoolComparison(
        pool="heldout",
        before=rate,
        after=rate,
        gain=0.0,
        ci95=(0.0, 0.0),
        won=0,
        lost=0,
        p_value=1.0,
    )
    measured = Evaluation(
        agent="shop",
        base_model="b",
        before=None,
        after=adapter,
        pools={"heldout": pool},
        trajectories=4,
    )
    path = home / "evaluation.json"
    path.write_bytes(msgspec.json.encode(measured))
    decision = Decision(decision="promote", reasons=[])
    register_adapter(subject, adapter, path, decision, overridden=facts["overridden"])
    assert burnish.Workspace().lineage(adapter)["unready"] == [overridden]
    assert "forced past readiness: proof" in command_line("lineage", adapter)[1].replace("\n", " ")


def test_what_no_retrain_can_do_without_is_not_forced(shop, home):
    with pytest.raises(NoVerifier):
        require_readiness(load_agent("quiet"), ReadinessChoice(force=True))
    (shop / "shop2.py").write_text("def tasks(pool): return []\n")
    edit(shop, "shop:build", "shop2:build")
    edit(shop, "shop:tasks", "shop2:tasks")
    report = report_on()
    assert "has no 'build'" in finding(report, "agent").found
    assert {found.check for found in report.blocking} >= {"agent", "evaluation sets"}
    edit(shop, 'decides = "goal_state"', 'decides = "users"')
    with pytest.raises(CanaryError, match="window"):
        require_readiness(load_agent("shop"), ReadinessChoice(force=True))


def test_a_method_whose_result_is_not_swapped_is_refused_before_anything_runs(shop):
    toml = shop / "burnish.toml"
    plain = toml.read_text()
    told = {
        'method = "dora"': "result of dora cannot be swapped",
        "peft = { peft_type = 'IA3' }": "result of ia3 cannot be swapped",
        'methods = "lora"': "methods",
        "rank = 8": "rank is a setting of",
    }
    for line, found in told.items():
        toml.write_text(f"{plain}\n[agent.shop.train.recipe]\n{line}\n")
        with pytest.raises(TrainingError, match=found):
            require_readiness(load_agent("shop"), ReadinessChoice(force=True))
        assert found in finding(report_on(), "recipe").found
    toml.write_text(f'{plain}\n[agent.shop.train.recipe]\nmethod = "rslora"\ndtype = "bfloat16"\n')
    assert finding(report_on(), "recipe").found == "sft by rslora, bfloat16"
    settings = recipe_of_agent(load_agent("shop").config.train)
    assert settings["method"] == "rslora"


def test_changing_prompts_and_tools_are_counted(shop):
    now = time.time_ns()
    for n in range(12):
        record_run(f"order {n}", system=f"Prompt {n // 3}", at=now - (12 - n) * DAY_NS)
    report = report_on()
    changes = finding(report, "changes of the prompt")
    assert changes.level == "warning"
    assert changes.found.startswith("4 versions in 12 runs, the last change on ")
    assert "3 in 30 days" in changes.found
    assert finding(report, "changes of the tool schemas").found == "1 version in 12 runs"


def test_a_prompt_that_differs_in_each_run_is_named_as_such(shop):
    for n in range(12):
        record_run(f"order {n}", system=f"It is minute {n}.")
    found = finding(report_on(), "changes of the prompt")
    assert (found.level, "12 versions in 12 runs" in found.found) == ("note", True)


def test_successes_of_an_earlier_prompt_are_told(shop):
    goal = load_agent("shop").verifiers[0]
    now = time.time_ns()
    for n in range(8):
        system = "new" if n > 5 else "old"
        record_run(f"order {n}", system=system, at=now + n, label="success", verifier=goal)
    found = finding(report_on(), "runs of today's agent")
    assert found.found.startswith("2 of 8 verified successes were made with today's prompt")


def test_the_baseline_is_an_evaluation_of_the_base_on_all_held_out_tasks(shop):
    goal = load_agent("shop").verifiers[0]
    common = {"source": "evaluation", "verifier": goal, "metadata": {"pool": "heldout"}}
    for n in range(20, 27):
        record_run(f"order {n}", task_id=f"heldout-{n}", label="success", **common)
    partly = finding(report_on(), "prompt-only baseline")
    assert (partly.level, "7 of 8 held-out tasks" in partly.found) == ("warning", True)
    record_run(
        "order 27", task_id="heldout-27", label="fail", adapter="shop@0a1b2c3d4e5f", **common
    )
    assert finding(report_on(), "prompt-only baseline").level == "warning"
    record_run("order 27 again", task_id="heldout-27", label="fail", **common)
    whole = finding(report_on(), "prompt-only baseline")
    assert whole.level == "ok"
    assert "solves 7 of 8" in whole.found


def test_attempts_with_another_prompt_say_nothing_about_the_base_with_its_own(shop):
    goal = load_agent("shop").verifiers[0]
    prompt = "shop@0a1b2c3d4e5f"
    common = {"source": "evaluation", "verifier": goal, "metadata": {"pool": "heldout"}}
    for n in range(20, 40):
        record_run(f"order {n}", task_id=f"heldout-{n}", label="success", prompt=prompt, **common)
        record_run(f"roll {n}", source="rollout", verifier=goal, label="success", prompt=prompt)
    report = report_on()
    assert not [found for found in report.findings if found.check == "known results"]
    assert "nothing was measured" in finding(report, "prompt-only baseline").found
    for n in range(20, 24):
        record_run(f"own {n}", task_id=f"heldout-{n}", label="fail", **common)
    own = finding(report_on(), "known results")
    assert "the base model succeeded in 0 of 4 judged attempts" in own.found
    subject = load_agent("shop")
    facts = collect_run_facts(burnish.Workspace(), "shop", [goal], [goal])
    baseline = check_baseline("shop", facts, subject.tasks("heldout"), prompt)
    assert f"with the prompt {prompt} solves 8 of 8" in baseline.found
    (known,) = check_known_results("shop", facts, ArmVersion(None, prompt), "gain")
    assert f"base with prompt {prompt} succeeded in 40 of 40" in known.found


@pytest.mark.parametrize(
    ("label", "told"), [("success", "no gain is left"), ("fail", "no success of its own")]
)
def test_a_base_that_solves_everything_or_nothing_is_named(shop, label, told):
    goal = load_agent("shop").verifiers[0]
    for n in range(20):
        record_run(
            f"order {n}", source="evaluation", verifier=goal, label=label, task_id=f"heldout-{n}"
        )
    found = finding(report_on(), "known results")
    assert found.level == "warning"
    assert told in found.found
    assert str(20 if label == "success" else 0) + " of 20" in found.found


def test_a_judge_that_was_never_measured_blocks_alone_and_warns_beside_a_check(shop):
    (shop / "jury.py").write_text(
        "from burnish.protocols import VerifierTraits\nfrom burnish.records import Verdict\n"
        "class Judge:\n    name, version, traits = 'jury', '1', VerifierTraits(kind='judge')\n"
        "    def verify(self, trajectory): return Verdict(label='success', verifier='jury')\n"
        "def make():\n    from langchain_core.language_models import FakeListChatModel\n"
        "    return FakeListChatModel(responses=['{}'])\n"
    )
    judge = '{ judge = { model = "jury:make", rubric = "Is it right?" } }'
    edit(shop, 'verify = [{ goal_state = "shop:even_length" }]', f"verify = [{judge}]")
    report = report_on()
    assert finding(report, "measured verifiers").level == "blocks"
    assert "burnish verify audit shop" in finding(report, "measured verifiers").fix
    assert finding(report, "automatic checks").level == "warning"
    edit(shop, f"verify = [{judge}]", f'verify = [{judge}, {{ goal_state = "shop:even_length" }}]')
    assert finding(report_on(), "measured verifiers").level == "warning"


def test_reasons_are_read_from_the_runs(shop):
    edit(
        shop, "min_threads = 4", "min_threads = 4\n[agent.shop.canary.guards]\nmax_latency_s = 2.0"
    )
    for n in range(30):
        wrong = {"order": "five"} if n < 3 else None
        record_run(f"order {n}", arguments=wrong, latency_s=5.0 if n < 5 else 1.0)
    tools, form, latency, production = report_on().reasons
    assert (tools.holds, tools.evidence) == (True, "1 of 1 tools are of this domain: get_order")
    assert form.holds
    assert form.evidence == "3 of 30 tool calls do not fit their schema (wrong_type 3)"
    assert latency.holds
    assert latency.evidence == "p95 of production runs 5.00 s, by hosted, limit 2 s"
    assert production.holds is False


def test_a_missing_decides_is_a_warning(shop):
    edit(shop, 'decides = "goal_state"\n', "")
    found = finding(report_on(), "canary")
    assert found.level == "warning"
    assert not [
        f for f in report_on(releases=False).findings if f.check == "canary" and f.level == "blocks"
    ]


def test_a_backend_that_does_not_answer_blocks(shop):
    edit(shop, "[agent.shop.evaluate]", 'backend = "http://127.0.0.1:9/v1"\n[agent.shop.evaluate]')
    found = finding(report_on(), "base model")
    assert found.level == "blocks"


def test_the_command_prints_the_report_and_says_by_its_exit_code_if_something_blocks(
    shop, command_line
):
    code, out, _ = command_line("readiness", "shop", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["ready"]
    assert {found["check"] for found in told["findings"]} >= {"canary", "verified runs", "proof"}
    assert len(told["reasons"]) == 4
    code, out, _ = command_line("readiness", "quiet", "--json")
    assert code == 1
    assert not json.loads(out)["ready"]
    assert Registry(burnish.Workspace().home).list() == []


def test_the_table_names_each_check(shop, command_line, monkeypatch):
    monkeypatch.delenv("BURNISH_QUIET")
    code, _, err = command_line("readiness", "quiet")
    assert code == 1
    assert "blocks" in err
    assert "verifier" in err  # the width of the terminal decides where a sentence breaks
