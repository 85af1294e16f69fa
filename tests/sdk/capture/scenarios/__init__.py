"""Scenarios: every way in which an agent runs, with real graphs; each declares the calls that must be recorded.

Each kind of way has a module. `SCENARIOS` has all of them by name; test_every_scenario.py puts each
through the same checks, and other tests look at one more closely.
"""

from scenarios import entry_points, failures, graphs, pauses, teams, threads
from scenarios.playing import SCENARIOS

assert all((entry_points, failures, graphs, pauses, teams, threads)), "each adds its own"

__all__ = ["SCENARIOS"]
