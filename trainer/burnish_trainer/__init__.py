"""Train adapters on datasets and evaluate them on held-out tasks.

    dataset = burnish_exporters.build_dataset(Workspace(), agent="support", verify=[...])
    adapter = burnish_trainer.train(dataset, base_model="starter")
    proof = burnish_trainer.evaluate("support", adapters=[None, adapter.id], tasks=None)
    burnish_trainer.decide(proof).decision        # promote | reject | inconclusive
    burnish.retrain("support")                    # all of it, and the canary

Importing the package loads neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burnish.imports.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from burnish_trainer.evaluation import collect, evaluate
    from burnish_trainer.gate import decide
    from burnish_trainer.recipes import Recipe
    from burnish_trainer.run import AdapterVersion, train
    from burnish_trainer.tree.trl_trainers import TreeDPOTrainer, TreeSFTTrainer

_HOMES = {
    "AdapterVersion": "burnish_trainer.run",
    "Recipe": "burnish_trainer.recipes",
    "TreeDPOTrainer": "burnish_trainer.tree.trl_trainers",
    "TreeSFTTrainer": "burnish_trainer.tree.trl_trainers",
    "collect": "burnish_trainer.evaluation",
    "decide": "burnish_trainer.gate",
    "evaluate": "burnish_trainer.evaluation",
    "train": "burnish_trainer.run",
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)

__all__ = [
    "AdapterVersion",
    "Recipe",
    "TreeDPOTrainer",
    "TreeSFTTrainer",
    "collect",
    "decide",
    "evaluate",
    "train",
]
