"""State the order of a training run: tokens, plan, steps, fingerprint, publication.

`train` is the entry; each step has its own module.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import burnish
from burnish.adapters.store import AdapterStore
from burnish.errors import TrainingError
from burnish.files.storage import make_private_folder
from burnish.journal.events import canonical
from burnish_trainer import console
from burnish_trainer.compat import check_libraries
from burnish_trainer.recipes.train_recipe import TrainRecipe, make_recipe
from burnish_trainer.rows.examples import Dataset, TrainExample, make_examples
from burnish_trainer.rows.token_rows import TokenRow, tokenise_rows
from burnish_trainer.run.plan import TrainPlan, make_plan
from burnish_trainer.run.publish import (
    AdapterVersion,
    make_manifest,
    render_adapter_card,
    save_adapter,
)
from burnish_trainer.run.storage import (
    explain_full_disk,
    lock_folder,
    newest_checkpoint,
    read_metrics,
    write_json,
)

if TYPE_CHECKING:
    from burnish_trainer.run.processes import Parallel, Processes
    from burnish_trainer.run.steps import RunSteps
    from burnish_trainer.tree.planner import ExecutionPlan

_REPORTED = ("loss", "mean_token_accuracy", "mean_token_probability")
_SETTLED: dict[str, ExecutionPlan] = {}  # the newest one, by the hash of what decides it


@dataclass
class _TrainJob:
    """The state of a run."""

    recipe: TrainRecipe
    plan: TrainPlan
    examples: list[TrainExample]
    heldout: list[TrainExample]
    steps: RunSteps
    model: Any
    tokenizer: Any
    folder: Path
    store: AdapterStore
    heldout_rows: list[TokenRow]
    processes: Processes

    @property
    def rows(self) -> list[TokenRow]:
        """Return the sequences of all examples."""
        return [row for example in self.examples for row in example.rows]


def train(
    dataset: Dataset,
    *,
    base_model: str | Path,
    objective: str | None = None,
    recipe: TrainRecipe | dict[str, Any] | None = None,
    out: str | Path | None = None,
    workspace: burnish.Workspace | None = None,
    parallel: Parallel = "ddp",
) -> AdapterVersion:
    """Train an adapter on the rows of a dataset version and publish it into the workspace.

    A run that was killed continues from its newest whole checkpoint and gives the same bytes; a finished run is not
    repeated. Under torchrun or `accelerate launch`, all processes call this function and share each step.

    Args:
        dataset: A dataset version.
        base_model: Name or folder of the model that the adapter is for.
        objective: What is optimised: "sft" (the likelihood of the rows' assistant messages), "dft", "rejection", "dpo",
            "kto", "orpo" or "policy_gradient"; by default the recipe's.
        recipe: Settings, as a `burnish_trainer.Recipe` or as its fields.
        out: Folder of the run; by default in the workspace, named after the plan.
        workspace: Where the adapter is published; by default the current one.
        parallel: Where several processes keep the base weights: "ddp" (each all of them) or "fsdp2" (each a part).

    Raises:
        EmptyDataset: No row can be learned from.
        TrainingError: The recipe, the base model or the run folder cannot be used.
    """
    from burnish_trainer.recipes.lora import choose_threads, use_threads
    from burnish_trainer.run.processes import join_processes

    settled = make_recipe(recipe, **({} if objective is None else {"objective": objective}))
    if settled.objective == "grpo":
        raise TrainingError(
            "objective 'grpo' learns from fresh attempts of the agent, and a dataset has none",
            "policy_gradient for logged runs, or grpo in `retrain`",
            "burnish_trainer.online.train_online(AGENT)",
        )
    check_libraries()
    home = (workspace or burnish.Workspace()).home
    processes = join_processes(parallel, settled)
    job = _prepare_job(dataset, str(base_model), settled, home, Path(out) if out else None)
    job.processes = processes
    with _own_folder(job):
        done = processes.tell(_find_published(job) if processes.first else None)
        if done is not None:
            console.say("  {} is already trained", done.id)
            return done
        with use_threads(choose_threads(job.model, settled)), explain_full_disk(job.folder):
            return _run_job(job)


@contextlib.contextmanager
def _own_folder(job: _TrainJob) -> Generator[None]:
    """Lock the folder in the process that writes; the others are silent."""
    job.processes.require_same(job.plan.id, "plans")
    first = job.processes.first
    with lock_folder(job.folder, "a training run") if first else console.silenced():
        yield


def plan_training(
    dataset: Dataset, *, base_model: str | Path, recipe: dict[str, Any], home: Path
) -> TrainPlan:
    """Return the plan of a training with its estimate of seconds and bytes, without training.

    Args:
        dataset: A dataset version.
        base_model: Name or folder of the base model.
        recipe: Settings.
        home: Folder of the workspace.

    Raises:
        EmptyDataset: No row can be learned from.
        TrainingError: The recipe or the base model cannot be used.
    """
    from burnish_trainer.recipes.lora import choose_threads, use_threads
    from burnish_trainer.run.estimate import add_estimate

    job = _prepare_job(dataset, str(base_model), make_recipe(recipe), home, None)
    with use_threads(choose_threads(job.model, job.recipe)):
        return add_estimate(job.plan, job.recipe, job.model, job.rows)


def _prepare_job(
    dataset: Dataset, base_model: str, recipe: TrainRecipe, home: Path, out: Path | None
) -> _TrainJob:
    from burnish.serving.contract.base_models import base_sha256, resolve_model
    from burnish.serving.contract.model_contract import read_contract, refuse_to_train
    from burnish_trainer.recipes.lora import add_adapter, load_base
    from burnish_trainer.run.measures.heldout_loss import make_heldout_examples
    from burnish_trainer.run.processes import ALONE
    from burnish_trainer.run.steps import arrange_steps

    base = resolve_model(base_model)
    contract = read_contract(base)
    refuse_to_train(contract)
    model, tokenizer = load_base(base, recipe)
    tokenise = functools.partial(
        tokenise_rows,
        tokenizer=tokenizer,
        max_length=contract.limit_length(recipe.max_length),
        end_ids=contract.end_ids,
    )
    examples, report = make_examples(dataset, recipe, tokenise)
    heldout_rows, _ = tokenise(dataset.rows("heldout"))
    heldout = make_heldout_examples(dataset, recipe, tokenise)
    store = AdapterStore(home)
    start = _find_start(recipe, store, base_sha256(base))
    model = add_adapter(model, recipe, start)
    steps = arrange_steps(examples, recipe)
    data_sha256 = _hash_examples([*examples, *heldout])
    decides = [base_sha256(base), msgspec.to_builtins(recipe), data_sha256]
    execution = _settle_once(model, recipe, steps, examples, decides)
    if steps.execution.shares and not execution.shares:
        steps = arrange_steps(examples, msgspec.structs.replace(recipe, prefix_sharing="off"))
    steps = dataclasses.replace(steps, execution=execution)
    plan = make_plan(
        recipe,
        base=(base_model, base_sha256(base)),
        dataset=(dataset.id, data_sha256),
        rows={**report.as_dict(), **({"heldout": len(heldout)} if heldout else {})},
        examples=len(examples),
        execution=execution,
    )
    folder = out or home / "runs" / plan.id
    return _TrainJob(
        recipe, plan, examples, heldout, steps, model, tokenizer, folder, store, heldout_rows, ALONE
    )


def _settle_once(
    model: Any,
    recipe: TrainRecipe,
    steps: RunSteps,
    examples: list[TrainExample],
    decides: list[Any],
) -> ExecutionPlan:
    """Settle how the steps are computed; a plan and the training after it, in one process, check once."""
    from burnish_trainer.recipes.lora import choose_threads, use_threads
    from burnish_trainer.run.steps import first_rows
    from burnish_trainer.tree.self_check import settle_execution

    key = hashlib.sha256(canonical(decides)).hexdigest()
    if key not in _SETTLED:
        rows = first_rows(examples, steps, recipe.batch_size)
        with use_threads(choose_threads(model, recipe)):
            settled = settle_execution(model, steps.execution, rows)
        _SETTLED.clear()
        _SETTLED[key] = settled
    return _SETTLED[key]


def _hash_examples(examples: list[TrainExample]) -> str:
    facts = [
        [
            [r.row_id, r.input_ids, r.labels, r.weight],
            *((side,) if side else ()),
            *((example.advantage, repr(r.logged)) if example.advantage else ()),
        ]
        for example in examples
        for r, side in zip(example.rows, example.sides, strict=True)
    ]
    return hashlib.sha256(canonical(facts)).hexdigest()


def _find_start(recipe: TrainRecipe, store: AdapterStore, base_sha256: str) -> Path | None:
    """Return the folder of the adapter to continue from, which must have the same base model."""
    if recipe.init_adapter is None:
        return None
    from burnish.errors import BaseModelMismatch

    manifest = store.get(recipe.init_adapter)
    if manifest.base_sha256 != base_sha256:
        raise BaseModelMismatch(
            f"adapter {manifest.id} was trained on {manifest.base_model} ({manifest.base_sha256[:12]})",
            f"an adapter of the base model with hash {base_sha256[:12]}",
            "train without init_adapter",
        )
    return store.path(recipe.init_adapter)


def _find_published(job: _TrainJob) -> AdapterVersion | None:
    """Return the version that this run already published, if its folder has the same plan and holds it whole."""
    known = job.folder / "plan.json"
    if known.exists() and json.loads(known.read_text())["id"] != job.plan.id:
        raise TrainingError(
            f"{job.folder} holds another run ({json.loads(known.read_text())['id']})",
            f"an empty folder, or one of {job.plan.id}",
            "give another folder, or none",
        )
    receipt = job.folder / "done.json"
    if not receipt.exists():
        return None
    from burnish.errors import RegistryError

    store = job.store
    facts = json.loads(receipt.read_text())
    try:
        store.verify(facts["adapter"])
        manifest = store.get(facts["adapter"])
    except RegistryError:
        return None
    return AdapterVersion(
        manifest.id, store.path(manifest.id), manifest, job.folder, job.plan.rows, facts["metrics"]
    )


def _run_job(job: _TrainJob) -> AdapterVersion:
    from burnish_trainer.run.estimate import add_estimate, print_plan

    started = time.monotonic()
    if job.processes.first:
        plan = add_estimate(job.plan, job.recipe, job.model, job.rows)
        write_json(job.folder / "plan.json", plan.as_dict())
        print_plan(plan, job.processes)
    metrics = _train_steps(job)
    metrics["seconds"] = round(time.monotonic() - started, 3)
    version: Any = job.processes.tell(_publish_adapter(job, metrics))
    return version


def _train_steps(job: _TrainJob) -> dict[str, float]:
    """Train from the newest whole checkpoint, if there is one, and return the last figures."""
    from transformers import PrinterCallback

    from burnish_trainer.recipes.lora import ignore_future_warnings
    from burnish_trainer.run.arguments import make_arguments
    from burnish_trainer.run.measures.heldout_loss import (
        describe_stop,
        has_stopped,
        summarise_heldout,
        watch_heldout_loss,
    )
    from burnish_trainer.run.progress import MetricsCallback
    from burnish_trainer.tree.self_check import execution

    checkpoints = job.folder / "checkpoints"
    if job.processes.first:
        make_private_folder(checkpoints)
    path = job.folder / "metrics.jsonl"
    with (
        console.bar("training", job.plan.steps) as advance,
        ignore_future_warnings(),
        execution(job.model, job.steps.execution.kind),
    ):
        watch = MetricsCallback(path, len(job.examples) / job.recipe.batch_size, advance)
        watched = bool(job.heldout)
        trainer = _make_trainer(
            job,
            args=make_arguments(job.recipe, checkpoints, job.plan.steps, watched=watched),
            callbacks=[
                *([watch] if job.processes.first else []),
                *([watch_heldout_loss(job.recipe)] if watched else []),
            ],
        )
        trainer.remove_callback(PrinterCallback)
        age = _measure_age(job)
        resumed = job.processes.tell(newest_checkpoint(checkpoints, job.plan.id))
        if resumed is not None and watched and has_stopped(resumed, job.recipe):
            trainer.restore_best(resumed)
        else:
            trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    lines = read_metrics(path)
    last = next((line for line in reversed(lines) if "loss" in line), {})
    heldout = summarise_heldout(lines, job.plan.steps)
    if heldout:
        console.say("  {}", describe_stop(heldout))
    return {key: last[key] for key in _REPORTED if key in last} | age | heldout


def _measure_age(job: _TrainJob) -> dict[str, float]:
    """Return and print the share of effective samples of logged runs, which policy gradient needs.

    Raises:
        TrainingError: The runs are too old.
    """
    from burnish_trainer.run.measures.reference import measure_age

    if job.recipe.objective != "policy_gradient":
        return {}
    share = measure_age(job.model, job.examples, job.steps, job.recipe)
    if share is None:
        console.say("  [yellow]the runs have no log-probabilities: their age is unknown[/]")
        return {}
    console.say("  effective sample size: {} of {} runs", f"{share:.1%}", len(job.examples))
    return {"effective_sample_share": round(share, 6)}


def _make_trainer(job: _TrainJob, **arguments: Any) -> Any:
    """Return the trainer of the run: over padded rows for imitation without sharing, else over tries."""
    import datasets

    from burnish_trainer.objectives.step_losses import IMITATION
    from burnish_trainer.run.measures.reference import reference_logprobs
    from burnish_trainer.run.processes import shard_base_weights
    from burnish_trainer.run.steps import make_table
    from burnish_trainer.run.trainer import AdapterTrainer, Collator
    from burnish_trainer.run.tree_trainer import ExampleCollator, TreeAdapterTrainer

    shared: dict[str, Any] = {
        "order": job.steps.order,
        "processes": job.processes,
        "plan": job.plan.id,
        "model": job.model,
        "processing_class": job.tokenizer,
        **arguments,
    }
    reference = reference_logprobs(job.model, job.examples, job.steps, job.recipe)
    watched = dataclasses.replace(job.steps, order=list(range(len(job.heldout))))
    heldout = reference_logprobs(job.model, job.heldout, watched, job.recipe)
    shard_base_weights(job.model, job.processes)
    if job.recipe.objective in IMITATION and not job.steps.execution.shares:
        return AdapterTrainer(
            train_dataset=_make_row_table(job.examples),
            eval_dataset=_make_row_table(job.heldout) if job.heldout else None,
            data_collator=Collator(job.tokenizer.pad_token_id),
            **shared,
        )
    return TreeAdapterTrainer(
        recipe=job.recipe,
        execution=job.steps.execution,
        train_dataset=datasets.Dataset.from_dict(make_table(job.examples, reference)),
        eval_dataset=datasets.Dataset.from_dict(make_table(job.heldout, heldout))
        if job.heldout
        else None,
        data_collator=ExampleCollator(),
        **shared,
    )


def _make_row_table(examples: list[TrainExample]) -> Any:
    """Return one row a sequence, as `Collator` reads them."""
    import datasets

    rows = [row for example in examples for row in example.rows]
    columns = ("input_ids", "labels", "weight")
    return datasets.Dataset.from_dict({c: [getattr(row, c) for row in rows] for c in columns})


def _publish_adapter(job: _TrainJob, metrics: dict[str, float]) -> AdapterVersion | None:
    """Publish the adapter, in the process that writes; the others take part in what the model computes."""
    from burnish_trainer.run.measures.drift import measure_drift
    from burnish_trainer.run.measures.fingerprint import make_fingerprint

    fingerprint = make_fingerprint(job.model, job.rows)
    drift = measure_drift(job.model, job.heldout_rows, job.rows)
    if not job.processes.first:
        return None
    folder = job.folder / "adapter"
    save_adapter(job.model, folder, job.plan.base_model)
    write_json(folder / "fingerprint.json", fingerprint)
    manifest = make_manifest(job.plan, job.recipe, folder, metrics, drift)
    (folder / "card.md").write_text(render_adapter_card(manifest, job.plan.rows))
    store = job.store
    published = store.publish(folder, manifest)
    write_json(job.folder / "done.json", {"adapter": published.id, "metrics": metrics})
    shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
    console.say("  [green]{}[/] in {} s", published.id, f"{metrics['seconds']:.0f}")
    return AdapterVersion(
        published.id, store.path(published.id), published, job.folder, job.plan.rows, metrics
    )
