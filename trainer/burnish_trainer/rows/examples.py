"""Make training examples of a dataset version: one row for imitation, two sides for a preference.

`make_examples` is the entry. An example is what one optimiser step counts: a row of SFT, a pair of DPO, a labelled run of
KTO. A side may consist of several sequences where a template strips thinking from history.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from burnish.errors import EmptyDataset, TrainingError
from burnish_exporters.formats.pairs import Pair, run_pairs, step_pairs
from burnish_trainer.recipes.train_recipe import TrainRecipe
from burnish_trainer.rows.attempts import score_attempts, select_successes
from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.rows.token_rows import RowReport, TokenRow, decode_columns

CHOSEN, REJECTED, MISMATCHED = 0, 1, 2
NEEDS_FAILURES = frozenset({"dpo", "kto", "orpo", "policy_gradient"})

Row = dict[str, Any]
Tokenise = Callable[[Iterable[Row]], tuple[list[TokenRow], RowReport]]


class Dataset(Protocol):
    """The part of a dataset version that training needs."""

    @property
    def id(self) -> str:
        """Return the immutable id."""
        ...

    def rows(self, split: str = "train") -> Iterable[Row]:
        """Return the rows of a split."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class TrainExample:
    """The sequences of one example.

    Attributes:
        rows: Its sequences.
        sides: For each, CHOSEN, REJECTED or MISMATCHED (the estimate of KTO's divergence).
        wanted: Whether a labelled run is a success.
        advantage: Advantage of a run, for policy gradient.
    """

    rows: tuple[TokenRow, ...]
    sides: tuple[int, ...]
    wanted: bool = True
    advantage: float = 0.0


def make_examples(
    dataset: Dataset, recipe: TrainRecipe, tokenise: Tokenise
) -> tuple[list[TrainExample], RowReport]:
    """Return the examples of a dataset version for the recipe's objective.

    Args:
        dataset: A dataset version.
        recipe: Objective and form of the pairs.
        tokenise: Turns dataset rows into sequences.

    Raises:
        EmptyDataset: No example can be made; the message says what is missing.
    """
    if recipe.objective in ("dpo", "orpo"):
        return _make_pairs(dataset, recipe, tokenise)
    if recipe.objective == "kto":
        return _make_labelled(dataset, tokenise)
    if recipe.objective == "policy_gradient":
        return _make_scored(dataset, recipe, tokenise)
    left_out: Counter[str] = Counter()
    given = dataset.rows("train")
    if recipe.objective == "rejection":
        given = select_successes(_decode_rows(given, left_out), recipe.per_task, left_out)
    rows, report = tokenise(given)
    report = _add_dropped(report, left_out)
    if not rows:
        raise _empty_dataset(dataset, report.dropped)
    return [TrainExample((row,), (CHOSEN,)) for row in rows], report


def _add_dropped(report: RowReport, left_out: Counter[str]) -> RowReport:
    """Return the report with the rows that were left out before they were tokenised."""
    dropped = Counter(report.dropped) + left_out
    return dataclasses.replace(report, dropped=dict(sorted(dropped.items())))


def _empty_dataset(dataset: Dataset, reasons: dict[str, int]) -> EmptyDataset:
    return EmptyDataset(
        f"dataset {dataset.id} has no row to learn from "
        f"({json.dumps(reasons) if reasons else 'it is empty'})",
        "at least one row with a verified success",
        f"burnish dataset show {dataset.id}",
    )


def _decode_rows(rows: Iterable[Row], left_out: Counter[str]) -> Iterator[Row]:
    """Yield rows as plain data; count those of another form by their reason."""
    for row in rows:
        try:
            read = decode_columns(row)
        except TrainingError as error:
            left_out[error.found] += 1
            continue
        if all(isinstance(one.get("role"), str) for one in read["messages"] or []):
            yield read
        else:
            left_out["a message of the row has no role"] += 1


def _read_both_labels(dataset: Dataset, objective: str, left_out: Counter[str]) -> list[Row]:
    """Return successes and failures as plain data; count rows of another form.

    Raises:
        EmptyDataset: One of the two is missing.
    """
    sides = {
        "successes": list(_decode_rows(dataset.rows("train"), left_out)),
        "failures": list(_decode_rows(dataset.rows("train-contrast"), left_out)),
    }
    for missing, rows in sides.items():
        if not rows:
            raise EmptyDataset(
                f"dataset {dataset.id} has no verified {missing}, and objective {objective!r} "
                "compares successes with failures",
                "a version built with contrast, of runs of which some failed",
                'build_dataset(..., recipe={"contrast": True}), or objective = "sft"',
            )
    return [*sides["successes"], *sides["failures"]]


def _make_pairs(
    dataset: Dataset, recipe: TrainRecipe, tokenise: Tokenise
) -> tuple[list[TrainExample], RowReport]:
    unpaired: Counter[str] = Counter()
    find = step_pairs if recipe.pairs == "step" else run_pairs
    pairs = list(find(_read_both_labels(dataset, recipe.objective, unpaired), unpaired=unpaired))
    rows, report = tokenise(row for at, pair in enumerate(pairs) for row in _side_rows(at, pair))
    sides: dict[str, list[TokenRow]] = {}
    for row in rows:
        sides.setdefault(row.row_id, []).append(row)
    found: list[TrainExample] = []
    for at in range(len(pairs)):
        both = [sides.get(f"{at}/{side}", []) for side in (CHOSEN, REJECTED)]
        if all(both):
            marks = [side for side, some in enumerate(both) for _ in some]
            found.append(TrainExample(tuple(both[0] + both[1]), tuple(marks)))
    dropped = Counter(report.dropped) + unpaired
    dropped["the other side of the pair was dropped"] += len(sides) - 2 * len(found)
    report = dataclasses.replace(report, dropped=dict(sorted((+dropped).items())))
    if not found:
        raise EmptyDataset(
            f"dataset {dataset.id} gives no pair of a success and a failure "
            f"({json.dumps(report.dropped)})",
            "runs of which some succeeded and some failed at the same task",
            'collect several runs of each task, or train with objective = "sft"',
        )
    return found, report


def _side_rows(at: int, pair: Pair) -> Iterator[Row]:
    """Yield both sides as rows; only replies behind the fork are counted, and of the rejected side all of them."""
    prompt = [{**message, "loss": False} for message in pair.prompt]
    for side, messages in ((CHOSEN, pair.chosen), (REJECTED, pair.rejected)):
        replies = [
            {**m, "loss": m["role"] == "assistant" and (side == REJECTED or m.get("loss", True))}
            for m in messages
        ]
        yield {"row_id": f"{at}/{side}", "messages": prompt + replies, "tools": pair.tools}


def _make_labelled(dataset: Dataset, tokenise: Tokenise) -> tuple[list[TrainExample], RowReport]:
    left_out: Counter[str] = Counter()
    both = _read_both_labels(dataset, "kto", left_out)
    rows = [_count_replies(row, at) for at, row in enumerate(both)]
    wanted = {row["row_id"]: row["verdict"]["label"] == "success" for row in rows}
    found, report = tokenise(rows)
    report = _add_dropped(report, left_out)
    by_run: dict[str, list[TokenRow]] = {}
    for row in found:
        by_run.setdefault(row.row_id, []).append(row)
    kept = list(by_run.items())
    examples: list[TrainExample] = []
    for at, (run, sequences) in enumerate(kept):
        other = kept[(at + max(1, len(kept) // 2)) % len(kept)][1]
        mixed = _mismatch(sequences[0], other[0])
        marks = (CHOSEN,) * len(sequences) + (MISMATCHED,)
        examples.append(TrainExample((*sequences, mixed), marks, wanted[run]))
    if len({example.wanted for example in examples}) < 2:
        raise EmptyDataset(
            f"dataset {dataset.id} keeps no run of one label ({json.dumps(report.dropped)})",
            "at least one success and one failure that can be learned from",
            f"burnish dataset show {dataset.id}",
        )
    return examples, report


def _make_scored(
    dataset: Dataset, recipe: TrainRecipe, tokenise: Tokenise
) -> tuple[list[TrainExample], RowReport]:
    """Return runs with their advantages, for policy gradient."""
    left_out: Counter[str] = Counter()
    both = _read_both_labels(dataset, recipe.objective, left_out)
    scored = {row["row_id"]: (row, advantage) for row, advantage in score_attempts(both, left_out)}
    found, report = tokenise(row for row, _ in scored.values())
    by_run: dict[str, list[TokenRow]] = {}
    for row in found:
        by_run.setdefault(row.row_id, []).append(row)
    unlogged = [run for run, rows in by_run.items() if not all(row.logged for row in rows)]
    if unlogged and recipe.refuse_stale:
        for run in unlogged:
            del by_run[run]
        left_out["the server recorded no log-probabilities, so its age is unknown"] += len(unlogged)
    report = _add_dropped(report, left_out)
    if not by_run:
        raise EmptyDataset(
            f"dataset {dataset.id} has no run to learn from by policy gradient ({json.dumps(report.dropped)})",
            "successes and failures of the same tasks, with the log-probability of each sampled token",
            "collect several attempts at each task, or serve with logprobs; refuse_stale = false "
            "takes runs without log-probabilities",
        )
    return [
        TrainExample(tuple(rows), (CHOSEN,) * len(rows), True, scored[run][1])
        for run, rows in by_run.items()
    ], report


def _count_replies(row: Row, at: int) -> Row:
    """Return the row under a unique id; in a run without any learned reply, all replies count."""
    messages = row["messages"]
    if not any(m.get("loss") for m in messages if m["role"] == "assistant"):
        messages = [{**m, "loss": m["role"] == "assistant"} for m in messages]
    return {**row, "row_id": f"{at}/{row.get('row_id', '')}", "messages": messages, "weight": 1.0}


def _mismatch(row: TokenRow, other: TokenRow) -> TokenRow:
    """Return the context of one row with the replies of another."""
    before = _first_counted(row)
    behind = _first_counted(other)
    ids = [*row.input_ids[:before], *other.input_ids[behind:]]
    labels = [IGNORE] * before + list(other.labels[behind:])
    return TokenRow(f"{row.row_id} against {other.row_id}", ids, labels)


def _first_counted(row: TokenRow) -> int:
    return next(at for at, label in enumerate(row.labels) if label != IGNORE)
