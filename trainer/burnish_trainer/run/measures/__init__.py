"""Measure the model of a run, before, during and after its steps.

reference.py     log-probabilities of the examples before the first step, and the age of logged runs
heldout_loss.py  loss of held-out rows, which ends a training
drift.py         distance of the trained model from its base
fingerprint.py   prompts where adapter and base differ, by which a server is checked
"""
