"""Read the results of MLflow evaluation runs: the table of `mlflow.evaluate`, rows of a result, and traces.

A task is named by a column or tag `task` or `task_id`, else by its request. Equal requests are attempts at one task.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from burnish.compare.outcomes import (
    LeftOut,
    TaskOutcome,
    decode_json,
    make_outcome,
    read_name,
    read_number,
)
from burnish.errors import EvaluationError

_TASK_KEYS = ("task", "task_id", "id", "inputs", "request", "question", "inputs/question")
_ENDINGS = ("/score", "/value", "/v1/score")
_WORDS = {"yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0, "pass": 1.0, "fail": 0.0}
_LONGEST = 80


def is_mlflow(content: Any) -> bool:
    """Return True if a decoded JSON file has a form that MLflow writes."""
    if isinstance(content, dict):
        table = isinstance(content.get("columns"), list) and isinstance(content.get("data"), list)
        return table or isinstance(content.get("traces"), list)
    first = content[0] if isinstance(content, list) and content else None
    if not isinstance(first, dict):
        return False
    return _is_trace(first) or any(key.endswith(_ENDINGS) for key in first)


def read_mlflow(content: Any, metric: str | None, path: Path) -> Iterator[TaskOutcome | LeftOut]:
    """Yield the outcomes of an MLflow file, and the entries without one.

    Args:
        content: The decoded file.
        metric: Metric or assessment, where there are several.
        path: Path of the file, for errors.

    Raises:
        EvaluationError: There are several metrics and none is chosen.
    """
    rows = [_read_row(row) for row in _list_rows(content)]
    names = sorted({name for row in rows for name in row["metrics"]})
    chosen = _choose(names, metric, path)
    for row in rows:
        if row["task"] is None:
            yield LeftOut("no task and no request")
        elif chosen not in row["metrics"]:
            yield LeftOut(f"no value of {chosen}", row["task"])
        elif (value := _grade(row["metrics"][chosen])) is None:
            why = f"a value of {chosen} that is neither a truth value nor a number"
            yield LeftOut(why, row["task"])
        else:
            yield make_outcome(row["task"], value, success=value in (0, 1), cost=row["cost"])


def _list_rows(content: Any) -> list[Mapping[str, Any]]:
    if isinstance(content, dict) and "columns" in content:
        rows = (
            {k: v for k, v in zip(content["columns"], row, strict=False) if isinstance(k, str)}
            for row in content["data"]
            if isinstance(row, list)
        )
        return list(rows)
    rows = content["traces"] if isinstance(content, dict) else content
    return [row for row in rows if isinstance(row, dict)]


def _read_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    if _is_trace(row):
        return _read_trace(row)
    if isinstance(row.get("assessments"), list):  # they tell scores from expectations
        metrics = _read_feedback(row["assessments"])
    else:
        metrics = _read_columns(row)
    task = next((row[key] for key in _TASK_KEYS if row.get(key) is not None), None)
    if task is None and isinstance(row.get("trace"), str | dict):
        task = _read_request(_decode(row["trace"]))
    return {"task": _name_task(task), "metrics": metrics, "cost": row.get("cost")}


def _read_columns(row: Mapping[Any, Any]) -> dict[str, Any]:
    metrics = {}
    for key, value in row.items():
        ending = next((end for end in _ENDINGS if isinstance(key, str) and key.endswith(end)), None)
        if ending is not None and value is not None:
            metrics[key.removesuffix(ending).removesuffix("/v1")] = value
    return metrics


def _read_feedback(assessments: Any) -> dict[str, Any]:
    """Return the values by name; one that a later assessment overrides is marked as no longer valid."""
    metrics = {}
    for one in assessments if isinstance(assessments, list) else []:
        feedback = one.get("feedback") if isinstance(one, dict) else None
        if not isinstance(feedback, dict) or one.get("valid") is False:
            continue
        if feedback.get("error") is None:
            name = one.get("assessment_name") or one.get("name")
            if isinstance(name, str):
                metrics[name] = feedback.get("value")
    return metrics


def _is_trace(row: Mapping[str, Any]) -> bool:
    info = row.get("info")
    return isinstance(info, dict) and ("trace_id" in info or "request_id" in info)


def _read_trace(trace: Mapping[str, Any]) -> dict[str, Any]:
    info = trace["info"]
    tags = info.get("tags")
    named = tags.get("task") or tags.get("task_id") if isinstance(tags, dict) else None
    return {
        "task": _name_task(named or _read_request(trace)),
        "metrics": _read_feedback(info.get("assessments")),
        "cost": _read_tokens(info),
    }


def _read_request(trace: Any) -> Any:
    """Return the request of a trace: the inputs of its first span, else the preview."""
    if not isinstance(trace, dict):
        return None
    data = trace.get("data")
    spans = data.get("spans") if isinstance(data, dict) else None
    for span in spans if isinstance(spans, list) else []:
        attributes = span.get("attributes") if isinstance(span, dict) else None
        if isinstance(attributes, dict) and attributes.get("mlflow.spanInputs") is not None:
            return _decode(attributes["mlflow.spanInputs"])
    info = trace.get("info")
    return info.get("request_preview") or info.get("request") if isinstance(info, dict) else None


def _read_tokens(info: Mapping[str, Any]) -> float | None:
    metadata = info.get("trace_metadata")
    usage = _decode(metadata.get("mlflow.trace.tokenUsage")) if isinstance(metadata, dict) else None
    return read_number(usage.get("output_tokens")) if isinstance(usage, dict) else None


def _decode(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return decode_json(value)
    except ValueError:
        return value


def _name_task(value: Any) -> str | None:
    """Return a name for a task: short texts as they are, long ones and structures with a hash."""
    if value is None or value == "":
        return None
    name = read_name(value) or json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 11]}~{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def _grade(value: Any) -> float | None:
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower())
    return read_number(value)


def _choose(names: list[str], metric: str | None, path: Path) -> str:
    if metric in names or (metric is None and len(names) == 1):
        return metric or names[0]
    if not names:
        raise EvaluationError(f"{path} has no metric", "an MLflow evaluation with scores")
    raise EvaluationError(
        f"{path} has the metrics {', '.join(names)}" + (f", not {metric!r}" if metric else ""),
        "one of them",
        f"burnish compare ... --metric {names[0]}",
    )
