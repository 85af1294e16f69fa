"""Every way an agent runs, as a small play with real graphs; each says which calls must be recorded.

A module for each kind of way. `SCENARIOS` has all of them by name; the tests run each through the
same checks (test_every_scenario.py) or look at one more closely.
"""

from scenarios import entry_points, failures, graphs, pauses, teams, threads
from scenarios.playing import SCENARIOS

assert all((entry_points, failures, graphs, pauses, teams, threads)), "each adds its own"

__all__ = ["SCENARIOS"]
