"""Make, refresh and check task sets.

run_task.py     one recorded run as a task
from_traces.py  tasks from production runs: a sample by kind, without near duplicates
known_texts.py  requests that are tasks already, or that were trained on
listing.py      what sets there are, and one task
editing.py      add a run, refresh a held-out set
set_check.py    overlap, size, slices of the sets
commands.py     `burnish tasks`
"""
