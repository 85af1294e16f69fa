"""Optimise the prompts of an agent with GEPA, and prove the best texts on held-out tasks.

`optimize_prompt` is the entry. GEPA sees training tasks alone: one half to learn from, the other to choose by. Its state
lies in the folder of the run, so a call that was interrupted continues. The held-out tasks are used once, at the end, by
the same evaluation and gate as for adapters.
"""

from __future__ import annotations

import hashlib
import importlib
import random
import shutil
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import burnish
from burnish.adapters.prompt_store import PromptStore, PromptVersion
from burnish.errors import EvaluationError, MissingExtra, SettingsError
from burnish.files.storage import make_private_folder
from burnish.imports.import_path import resolve_object
from burnish.journal.events import canonical
from burnish.records import Task
from burnish_exporters.curate.steps.contamination import OverlapIndex
from burnish_exporters.tasks.task_sources import hash_tasks
from burnish_trainer import console
from burnish_trainer.evaluation.agent_project import (
    POOLS,
    AgentProject,
    find_prompt_version,
    load_agent,
    text_of_task,
)
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion
from burnish_trainer.evaluation.attempts.shared import EvaluationState
from burnish_trainer.evaluation.event_loop import EvaluationLoop
from burnish_trainer.evaluation.history.store import save_evaluation
from burnish_trainer.evaluation.runner import evaluate, read_options
from burnish_trainer.heldout_uses import decide_and_record
from burnish_trainer.prompts.reflection import ReflectionModel
from burnish_trainer.prompts.search_plan import (
    SearchPlan,
    describe_proof,
    describe_undecided,
    most_undecided,
    plan_search,
)
from burnish_trainer.run.storage import lock_folder, write_json

if TYPE_CHECKING:
    from burnish_trainer.prompts.agent_runs import AgentRuns

_FEWEST = 4  # tasks: two to learn from, two to choose by


@dataclass(frozen=True, kw_only=True)
class OptimizationOptions:
    """Options of an optimisation.

    Attributes:
        budget: Most attempts at training tasks, those of an interrupted call included; a higher one continues it.
        tasks: Largest number of training tasks.
        seed: Seed of the choice of tasks and of GEPA.
        fresh: Forget an earlier optimisation with the same settings.
    """

    budget: int = 150
    tasks: int = 60
    seed: int = 0
    fresh: bool = False


def optimize_prompt(
    agent: str | AgentProject, reflection: str, options: OptimizationOptions | None = None
) -> dict[str, Any]:
    """Find better prompts for an agent, and register the best with its evaluation.

    Args:
        agent: Name of the agent in burnish.toml.
        reflection: "module:NAME" of a chat model, or "URL#MODEL"; it reads runs on training tasks and proposes texts.
        options: Options of the optimisation.

    Returns:
        The report: `status` is promote, reject, inconclusive or unchanged; `prompt` is the version.

    Raises:
        MissingExtra: GEPA is not installed.
        SettingsError: burnish.toml names no prompts of the agent.
        EvaluationError: There are too few training tasks, the agent asks for no prompt, or the reflection model fails.
        BackendUnavailable: The backend does not answer.
    """
    from burnish_trainer.release import current_version  # the canary is heavy

    import_gepa()
    chosen = options or OptimizationOptions()
    subject = load_agent(agent)
    defaults, current = read_own_prompts(subject), current_version(subject)
    served = find_prompt_version(subject, current.prompt)
    begin = {**defaults, **(served.texts if served is not None else {})}
    tasks, dropped = choose_tasks(subject, chosen)
    search, power = plan_search(subject, tasks, chosen.budget), describe_proof(subject)
    model = ReflectionModel(reflection, subject.project.folder)
    folder = _find_folder(subject, current.adapter, begin, tasks, reflection, chosen)
    with lock_folder(folder, f"an optimisation of {subject.name!r}"):
        for name in ("gepa", "attempts") if chosen.fresh else ():
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / "gepa" / "gepa.stop").unlink(missing_ok=True)
        console.say("{}", power)
        found = _run_gepa(subject, current.adapter, begin, search, model, folder, chosen.seed)
        report: dict[str, Any] = {
            "agent": subject.name,
            "adapter": current.adapter,
            "against_prompt": current.prompt,
            "tasks": {"train": len(tasks), "sha256": hash_tasks(tasks), "dropped": dropped},
            "reflection": model.describe(),
            "options": asdict(chosen),
            "made_with": _describe_making(subject),
            "folder": str(folder),
            "power": power,
            **found,
        }
        report |= _prove(subject, current, defaults, report)
        write_json(folder / "report.json", report)
    return report


def _describe_making(subject: AgentProject) -> dict[str, Any]:
    """Return what decided a search beside its tasks and texts: model, verifiers, code, optimiser."""
    return {
        "base_model": subject.config.base_model,
        "backend": subject.config.backend,
        "verifiers": [[one.name, one.version] for one in subject.proof_verifiers],
        "code_sha256": subject.code_sha256,
        "optimizer": f"gepa {metadata.version('gepa')}",
        "burnish": burnish.__version__,
    }


def import_gepa() -> Any:
    """Import GEPA.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return importlib.import_module("gepa")
    except ModuleNotFoundError as problem:
        raise MissingExtra(
            "the package gepa is not installed",
            "the packages of the extra 'optimize'",
            "pip install 'burnish[optimize]'",
        ) from problem


def read_own_prompts(subject: AgentProject) -> dict[str, str]:
    """Return the agent's own prompts, from the places that burnish.toml names.

    Raises:
        SettingsError: It names none, or a place holds no text.
    """
    places = subject.config.prompts
    if not places:
        raise SettingsError(
            f"[agent.{subject.name}] of {subject.project.path} names no prompts",
            'prompts = { system = "prompts/system.md" }, or { system = "module:NAME" }',
            "write it, and see docs/prompts.md for how the agent asks for it",
        )
    return {name: _read_text(subject, place) for name, place in places.items()}


def _read_text(subject: AgentProject, place: str) -> str:
    path = subject.project.folder / place
    try:
        text: Any = (
            path.read_text(encoding="utf-8")
            if path.is_file()
            else resolve_object(place, subject.project.folder)
        )
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(
            f"{path} cannot be read: {problem}", "a text file in UTF-8"
        ) from problem
    if not isinstance(text, str) or not text.strip():
        raise SettingsError(
            f"the prompt {place!r} is {type(text).__name__ if not isinstance(text, str) else 'empty'}",
            "a text",
            f"edit `prompts` in [agent.{subject.name}]",
        )
    return text


def choose_tasks(subject: AgentProject, options: OptimizationOptions) -> tuple[list[Task], int]:
    """Return shuffled training tasks, and the number of those that were dropped because they measure too.

    Raises:
        EvaluationError: Too few are left.
    """
    measuring = [task for pool in POOLS for task in subject.tasks(pool)]
    ids, asked = {task.id for task in measuring}, OverlapIndex(map(text_of_task, measuring))
    given = subject.tasks("train", options.tasks, options.seed)
    kept = [
        task
        for task in given
        if task.id not in ids and asked.find_overlap(text_of_task(task)) is None
    ]
    if len(kept) < _FEWEST:
        raise EvaluationError(
            f"agent {subject.name!r} has {len(kept)} training tasks ({len(given) - len(kept)} more also measure it)",
            f"at least {_FEWEST} in the pool train",
            f"look at `tasks` in [agent.{subject.name}] of burnish.toml",
        )
    random.Random(options.seed).shuffle(kept)  # noqa: S311 - no secret
    return kept, len(given) - len(kept)


def _find_folder(
    subject: AgentProject,
    adapter: str | None,
    texts: dict[str, str],
    tasks: list[Task],
    reflection: str,
    options: OptimizationOptions,
) -> Path:
    """Return the folder of an optimisation with these settings; its budget may grow."""
    config = subject.config
    decides = [
        [subject.code_sha256, config.environment, config.base_model, config.backend],
        [[verifier.name, verifier.version] for verifier in subject.proof_verifiers],
        msgspec.to_builtins(read_options(subject)),
        [adapter, texts, hash_tasks(tasks), reflection, options.seed],
    ]
    digest = hashlib.sha256(canonical(decides)).hexdigest()[:12]
    return make_private_folder(subject.workspace.home / "runs" / f"prompt-{subject.name}-{digest}")


def _run_gepa(
    subject: AgentProject,
    adapter: str | None,
    texts: dict[str, str],
    search: SearchPlan,
    model: ReflectionModel,
    folder: Path,
    seed: int,
) -> dict[str, Any]:
    """Run GEPA within the budget, and return its best texts, scores and costs."""
    from burnish_trainer.prompts.agent_runs import AgentRuns  # the evaluation is heavy

    make_private_folder(folder / "gepa")
    limit = most_undecided(subject.config.gate) * search.budget
    with EvaluationLoop(EvaluationState(subject.config.evaluate.token_limit)) as loop:
        runs = AgentRuns(subject, adapter, folder / "attempts", loop)
        console.say("{}", search.describe(runs.spent))

        def must_stop(state: Any) -> bool:
            room = search.has_room(runs.spent, state.total_num_evals)
            return not room or model.is_broken or bool(runs.problem) or len(runs.undecided) > limit

        result = import_gepa().optimize(
            seed_candidate=dict(texts),
            trainset=search.learning,
            valset=search.choosing,
            adapter=runs,
            reflection_lm=model,
            reflection_minibatch_size=search.minibatch,
            stop_callbacks=must_stop,
            callbacks=[_Progress(runs, search.budget)],
            logger=_LogFile(folder / "gepa.log"),
            run_dir=str(folder / "gepa"),
            track_best_outputs=False,
            seed=seed,
            raise_on_exception=False,
        )
    if runs.problem is not None:
        raise runs.problem
    if model.is_broken:
        raise model.broken_error(
            f"burnish optimize-prompt {subject.name} --reflection {model.spec}"
        )
    return _describe_search(result, runs, subject) | {"changed": result.best_candidate != texts}


def _describe_search(result: Any, runs: AgentRuns, subject: AgentProject) -> dict[str, Any]:
    """Return the best texts of a search, its scores and its costs."""
    scores = list(result.val_aggregate_scores)
    return {
        "texts": dict(result.best_candidate),
        "score": {"before": scores[0], "best": max(scores)},
        "candidates": len(scores),
        "scores": result.total_metric_calls,
        "attempts": runs.spent,
        "unknown": len(runs.undecided),
        "undecided": describe_undecided(runs.undecided, runs.spent, subject.config.gate),
    }


def _prove(
    subject: AgentProject, current: ArmVersion, defaults: dict[str, str], report: dict[str, Any]
) -> dict[str, Any]:
    """Store the best texts, evaluate them on held-out tasks against what is in service, and register them."""
    from burnish_trainer.prompts.registration import register_evaluated  # the canary is heavy

    doubt = report["undecided"]
    unproven = {"status": "inconclusive", "reasons": [doubt]}
    if not report["changed"]:
        console.say("no better prompt was found in {} attempts", report["attempts"])
        return {**(unproven if doubt else {"status": "unchanged"}), "prompt": None}
    store, home = PromptStore(subject.workspace.home), subject.workspace.home
    version: PromptVersion = store.put(
        subject.name, report["texts"], defaults=defaults, report=report
    )
    if doubt:  # the held-out tasks keep their level
        return {**unproven, "prompt": version.id}
    found = evaluate(
        subject,
        adapters=[current.adapter, current.adapter],
        prompts=[current.prompt, version.id],
    )
    decision = decide_and_record(home, found, subject.config.gate)
    stored = save_evaluation(home, found, decision)
    register_evaluated(subject, found, decision)
    more = {
        "status": decision.decision,
        "prompt": version.id,
        "reasons": decision.reasons,
        "evaluation": stored.name,
        "heldout": msgspec.to_builtins(found.pools.get("heldout")),
    }
    store.put(subject.name, report["texts"], report={**report, **more})
    return more


class _Progress:
    """Prints a line after each iteration of GEPA."""

    def __init__(self, runs: Any, budget: int) -> None:
        self._runs, self._budget = runs, budget

    def on_iteration_end(self, event: Any) -> None:
        """Print scores and costs so far."""
        state = event["state"]
        scores = list(state.program_full_scores_val_set)
        console.say(
            "  iteration {}: {} of {} attempts, {} candidates, best {} (first prompt {})",
            event["iteration"],
            self._runs.spent,
            self._budget,
            len(scores),
            f"{max(scores):.0%}",
            f"{scores[0]:.0%}",
        )

    def on_error(self, event: Any) -> None:
        """Print what an iteration met."""
        console.say("  [yellow]iteration {} failed[/]: {}", event["iteration"], event["exception"])


class _LogFile:
    """Writes GEPA's log into a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def log(self, message: str) -> None:
        """Append a line."""
        with self._path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{message}\n")


__all__ = ["OptimizationOptions", "choose_tasks", "optimize_prompt", "read_own_prompts"]
