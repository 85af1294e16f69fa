"""Compare two files of results with the gate's statistics; no training package is needed.

`compare_files` is the entry: `readers` turn files of burnish, Inspect, MLflow, tau2 and plain JSONL into outcomes,
`pool_comparison` compares each pool of tasks, `verdict` decides, `rendering` writes Markdown.

    report = compare_files(Path("before.jsonl"), Path("after.jsonl"))
    report.verdict, report.gain, report.interval
"""

from burnish.compare.compared import ComparedPool, ComparisonReport
from burnish.compare.outcomes import ResultFile, TaskOutcome
from burnish.compare.readers import read_results
from burnish.compare.rendering import render_markdown
from burnish.compare.verdict import compare_files, compare_results

__all__ = [
    "ComparedPool",
    "ComparisonReport",
    "ResultFile",
    "TaskOutcome",
    "compare_files",
    "compare_results",
    "read_results",
    "render_markdown",
]
