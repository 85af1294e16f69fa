"""Train on a server that speaks the Tinker API: forward_backward with a weight for each token, optim_step, save_weights.

    weights = train_on_tinker(dataset, base_model="Qwen/Qwen3-8B", tokenizer=tokenizer)
    weights.path                                   # tinker://..., the server's name of the weights

client.py    the API's JSON over HTTP
data.py      rows and attempts in the API's form
training.py  the order of a training
"""

from __future__ import annotations

from burnish_trainer.tinker.client import TinkerClient
from burnish_trainer.tinker.training import RemoteWeights, train_on_tinker

__all__ = ["RemoteWeights", "TinkerClient", "train_on_tinker"]
