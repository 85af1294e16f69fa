"""Compare two files of results with the gate's statistics; no training package is needed.

`compare_files` is the entry: `readers` turn files of burnish, Inspect, MLflow, tau2 and plain JSONL into outcomes,
`verdict` compares them, `rendering` writes Markdown.

    report = compare_files(Path("before.jsonl"), Path("after.jsonl"))
    report.verdict, report.gain, report.interval
"""

from burnish.compare.outcomes import ResultFile, TaskOutcome
from burnish.compare.readers import read_results
from burnish.compare.rendering import render_markdown
from burnish.compare.verdict import ComparisonReport, compare_files, compare_results

__all__ = [
    "ComparisonReport",
    "ResultFile",
    "TaskOutcome",
    "compare_files",
    "compare_results",
    "read_results",
    "render_markdown",
]
