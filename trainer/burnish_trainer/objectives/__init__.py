"""Define what a training optimises, as functions of log-probabilities.

supervised.py        weighted SFT and DFT: a sum over single tokens
preference.py        DPO in four forms, KTO, ORPO: functions of the log-probabilities of whole replies
policy_gradient.py   clipped policy gradient on logged runs, with checks of how old the runs are

Each function takes log-probabilities that any forward pass computed, on a trie or row by row, so all objectives share
the forward passes of `burnish_trainer.tree`. Its docstring states the formula and its source.
"""

from __future__ import annotations
