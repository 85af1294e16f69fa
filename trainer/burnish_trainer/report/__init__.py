"""Reports of an evaluation or a retrain: what changed, where, at what cost, and how runs fail.

    facts = assemble_report(evaluation, burnish.Workspace())
    Path("report.html").write_text(render_page(facts))

`facts` assembles plain data, `tables` arranges it, `page` and `markdown` write it, `pictures` draws. `failure_modes` names
the ways in which runs fail, `call_accuracy` counts how well they choose tools and arguments.
"""

from burnish_trainer.report.facts import Prices, assemble_report, find_report
from burnish_trainer.report.failure_modes import FAILURE_MODES, name_failure_modes
from burnish_trainer.report.markdown import render_markdown
from burnish_trainer.report.page import render_page

__all__ = [
    "FAILURE_MODES",
    "Prices",
    "assemble_report",
    "find_report",
    "name_failure_modes",
    "render_markdown",
    "render_page",
]
