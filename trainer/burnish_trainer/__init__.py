"""Train adapters on datasets and evaluate them on held-out tasks.

    dataset = burnish_exporters.build_dataset(Workspace(), agent="support", verify=[...])
    adapter = burnish_trainer.train(dataset, base_model="starter")
    proof = burnish_trainer.evaluate("support", adapters=[None, adapter.id], tasks=None)
    burnish_trainer.decide(proof).decision        # promote | reject | inconclusive
    burnish.retrain("support")                    # all of it, and the canary

Importing the package loads neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnish_trainer.evaluation import collect, evaluate
    from burnish_trainer.gate import decide
    from burnish_trainer.recipes import Recipe
    from burnish_trainer.run import AdapterVersion, train

_HOMES = {
    "AdapterVersion": "burnish_trainer.run",
    "Recipe": "burnish_trainer.recipes",
    "collect": "burnish_trainer.evaluation",
    "decide": "burnish_trainer.gate",
    "evaluate": "burnish_trainer.evaluation",
    "train": "burnish_trainer.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


__all__ = ["AdapterVersion", "Recipe", "collect", "decide", "evaluate", "train"]
