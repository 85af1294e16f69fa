"""One round of retraining: the list of its stages, their work, and what decides if a round is due.

stage_list.py   the stages in order; runs them, each with a receipt
stages.py       receipts: a finished stage with the same inputs is not repeated
context.py      what the stages of one round share
data.py         fresh runs and the dataset
planning.py     rows, tokens, steps, time and memory before anything is trained
proving.py      training, evaluation and the gate's decision
serving.py      registration, loading and the canary
news.py         what was recorded since the last round
history.py      the log of rounds, and what each changed
escalation.py   when a harder objective is due
hooks.py        who hears of transitions
verifying.py    the process beside a loop that verifies finished runs
"""
