"""Read files of results: burnish evaluations and cached arms, Inspect logs, MLflow runs, tau2 results, plain JSONL.

`read_results` is the entry; it recognises the format by the content. An entry without a usable outcome is left out and
counted by its reason, and so is a value that decides nothing, such as a cost that is not a number. A file that holds both
versions (a burnish evaluation) takes `#before` or `#after` behind its name; `#after` is the default.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.compare.burnish_results import (
    COST_UNIT,
    NO_FAMILIES,
    find_evaluation,
    is_arm_log,
    read_arm_entry,
    read_arm_log,
    read_evaluation,
)
from burnish.compare.inspect_archive import LARGEST, read_samples
from burnish.compare.mlflow_results import is_mlflow, read_mlflow
from burnish.compare.outcomes import (
    HELDOUT,
    LeftOut,
    ResultFile,
    TaskOutcome,
    decode_json,
    make_outcome,
    read_attempt,
    read_name,
    read_number,
    read_success,
)
from burnish.compare.text_files import decode_text, has_other_encoding, strip_mark
from burnish.errors import EvaluationError

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
    text = _read_text(path)
    try:
        content = decode_json(text)
    except ValueError:
        content = None
    one_entry = (
        isinstance(content, dict)
        and "\n" not in text.strip()
        and ("task" in content or is_arm_log(content))
    )
    if content is not None and not one_entry and has_other_encoding(text):
        raise EvaluationError(
            f"{path} holds bytes that are not UTF-8",
            "a file in UTF-8, or in UTF-16 with its mark",
            f"iconv -f latin1 -t utf-8 {path}",
        )
    if isinstance(content, dict) and not one_entry:
        return _read_object(content, path, side, metric)
    if isinstance(content, list) and is_mlflow(content):
        return _collect(path, "mlflow", read_mlflow(content, metric, path))
    if isinstance(content, list) and any("task_id" in e for e in content if isinstance(e, dict)):
        if any({"reward", "traj"} <= e.keys() for e in content if isinstance(e, dict)):
            return _collect(path, "tau-bench", _read_tau2({"simulations": content}), "USD")
        found = _collect(path, "burnish", map(read_arm_entry, content), COST_UNIT)
        return _note_families(found)
    entries = content if isinstance(content, list) else list(_iterate_lines(text))
    if any(map(is_arm_log, entries)):
        return _note_families(_collect(path, "burnish", read_arm_log(iter(entries)), COST_UNIT))
    return _collect(path, "jsonl", map(_read_entry, entries))


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise EvaluationError(f"{path} has {path.stat().st_size} bytes", f"at most {LARGEST}")
        text = decode_text(path.read_bytes())
    except OSError as problem:
        raise EvaluationError(
            f"{path}: {problem.strerror or problem}", _KNOWN, f"ls -l {path}"
        ) from problem
    if not text.strip():
        raise EvaluationError(f"{path} is empty", _KNOWN)
    return text


def _note_families(found: ResultFile) -> ResultFile:
    found.notes.append(NO_FAMILIES)
    return found


def _read_object(content: dict[str, Any], path: Path, side: str, metric: str | None) -> ResultFile:
    evaluation = find_evaluation(content)
    if evaluation is not None:
        found = _collect(path, "burnish", read_evaluation(evaluation, side), COST_UNIT)
        found.name = f"{path.name}#{side}"
        return found
    if isinstance(content.get("simulations"), list):
        return _collect(path, "tau2", _read_tau2(content), "USD")
    if isinstance(content.get("eval"), dict) and isinstance(content.get("samples", []), list):
        samples = content.get("samples", [])  # a log can be written without them
        return _collect(path, "inspect", _read_inspect(samples, metric, path), COST_UNIT)
    if is_mlflow(content):
        return _collect(path, "mlflow", read_mlflow(content, metric, path))
    raise EvaluationError(f"{path} has none of the known formats", _KNOWN)


def _collect(
    path: Path, format_name: str, found: Iterator[TaskOutcome | LeftOut], unit: str = "cost"
) -> ResultFile:
    made = ResultFile(path.name, format_name, cost_unit=unit)
    made.extend(found)
    return made


def _iterate_lines(text: str) -> Iterator[Any]:
    """Yield the decoded lines: None for one that is not JSON, a `LeftOut` for one of another encoding."""
    for line in text.split("\n"):  # JSON texts may hold the other characters that end a line
        if not line.strip():
            continue
        if has_other_encoding(line):
            yield LeftOut("bytes that are not UTF-8")
            continue
        try:
            yield decode_json(strip_mark(line))
        except ValueError:
            yield None


def _read_entry(entry: Any) -> TaskOutcome | LeftOut:
    """Read an entry of JSONL: task, success or score, and optionally pool, cluster, attempt and cost."""
    if isinstance(entry, LeftOut):
        return entry
    if not isinstance(entry, dict):
        return LeftOut("not a JSON object")
    task = read_name(entry.get("task"))
    if task is None:
        return LeftOut("no task")
    pool = HELDOUT if entry.get("pool") is None else read_name(entry["pool"])
    if pool is None:
        return LeftOut("a pool that is not a name")
    if read_attempt(entry.get("attempt")) is None and entry.get("attempt") is not None:
        return LeftOut("an attempt that is not an integer", task, pool)
    success = "success" in entry
    value = read_success(entry["success"]) if success else read_number(entry.get("score"))
    if value is None:
        return LeftOut(_tell_no_value(entry), task, pool)
    return make_outcome(
        task,
        value,
        success=success,
        pool=pool,
        family=entry.get("cluster", entry.get("family")),
        attempt=entry.get("attempt"),
        cost=entry.get("cost"),
    )


def _tell_no_value(entry: dict[str, Any]) -> str:
    if "success" in entry:
        return "a success that is neither true nor false"
    return "a score that is not a finite number" if "score" in entry else "no success and no score"


def _read_tau2(content: dict[str, Any]) -> Iterator[TaskOutcome | LeftOut]:
    for run in content["simulations"] or content.get("simulation_index") or []:
        task = read_name(run.get("task_id")) if isinstance(run, dict) else None
        if task is None:
            yield LeftOut("a simulation without a task")
            continue
        info = run.get("reward_info")
        told = info.get("reward") if isinstance(info, dict) else run.get("reward")
        reward = read_number(told)
        reason = str(run.get("termination_reason"))
        if reason in _NOT_EVALUABLE or reward is None:
            why = f"ended by {reason}" if reason in _NOT_EVALUABLE else "no reward"
            yield LeftOut(why, task)
            continue
        yield make_outcome(
            task,
            float(reward >= 1 - 1e-6),
            attempt=run.get("trial"),
            cost=run.get("agent_cost"),
        )


def _read_inspect(samples: Any, metric: str | None, path: Path) -> Iterator[TaskOutcome | LeftOut]:
    for sample in samples:
        task = read_name(sample.get("id")) if isinstance(sample, dict) else None
        if task is None:
            yield LeftOut("a sample that is damaged or has no id")
            continue
        if sample.get("error") or sample.get("invalidation"):
            why = "ended by an error" if sample.get("error") else "marked as invalid"
            yield LeftOut(why, task)
            continue
        scores = sample.get("scores")
        if scores is None and isinstance(sample.get("score"), dict):  # logs of early versions
            scores = {"score": sample["score"]}
        if not isinstance(scores, dict) or not scores:
            yield LeftOut("no score", task)
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


def _grade_inspect(value: Any, task: str, epoch: Any, usage: Any) -> TaskOutcome | LeftOut:
    number = _read_grade(value)
    if number is None:
        return LeftOut("a score that is neither a grade nor a number", task)
    counts = [
        one.get("output_tokens")
        for one in (usage.values() if isinstance(usage, dict) else ())
        if isinstance(one, dict)
    ]
    tokens = [read_number(count or 0) for count in counts]
    known = [count for count in tokens if count is not None]
    cost = sum(known) if len(known) == len(tokens) else "not a number"
    return make_outcome(
        task, number, success=number in (0, 1), attempt=epoch, cost=cost if counts else None
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
