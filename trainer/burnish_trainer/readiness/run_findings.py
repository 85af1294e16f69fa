"""Judge what the recorded runs say: good runs, automatic checks, changes of prompts and tools, known results."""

from __future__ import annotations

import time
from collections.abc import Iterator

from burnish.records import Task
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion
from burnish_trainer.readiness.records import Level, ReadinessFinding
from burnish_trainer.readiness.run_facts import RunFacts, VersionHistory

FEWEST_SUCCESSES = 500  # below it, training is premature
GOOD_SUCCESSES = 2_000
_MONTH_NS = 30 * 24 * 3600 * 10**9
_MOST_CHANGES = 2  # of a prompt or a schema in a month
_FEWEST_RESULTS = 20  # that can show a base to solve everything or nothing
_LEAST_SHARE = 0.5


def check_runs(agent: str, facts: RunFacts, *, rollouts: int) -> ReadinessFinding:
    """Count the verified successes to learn from.

    Args:
        agent: Name of the agent.
        facts: What the runs say.
        rollouts: Fresh runs that the retrain makes before it trains.
    """
    count = facts.verified
    told = f"{count} verified successes in {facts.recorded} recorded runs"
    if facts.read < facts.recorded:
        told += f" (of the newest {facts.read})"
    if facts.failures or facts.undecided:
        told += f", {facts.failures} failures, {facts.undecided} undecided"
    if facts.unverified:
        told += f", {facts.unverified} not verified yet"
    fix = f"burnish verify watch {agent} --once" if facts.unverified else ""
    if count >= GOOD_SUCCESSES:
        return ReadinessFinding(check="verified runs", level="ok", found=told)
    if count >= FEWEST_SUCCESSES:
        level: Level = "note"
        told += f"; {GOOD_SUCCESSES} are better"
    else:
        level = "warning"
        told += f"; below {FEWEST_SUCCESSES} a training is often premature"
    if rollouts:
        told += f"; {rollouts} fresh runs are made first"
    more = f"record more runs, or raise rollouts in [agent.{agent}.evaluate]"
    return ReadinessFinding(check="verified runs", level=level, found=told, fix=fix or more)


def check_automatic(agent: str, facts: RunFacts, *, automatic: bool) -> ReadinessFinding:
    """Tell on which share of the tasks a check decides without a model and without a person.

    Args:
        agent: Name of the agent.
        facts: What the runs say.
        automatic: A verifier needs neither a model nor a person.
    """
    tasks = len(facts.judged_tasks)
    share = len(facts.checked_tasks) / tasks if tasks else float(automatic)
    told = (
        f"{share:.0%} of {tasks} tasks have an automatic check"
        if tasks
        else f"no run was verified yet; the verifiers are {'' if automatic else 'not '}automatic"
    )
    if share >= _LEAST_SHARE:
        return ReadinessFinding(check="automatic checks", level="ok", found=told)
    return ReadinessFinding(
        check="automatic checks",
        level="warning",
        found=f"{told}: keep a person in the loop for the others",
        fix=f"add a check to `verify`, or label runs: burnish label {agent}",
    )


def check_changes(facts: RunFacts) -> Iterator[ReadinessFinding]:
    """Report how often prompts and tool schemas changed, and how many successes are of today's version."""
    steady = True
    for name, histories in (("prompt", facts.prompts), ("tool schemas", facts.tools)):
        runs = sum(history.runs.total() for history in histories.values())
        if not runs:
            continue
        finding = _judge_histories(name, histories)
        steady = steady and finding.level != "note"
        yield finding
    if steady and facts.verified:
        yield from _check_stale(facts)


def _judge_histories(name: str, histories: dict[str, VersionHistory]) -> ReadinessFinding:
    node, history = max(histories.items(), key=lambda item: len(item[1].runs))
    runs, versions = history.runs.total(), len(history.runs)
    where = f" of {node}" if node and len(histories) > 1 else ""
    if versions > max(10, runs / 2):
        return ReadinessFinding(
            check=f"changes of the {name}",
            level="note",
            found=f"{versions} versions in {runs} runs{where}: the text differs from run to run, so that its changes "
            "cannot be counted",
            fix="keep what changes with the run (date, user) out of the system message",
        )
    recent = [at for at in history.changes_ns if at > time.time_ns() - _MONTH_NS]
    told = f"{versions} version{'s' * (versions != 1)} in {runs} runs{where}"
    if history.changes_ns:
        last = time.strftime("%Y-%m-%d", time.gmtime(history.changes_ns[-1] / 1e9))
        told += f", the last change on {last}, {len(recent)} in 30 days"
    changing = len(recent) > _MOST_CHANGES
    return ReadinessFinding(
        check=f"changes of the {name}",
        level="warning" if changing else "ok",
        found=told + (": what is learned today may be wrong tomorrow" if changing else ""),
        fix="train once it stays as it is" if changing else "",
    )


def _check_stale(facts: RunFacts) -> Iterator[ReadinessFinding]:
    """Warn if most successes were made with an earlier prompt or earlier tools."""
    now_prompt = {history.newest for history in facts.prompts.values()}
    now_tools = {history.newest for history in facts.tools.values()}
    if not now_prompt:
        return
    fresh = sum(
        count
        for (prompt, tools), count in facts.success_versions.items()
        if prompt in now_prompt and tools in now_tools
    )
    if fresh < _LEAST_SHARE * facts.verified:
        yield ReadinessFinding(
            check="runs of today's agent",
            level="warning",
            found=f"{fresh} of {facts.verified} verified successes were made with today's prompt and tools",
            fix="record more runs of today's agent before training",
        )


def check_baseline(
    agent: str, facts: RunFacts, heldout: list[Task], prompt: str | None = None
) -> ReadinessFinding:
    """Tell if the base model with the prompt in service was measured on the held-out tasks.

    Args:
        agent: Name of the agent.
        facts: What the runs say.
        heldout: The held-out tasks.
        prompt: The prompt version in service; None is the agent's own prompts.
    """
    measured_tasks = facts.baseline.get(prompt, {})
    known = [measured_tasks[task.id] for task in heldout if task.id in measured_tasks]
    named = "its prompt" if prompt is None else f"the prompt {prompt}"
    if heldout and len(known) == len(heldout):
        told = f"the base model with {named} solves {sum(known)} of {len(known)} held-out tasks"
        return ReadinessFinding(check="prompt-only baseline", level="ok", found=told)
    measured = f"{len(known)} of {len(heldout)} held-out tasks" if known else "nothing"
    return ReadinessFinding(
        check="prompt-only baseline",
        level="warning",
        found=f"without an adapter and with {named}, {measured} was measured: what training improves on is not known",
        fix=f"burnish eval {agent}{'' if prompt is None else f' --prompt {prompt}'}, and improve the prompt first",
    )


def check_known_results(
    agent: str, facts: RunFacts, current: ArmVersion, aim: str
) -> Iterator[ReadinessFinding]:
    """Warn of a version in service that is known to solve everything or nothing.

    Args:
        agent: Name of the agent.
        facts: What the runs say.
        current: The version in service.
        aim: Aim of the gate.
    """
    solved, total = facts.known_results.get(current, (0, 0))
    name = "the base model" if current == ArmVersion() else current.label
    if not total:
        return
    told = f"{name} succeeded in {solved} of {total} judged attempts"
    level: Level = "ok"
    fix = ""
    if total >= _FEWEST_RESULTS and solved == 0:
        level = "warning"
        told += ": it makes no success of its own to learn from"
        fix = "burnish import demonstrations, or a larger base_model"
    elif total >= _FEWEST_RESULTS and solved == total and aim == "gain":
        level = "warning"
        told += ": no gain is left to show"
        fix = (
            f'harder tasks (burnish tasks refresh {agent}), or aim = "cost" in [agent.{agent}.gate]'
        )
    yield ReadinessFinding(check="known results", level=level, found=told, fix=fix)
