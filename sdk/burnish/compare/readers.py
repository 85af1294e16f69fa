"""Read files of results: burnish evaluations and cached arms, Inspect logs, MLflow runs, tau2 results, plain JSONL.

`read_results` is the entry; it recognises the format by the content. An entry without a usable outcome is left out and
counted by its reason. A file that holds both versions (a burnish evaluation) takes `#before` or `#after` behind its
name; `#after` is the default.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from burnish.compare.inspect_archive import LARGEST, read_samples
from burnish.compare.mlflow_results import is_mlflow, read_mlflow
from burnish.compare.outcomes import (
    ResultFile,
    TaskOutcome,
    decode_json,
    read_attempt,
    read_name,
    read_number,
    read_success,
)
from burnish.errors import EvaluationError
from burnish.records import TaskComparison

_MOST_PAIRS = 100_000  # attempts at one task
_GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}  # Inspect's letters
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}  # its words, in any case
_KNOWN = (
    "a burnish evaluation or arm (JSON), an Inspect log (.eval or JSON), an MLflow evaluation table or traces "
    "(JSON), tau-bench or tau2 results (JSON), or JSONL with task and success or score"
)
_WITH_METRICS = ("inspect", "mlflow")
_NOT_EVALUABLE = ("infrastructure_error", "context_window_exceeded", "unexpected_error")


def read_results(name: str | Path, metric: str | None = None) -> ResultFile:
    """Read the outcomes of a file.

    Args:
        name: Path of the file, with `#before` or `#after` behind it where it holds both.
        metric: Scorer or metric, where a file holds several.

    Raises:
        EvaluationError: The file cannot be read, or holds no outcome.
    """
    path, side = _split_side(name)
    if path.is_dir() and (path / "results.json").is_file():
        path = path / "results.json"
    if zipfile.is_zipfile(path):
        found = ResultFile(path.name, "inspect", cost_unit="output tokens")
        found.extend(_read_inspect(read_samples(path), metric, path))
    else:
        found = _read_content(path, side, metric)
    if not found.outcomes:
        dropped = "; ".join(f"{n} times: {reason}" for reason, n in found.dropped.most_common(3))
        raise EvaluationError(
            f"{path} holds no outcome" + (f" ({dropped})" if dropped else ""), _KNOWN
        )
    if metric is not None and found.format not in _WITH_METRICS:
        found.notes.append(f"--metric {metric} says nothing: the file has one result an attempt")
    successes = sum(one.success for one in found.outcomes)
    if 0 < successes < len(found.outcomes):
        scores = len(found.outcomes) - successes
        found.notes.append(f"{successes} successes beside {scores} scores: all are read as scores")
    return found


def _split_side(name: str | Path) -> tuple[Path, str]:
    text = str(name)
    for side in ("before", "after"):
        if text.endswith(f"#{side}") and not Path(text).exists():
            return Path(text.removesuffix(f"#{side}")), side
    return Path(text), "after"


def _read_content(path: Path, side: str, metric: str | None) -> ResultFile:
    try:
        if path.stat().st_size > LARGEST:
            raise EvaluationError(f"{path} has {path.stat().st_size} bytes", f"at most {LARGEST}")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as problem:
        raise EvaluationError(f"{path}: {problem.strerror or problem}", _KNOWN) from problem
    try:
        content = decode_json(text)
    except ValueError:
        content = None
    if isinstance(content, dict) and not ("task" in content and "\n" not in text.strip()):
        return _read_object(content, path, side, metric)
    if isinstance(content, list) and is_mlflow(content):
        return _collect(path, "mlflow", read_mlflow(content, metric, path))
    if isinstance(content, list) and any("task_id" in e for e in content if isinstance(e, dict)):
        if any({"reward", "traj"} <= e.keys() for e in content if isinstance(e, dict)):
            return _collect(path, "tau-bench", _read_tau2({"simulations": content}), "USD")
        return _collect(path, "burnish", map(_read_arm_entry, content), "output tokens")
    entries = iter(content) if isinstance(content, list) else _iterate_lines(text)
    return _collect(path, "jsonl", map(_read_entry, entries))


def _read_object(content: dict[str, Any], path: Path, side: str, metric: str | None) -> ResultFile:
    if isinstance(content.get("pools"), dict):
        name = f"{path.name}#{side}"
        found = _collect(path, "burnish", _read_evaluation(content, side), "output tokens")
        found.name = name
        return found
    if isinstance(content.get("simulations"), list):
        return _collect(path, "tau2", _read_tau2(content), "USD")
    if isinstance(content.get("eval"), dict) and isinstance(content.get("samples", []), list):
        samples = content.get("samples", [])  # a log can be written without them
        return _collect(path, "inspect", _read_inspect(samples, metric, path), "output tokens")
    if is_mlflow(content):
        return _collect(path, "mlflow", read_mlflow(content, metric, path))
    raise EvaluationError(f"{path} has none of the known formats", _KNOWN)


def _collect(
    path: Path, format_name: str, found: Iterator[TaskOutcome | str], unit: str = "cost"
) -> ResultFile:
    made = ResultFile(path.name, format_name, cost_unit=unit)
    made.extend(found)
    return made


def _iterate_lines(text: str) -> Iterator[Any]:
    for line in text.split("\n"):  # JSON texts may hold the other characters that end a line
        if line.strip():
            try:
                yield decode_json(line)
            except ValueError:
                yield None


def _read_entry(entry: Any) -> TaskOutcome | str:
    """Read an entry of JSONL: task, success or score, and optionally cluster, attempt and cost."""
    if not isinstance(entry, dict):
        return "not a JSON object"
    task = read_name(entry.get("task"))
    if task is None:
        return "no task"
    attempt = read_attempt(entry.get("attempt"))
    if attempt is None and entry.get("attempt") is not None:
        return "an attempt that is not an integer"
    family, success = entry.get("cluster", entry.get("family")), "success" in entry
    value = read_success(entry["success"]) if success else read_number(entry.get("score"))
    if value is None:
        if success:
            return "a success that is neither true nor false"
        return (
            "a score that is not a finite number" if "score" in entry else "no success and no score"
        )
    return TaskOutcome(
        task=task,
        value=value,
        success=success,
        family=read_name(family),
        attempt=attempt,
        cost=read_number(entry.get("cost")),
    )


def _read_arm_entry(entry: Any) -> TaskOutcome | str:
    """Read an attempt of an arm that `burnish eval` cached."""
    task = read_name(entry.get("task_id")) if isinstance(entry, dict) else None
    if task is None or entry.get("label") not in ("success", "fail", "unknown"):
        return "no task or no label"
    if entry["label"] == "unknown":
        backend = entry.get("infrastructure") is True
        return "ended by an error of the backend" if backend else "no verifier could decide it"
    cost = entry.get("cost")
    return TaskOutcome(
        task=_name_in_pool(entry.get("pool"), task),
        value=float(entry["label"] == "success"),
        attempt=read_attempt(entry.get("attempt")),
        cost=read_number(cost.get("output_tokens")) if isinstance(cost, dict) else None,
    )


def _name_in_pool(pool: Any, task: str) -> str:
    return task if pool in (None, "heldout") else f"{pool}/{task}"


def _read_evaluation(content: dict[str, Any], side: str) -> Iterator[TaskOutcome | str]:
    """Read one side of a burnish evaluation; its pairs keep their places in both sides."""
    place = ("before", "after").index(side)
    for name, pool in content["pools"].items():
        tasks = pool.get("tasks") if isinstance(pool, dict) else None
        if not isinstance(tasks, list) or not tasks:
            yield f"pool {name} has no results by task"
            continue
        for entry in tasks:
            try:
                task = msgspec.convert(entry, TaskComparison)
            except msgspec.ValidationError:
                yield "a task without its results"
                continue
            yield from _expand_task(name, task, place)


def _expand_task(pool: str, task: TaskComparison, place: int) -> Iterator[TaskOutcome | str]:
    if not 0 <= task.lost <= task.solved <= task.pairs - task.won <= task.pairs <= _MOST_PAIRS:
        yield "a task whose counts contradict each other"
        return
    cost = task.cost.get("output_tokens")
    for n in range(task.pairs):
        was, now = n < task.solved, task.lost <= n < task.solved + task.won
        yield TaskOutcome(
            task=_name_in_pool(pool, task.task),
            value=float((was, now)[place]),
            family=f"{pool}/{task.family}",
            attempt=n + 1,
            cost=cost[place] if cost else None,
        )


def _read_tau2(content: dict[str, Any]) -> Iterator[TaskOutcome | str]:
    for run in content["simulations"] or content.get("simulation_index") or []:
        task = read_name(run.get("task_id")) if isinstance(run, dict) else None
        if task is None:
            yield "a simulation without a task"
            continue
        info = run.get("reward_info")
        told = info.get("reward") if isinstance(info, dict) else run.get("reward")
        reward = read_number(told)
        reason = str(run.get("termination_reason"))
        if reason in _NOT_EVALUABLE or reward is None:
            yield f"ended by {reason}" if reason in _NOT_EVALUABLE else "no reward"
            continue
        yield TaskOutcome(
            task=task,
            value=float(reward >= 1 - 1e-6),
            attempt=read_attempt(run.get("trial")),
            cost=read_number(run.get("agent_cost")),
        )


def _read_inspect(samples: Any, metric: str | None, path: Path) -> Iterator[TaskOutcome | str]:
    for sample in samples:
        task = read_name(sample.get("id")) if isinstance(sample, dict) else None
        if task is None:
            yield "a sample without an id"
            continue
        if sample.get("error") or sample.get("invalidation"):
            yield "ended by an error" if sample.get("error") else "marked as invalid"
            continue
        scores = sample.get("scores")
        if scores is None and isinstance(sample.get("score"), dict):  # logs of early versions
            scores = {"score": sample["score"]}
        if not isinstance(scores, dict) or not scores:
            yield "no score"
            continue
        chosen = scores.get(_choose_metric(sorted(scores), metric, path))
        value = chosen.get("value") if isinstance(chosen, dict) else None
        usage = sample.get("model_usage")
        epoch = sample.get("epoch")
        yield _grade_inspect(value, task, epoch, usage)


def _read_grade(value: Any) -> float | None:
    """Return a grade as Inspect's `value_to_float` does; None for what that cannot convert."""
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return read_number(value)
    known = _GRADES.get(value, _WORDS.get(value.strip().lower()))
    if known is not None:
        return known
    try:
        return read_number(float(value))
    except ValueError:
        return None


def _grade_inspect(value: Any, task: str, epoch: Any, usage: Any) -> TaskOutcome | str:
    number = _read_grade(value)
    if number is None:
        return "a score that is neither a grade nor a number"
    tokens = [
        read_number(one.get("output_tokens")) or 0.0
        for one in (usage.values() if isinstance(usage, dict) else ())
        if isinstance(one, dict)
    ]
    return TaskOutcome(
        task=task,
        value=number,
        success=number in (0, 1),
        attempt=read_attempt(epoch),
        cost=sum(tokens) if tokens else None,
    )


def _choose_metric(names: list[str], metric: str | None, path: Path) -> str:
    if metric is not None and metric in names:
        return metric
    if metric is None and len(names) == 1:
        return names[0]
    raise EvaluationError(
        f"{path} has the scorers {', '.join(names)}" + (f", not {metric!r}" if metric else ""),
        "one of them",
        f"burnish compare ... --metric {names[0]}",
    )
