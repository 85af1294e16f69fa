"""Reports of an evaluation or a retrain: what changed, where, at what cost, and how runs fail.

    workspace = burnish.Workspace()
    facts = assemble_report(find_report(workspace.home, "support"), workspace)
    Path("report.html").write_text(render_page(facts))

`lookup` finds what is stored, `facts` assembles plain data, `tables` arranges it, `page` and `markdown` write it, `pictures` draws. `failure_modes` names
the ways in which runs fail, `call_accuracy` counts how well they choose tools and arguments.
"""

from burnish_trainer.report.costs import Prices
from burnish_trainer.report.facts import assemble_report
from burnish_trainer.report.failure_modes import FAILURE_MODES, name_failure_modes
from burnish_trainer.report.lookup import find_report, list_reports
from burnish_trainer.report.markdown import render_markdown
from burnish_trainer.report.page import render_page

__all__ = [
    "FAILURE_MODES",
    "Prices",
    "assemble_report",
    "find_report",
    "list_reports",
    "name_failure_modes",
    "render_markdown",
    "render_page",
]
