"""Run the whole loop as a demo: `burnish demo`.

The demo shows an agent that fails often, its recorded runs, one retrain, an agent that seldom
fails, a canary that promotes it, and a bad adapter, forced past the gate, that is rolled back
automatically. Everything is real; only the business is small.

play.py      the order of the scenes
scene.py     the folder of a demo: example project, workspace, receipts
traffic.py   users: threads of the agent, routed, recorded and verified
rounds.py    traffic -> retrain -> canary
sabotage.py  a bad adapter, forced, and its rollback
overhead.py  the cost of recording a run
facts.py     the result as data
show.py      the result as one table
report.py    the result as a page with pictures (pictures.py)
"""

from __future__ import annotations

from burnish_trainer.demo.options import DemoOptions
from burnish_trainer.demo.play import play_demo, run_demo

__all__ = ["DemoOptions", "play_demo", "run_demo"]
