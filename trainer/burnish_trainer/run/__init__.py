"""Train an adapter: one run from a dataset version to an adapter version.

    version = train(dataset, base_model="starter")
    version.id                       # "adapter@0a1b2c3d4e5f", published into the workspace

`train` (training.py) states the order of a run: tokens, plan, steps, fingerprint, publication. The folder of a run:

    folder/
      plan.json            everything that decides the bytes, and the estimate
      metrics.jsonl        one line a logged step
      checkpoints/         the two newest whole ones and the best one, each with the hashes of its files
      adapter/             weights, configuration, fingerprint, card, lineage
      done.json            id of the published version

measures/ holds what is measured of the model of a run, processes.py how several processes share a run.

How it works: the folder is named after the plan, so the same call finds its own unfinished work and
continues it.
"""

from __future__ import annotations

from burnish_trainer.rows.examples import Dataset
from burnish_trainer.run.publish import AdapterVersion
from burnish_trainer.run.training import train

__all__ = ["AdapterVersion", "Dataset", "train"]
