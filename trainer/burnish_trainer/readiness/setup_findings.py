"""Judge what burnish.toml says: task sets, what adapters are proven by, base model and backend, canary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from burnish.errors import BurnishError, TrainingError
from burnish.protocols import Verifier, traits_of
from burnish.records import Task
from burnish_trainer.evaluation.agent_project import POOLS, AgentProject
from burnish_trainer.readiness.records import ReadinessFinding

_LARGEST_GAIN = 0.1  # a set that shows only larger gains is small
_PURPOSES = {
    "heldout": "the gain is measured on them",
    "standing": "they show what an adapter breaks",
    "capability": "they show what the base model unlearns",
}


def check_sets(subject: AgentProject, pools: dict[str, list[Task]]) -> Iterator[ReadinessFinding]:
    """Report the size of each task set, and what is missing.

    Args:
        subject: The agent.
        pools: Tasks by pool.
    """
    sizes = ", ".join(f"{len(pools[pool])} {pool}" for pool in POOLS if pools.get(pool))
    missing = [pool for pool in POOLS if not pools.get(pool)]
    if not missing:
        yield ReadinessFinding(check="evaluation sets", level="ok", found=sizes)
    for pool in missing:
        yield ReadinessFinding(
            check="evaluation sets",
            level="blocks",
            found=f"no {pool} tasks: {_PURPOSES[pool]}",
            fix=f"burnish tasks from-traces {subject.name} --pool {pool} --count 50, or write tasks/{pool}.jsonl",
        )


def check_power(subject: AgentProject, heldout: list[Task]) -> ReadinessFinding:
    """Tell which gain the held-out tasks can show.

    Args:
        subject: The agent.
        heldout: The held-out tasks.
    """
    from burnish_trainer.evaluation.power import describe_power, measure_power
    from burnish_trainer.gate import REFRESH_FROM

    home, rules, name = subject.workspace.home, subject.config.gate, subject.name
    power = measure_power(home, heldout, rules)
    small = power.smallest is None or power.smallest > _LARGEST_GAIN
    used = power.number >= REFRESH_FROM
    fix = f"burnish tasks from-traces {name} --pool heldout" if small else ""
    return ReadinessFinding(
        check="size of the held-out set",
        level="warning" if small or used else "ok",
        found=describe_power(home, name, heldout, rules)
        + ("; fresh held-out tasks are due" if used else ""),
        fix=f"burnish tasks refresh {name}" if used else fix,
    )


def check_proof(subject: AgentProject, *, proven: bool) -> ReadinessFinding:
    """Tell what grades an evaluation, and block where nothing can.

    Args:
        subject: The agent.
        proven: An attempt of an evaluation was decided by these verifiers before.
    """
    learned, verifiers = subject.verifiers, subject.proof_verifiers
    name = subject.name
    told = f"learned by {_join_names(learned)}, proven by {_join_names(verifiers)}"
    fix = f'prove = [{{ goal_state = "module:function" }}] in [agent.{name}] of burnish.toml'
    if any(traits_of(verifier).reads_outcomes for verifier in verifiers) and not proven:
        return ReadinessFinding(
            check="proof",
            level="blocks",
            found=f"{told}: an attempt of an evaluation gets no outcome of a user, so that no adapter can be proven",
            fix=fix,
        )
    left_out = [v.name for v in learned if v.name not in {known.name for known in verifiers}]
    if left_out and not subject.config.prove:
        told += f"; {', '.join(left_out)} cannot grade an evaluation"
        return ReadinessFinding(check="proof", level="note", found=told, fix=fix)
    return ReadinessFinding(check="proof", level="ok", found=told)


def check_quality(subject: AgentProject) -> Iterator[ReadinessFinding]:
    """Report judges that were never measured, and verifiers below their floor.

    Args:
        subject: The agent.
    """
    from burnish_exporters.verify.trust.verifier_quality import (
        QualityStore,
        below_floor,
        unbelieved,
    )

    floor, name = subject.config.dataset.verifier_floor, subject.name
    store = QualityStore(subject.workspace.home)
    fix = (
        f"burnish verify audit {name} --draw 100, burnish label {name}, burnish verify audit {name}"
    )
    doubted = unbelieved(subject.verifiers, store, name, floor=floor)
    if doubted:
        nobody = len(doubted) == len(subject.verifiers)
        yield ReadinessFinding(
            check="measured verifiers",
            level="blocks" if nobody else "warning",
            found=f"{'; '.join(doubted.values())}: its success alone admits no run to training",
            fix=fix,
        )
    others = [v for v in subject.proof_verifiers if v.name not in doubted]
    for warning in below_floor(others, store, name, floor=floor):
        yield ReadinessFinding(check="measured verifiers", level="warning", found=warning, fix=fix)
    judges = [v.name for v in others if traits_of(v).kind == "judge" and store.of(name, v) is None]
    if judges:
        yield ReadinessFinding(
            check="measured verifiers",
            level="warning",
            found=f"{', '.join(judges)} grades evaluations and was never measured",
            fix=fix,
        )


def check_recipe(subject: AgentProject) -> ReadinessFinding:
    """Tell what a training changes, and refuse a method whose result cannot be swapped.

    Args:
        subject: The agent.

    Raises:
        TrainingError: A setting is unknown or out of its range, or the result must be published merged.
    """
    from burnish_trainer.recipes.methods import serving_form
    from burnish_trainer.recipes.train_recipe import make_recipe, recipe_of_agent

    recipe = make_recipe(recipe_of_agent(subject.config.train))
    form = serving_form(recipe)
    if not form.hot_swap:
        raise TrainingError(
            f"a retrain evaluates and swaps adapters, and the result of {recipe.method_name} cannot be swapped: "
            f"{form.reason}",
            "a method whose adapter is swapped: lora, rslora or qlora",
            f'method = "lora" in [agent.{subject.name}.train.recipe] of burnish.toml; or burnish_trainer.train and '
            "burnish_trainer.recipes.publish_merged, which give a new base model",
        )
    told = f"{recipe.objective} by {recipe.method_name}, {recipe.dtype}"
    return ReadinessFinding(check="recipe", level="ok", found=told)


def check_release(subject: AgentProject) -> ReadinessFinding:
    """Tell if a canary can start at the end.

    Args:
        subject: The agent.

    Raises:
        CanaryError: A rollout runs, or no maturity window is set and none can be learnt.
    """
    from burnish_trainer.readiness.preconditions import check_canary

    decides = subject.config.canary.decides
    if decides is None:
        return ReadinessFinding(
            check="canary",
            level="warning",
            found="no source decides a canary: the retrain stops before it",
            fix=f'decides = "SOURCE" in [agent.{subject.name}.canary] of burnish.toml, or --no-canary',
        )
    check_canary(subject)
    return ReadinessFinding(check="canary", level="ok", found=f"decided by {decides}")


def describe_error(check: str, error: BurnishError) -> ReadinessFinding:
    """Return the finding of an error that no retrain can go past.

    Args:
        check: The check that raised it.
        error: The error.
    """
    wanted = f"; expected {error.expected}" if error.expected else ""
    return ReadinessFinding(
        check=check, level="blocks", found=f"{error.found}{wanted}", fix=error.fix
    )


def _join_names(verifiers: Sequence[Verifier]) -> str:
    return ", ".join(verifier.name for verifier in verifiers)
