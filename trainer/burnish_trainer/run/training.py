"""State the order of a training run: tokens, plan, steps, fingerprint, publication.

`train` is the entry; each step has its own module.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import burnish
from burnish.adapters.store import AdapterStore
from burnish.errors import EmptyDataset, TrainingError
from burnish.files.storage import make_private_folder
from burnish.journal.events import canonical
from burnish_trainer import console
from burnish_trainer.compat import check_libraries
from burnish_trainer.recipes.train_recipe import TrainRecipe, make_recipe
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
    write_json,
)


class Dataset(Protocol):
    """The part of a dataset version that training needs."""

    @property
    def id(self) -> str:
        """Return the immutable id."""
        ...

    def rows(self, split: str = "train") -> Iterable[dict[str, Any]]:
        """Return the rows of a split."""
        ...


@dataclass
class _TrainJob:
    """The state of a run."""

    recipe: TrainRecipe
    plan: TrainPlan
    rows: list[TokenRow]
    model: Any
    tokenizer: Any
    folder: Path
    store: AdapterStore


def train(
    dataset: Dataset,
    *,
    base_model: str | Path,
    objective: Literal["sft"] = "sft",
    recipe: TrainRecipe | dict[str, Any] | None = None,
    out: str | Path | None = None,
    workspace: burnish.Workspace | None = None,
) -> AdapterVersion:
    """Train an adapter on the rows of a dataset version and publish it into the workspace.

    A run that was killed continues from its newest whole checkpoint and gives the same bytes; a finished run is not
    repeated.

    Args:
        dataset: A dataset version.
        base_model: Name or folder of the model that the adapter is for.
        objective: What is optimised; `sft` is the likelihood of the rows' assistant messages.
        recipe: Settings, as a `burnish_trainer.Recipe` or as its fields.
        out: Folder of the run; by default in the workspace, named after the plan.
        workspace: Where the adapter is published; by default the current one.

    Raises:
        EmptyDataset: No row can be learned from.
        TrainingError: The recipe, the base model or the run folder cannot be used.
    """
    from burnish_trainer.recipes.lora import choose_threads

    settled = make_recipe(recipe)
    if objective != "sft":
        raise TrainingError(f"objective {objective!r}", "'sft'", 'train(..., objective="sft")')
    check_libraries()
    home = (workspace or burnish.Workspace()).home
    job = _prepare_job(dataset, str(base_model), settled, home, Path(out) if out else None)
    with lock_folder(job.folder, "a training run"):
        done = _find_published(job)
        if done is not None:
            console.say("  {} is already trained", done.id)
            return done
        with _torch_threads(choose_threads(job.model, settled)), explain_full_disk(job.folder):
            return _run_job(job)


def _prepare_job(
    dataset: Dataset, base_model: str, recipe: TrainRecipe, home: Path, out: Path | None
) -> _TrainJob:
    from burnish.serving.contract.base_models import base_sha256, resolve_model
    from burnish.serving.contract.model_contract import read_contract, refuse_to_train
    from burnish_trainer.recipes.lora import add_adapter, load_base

    base = resolve_model(base_model)
    contract = read_contract(base)
    refuse_to_train(contract)
    model, tokenizer = load_base(base, recipe)
    limit = min((n for n in (recipe.max_length, contract.context) if n), default=None)
    rows, report = tokenise_rows(
        dataset.rows("train"), tokenizer, max_length=limit, end_ids=contract.end_ids
    )
    if not rows:
        raise EmptyDataset(
            f"dataset {dataset.id} has no row to learn from "
            f"({json.dumps(report.dropped) if report.dropped else 'it is empty'})",
            "at least one row with a verified success",
            f"burnish dataset show {dataset.id}",
        )
    store = AdapterStore(home)
    start = _find_start(recipe, store, base_sha256(base))
    facts = [[r.row_id, r.input_ids, r.labels, r.weight] for r in rows]
    plan = make_plan(
        recipe,
        objective="sft",
        base=(base_model, base_sha256(base)),
        dataset=(dataset.id, hashlib.sha256(canonical(facts)).hexdigest()),
        rows=report.as_dict(),
    )
    folder = out or home / "runs" / plan.id
    return _TrainJob(
        recipe, plan, rows, add_adapter(model, recipe, start), tokenizer, folder, store
    )


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


class _torch_threads:  # noqa: N801 - reads as a clause
    """Set the processor threads of torch for a block."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __enter__(self) -> None:
        import torch

        self._before = torch.get_num_threads()
        torch.set_num_threads(self._count)

    def __exit__(self, *_: object) -> None:
        import torch

        torch.set_num_threads(self._before)


def _run_job(job: _TrainJob) -> AdapterVersion:
    from burnish_trainer.run.estimate import add_estimate, print_plan

    started = time.monotonic()
    plan = add_estimate(job.plan, job.recipe, job.model, job.rows)
    write_json(job.folder / "plan.json", plan.as_dict())
    print_plan(plan)
    metrics = _train_steps(job)
    metrics["seconds"] = round(time.monotonic() - started, 3)
    version = _publish_adapter(job, metrics)
    facts = {"adapter": version.id, "metrics": metrics}
    write_json(job.folder / "done.json", facts)
    shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
    console.say("  [green]{}[/] in {} s", version.id, f"{metrics['seconds']:.0f}")
    return version


def _train_steps(job: _TrainJob) -> dict[str, float]:
    """Train from the newest whole checkpoint, if there is one, and return the last figures."""
    import datasets
    from transformers import PrinterCallback

    from burnish_trainer.recipes.lora import ignore_future_warnings
    from burnish_trainer.run.arguments import make_arguments
    from burnish_trainer.run.plan import plan_order
    from burnish_trainer.run.progress import MetricsCallback, read_metrics
    from burnish_trainer.run.trainer import AdapterTrainer, Collator

    checkpoints = job.folder / "checkpoints"
    make_private_folder(checkpoints)
    columns = ("input_ids", "labels", "weight")
    table = datasets.Dataset.from_dict({c: [getattr(r, c) for r in job.rows] for c in columns})
    path = job.folder / "metrics.jsonl"
    with console.bar("training", job.plan.steps) as advance, ignore_future_warnings():
        watch = MetricsCallback(path, len(job.rows) / job.recipe.batch_size, advance)
        trainer = AdapterTrainer(
            order=plan_order([len(row.input_ids) for row in job.rows], job.recipe),
            model=job.model,
            args=make_arguments(job.recipe, checkpoints, job.plan.steps),
            train_dataset=table,
            data_collator=Collator(job.tokenizer.pad_token_id),
            processing_class=job.tokenizer,
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        resumed = newest_checkpoint(checkpoints)
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    lines = read_metrics(path)
    last = lines[-1] if lines else {}
    return {key: last[key] for key in ("loss", "mean_token_accuracy") if key in last}


def _publish_adapter(job: _TrainJob, metrics: dict[str, float]) -> AdapterVersion:
    from burnish_trainer.run.fingerprint import make_fingerprint

    folder = job.folder / "adapter"
    save_adapter(job.model, folder, job.plan.base_model)
    write_json(folder / "fingerprint.json", make_fingerprint(job.model, job.rows))
    manifest = make_manifest(job.plan, job.recipe, folder, metrics)
    (folder / "card.md").write_text(render_adapter_card(manifest, job.plan.rows))
    store = job.store
    published = store.publish(folder, manifest)
    return AdapterVersion(
        published.id, store.path(published.id), published, job.folder, job.plan.rows, metrics
    )
