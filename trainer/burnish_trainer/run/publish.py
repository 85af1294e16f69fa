"""Publish a trained adapter as an adapter version: its files, its lineage, its card.

The configuration is written without anything that differs between machines. burnish.adapters stores the versions.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.errors import TrainingDiverged
from burnish.records import AdapterManifest
from burnish_trainer.logits import first_not_finite
from burnish_trainer.recipes.train_recipe import TrainRecipe
from burnish_trainer.run.plan import TrainPlan
from burnish_trainer.run.storage import write_json

if TYPE_CHECKING:
    from burnish_trainer.run.measures.drift import Drift

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@dataclass(frozen=True, slots=True)
class AdapterVersion:
    """The result of `train`.

    Attributes:
        id: `name@sha12`, over weights and configuration.
        path: Folder of the version.
        manifest: Its lineage.
        run: Folder of the training run.
        rows: Report on the dataset's rows.
        metrics: Last loss, accuracy on the learned tokens, seconds.
    """

    id: str
    path: Path
    manifest: AdapterManifest
    run: Path
    rows: dict[str, Any]
    metrics: dict[str, float]


def save_adapter(model: Any, folder: Path, base_model: str) -> None:
    """Write the adapter's two files, without anything that differs between machines.

    Raises:
        TrainingDiverged: A weight is not finite; nothing is written.
    """
    broken = first_not_finite((n, p) for n, p in model.named_parameters() if p.requires_grad)
    if broken is not None:
        raise TrainingDiverged(
            f"the adapter's weight {broken} is not finite, so nothing is published",
            "finite weights",
            "train with a lower learning_rate in [agent.NAME.train] of burnish.toml",
        )
    shutil.rmtree(folder, ignore_errors=True)
    staged = folder.with_name(f".{folder.name}")
    shutil.rmtree(staged, ignore_errors=True)
    model.save_pretrained(staged)
    config = json.loads((staged / CONFIG).read_text())
    config["base_model_name_or_path"] = base_model
    for key in ("target_modules", "exclude_modules", "modules_to_save"):
        if isinstance(config.get(key), list):
            config[key] = sorted(config[key])
    write_json(staged / CONFIG, config)
    (staged / "README.md").unlink(missing_ok=True)
    staged.rename(folder)


def read_targets(folder: Path) -> list[str]:
    """Return the names of the layers that the adapter changes."""
    return list(json.loads((folder / CONFIG).read_text()).get("target_modules") or [])


def make_manifest(
    plan: TrainPlan,
    recipe: TrainRecipe,
    folder: Path,
    metrics: dict[str, float],
    drift: Drift | None = None,
) -> AdapterManifest:
    """Return the lineage of an adapter that was just written.

    Args:
        plan: The plan of its run.
        recipe: The settings.
        folder: Its folder, which gives id and hash.
        metrics: Last figures of the training.
        drift: Its distance from the base model.
    """
    from burnish.adapters import adapter_id

    version, digest = adapter_id(folder, recipe.name)
    return AdapterManifest(
        id=version,
        name=recipe.name,
        sha256=digest,
        base_model=plan.base_model,
        base_sha256=plan.base_sha256,
        rank=recipe.rank,
        alpha=recipe.alpha,
        targets=read_targets(folder),
        created_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        dataset=plan.dataset,
        parents=plan.parents,
        plan=plan.as_dict(),
        metrics=metrics,
        extras={} if drift is None else {"drift": drift.as_dict()},
    )


def render_adapter_card(manifest: AdapterManifest, rows: dict[str, Any]) -> str:
    """Return the adapter's card, in Markdown."""
    recipe = manifest.plan.get("recipe", {})
    kind = str((recipe.get("peft") or {}).get("peft_type") or recipe.get("method") or "lora")
    from burnish_trainer.run.measures.heldout_loss import describe_stop

    heldout = describe_stop(manifest.metrics) if "heldout_loss" in manifest.metrics else "none"
    dropped = ", ".join(f"{reason}: {n}" for reason, n in rows["dropped"].items()) or "none"
    return f"""# Adapter {manifest.id}

| | |
|---|---|
| base model | {manifest.base_model} (sha256 {manifest.base_sha256[:12]}) |
| dataset | {manifest.dataset} |
| continues from | {", ".join(manifest.parents) or "nothing"} |
| kind | {kind}, rank {manifest.rank}, alpha {manifest.alpha:g}, on {", ".join(manifest.targets)} |
| training | {recipe.get("epochs")} epochs, learning rate {recipe.get("learning_rate")}, \
{recipe.get("batch_size")} sequences a step, seed {recipe.get("seed")} |
| rows | {rows["rows"]} ({rows["captured"]} with recorded tokens, {rows["rendered"]} rendered) |
| tokens | {rows["tokens"]}, {rows["loss_tokens"]} of them learned |
| dropped rows | {dropped} |
| rows without their thought | {rows.get("thoughts_left_out", 0)} |
| last loss | {manifest.metrics.get("loss", float("nan")):.4f} |
| held-out rows | {heldout} |
| drift from the base | {_describe_drift(manifest.extras.get("drift"))} |

It works on this base model only. Its loss does not measure its quality: see the evaluation that the registry
keeps beside it. The whole plan is in `burnish.json`.
"""


def _describe_drift(drift: Any) -> str:
    """Return the distance of the adapter from its base model, in words."""
    if not drift:
        return "not measured"
    where = "held-out rows" if drift["rows"] == "heldout" else "training rows (no held-out ones)"
    return (
        f"KL {drift['kl']:.4f} nats a token, another likeliest token at {drift['changed']:.1%}; "
        f"over {drift['tokens']} tokens of {where}"
    )
