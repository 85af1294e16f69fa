"""Make training sequences of dataset rows, and count the tokens and the rows that give none.

`tokenise_rows` is the entry.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from burnish.errors import TrainingError
from burnish_trainer.rows.calls import encode_calls
from burnish_trainer.rows.merge import IGNORE, TokenSequence, merge_calls, unique_tokens
from burnish_trainer.rows.rendering import ChatRendering, ChatTokenizer

_LONGEST_REASON = 120


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One training sequence.

    Attributes:
        row_id: The dataset row of the sequence; a row with separate contexts gives several.
        input_ids: The tokens, as the model saw and wrote them.
        labels: The tokens that carry loss, -100 elsewhere.
        weight: Factor of the row's loss.
        logged: Log-probability of each token when it was sampled; NaN where it is unknown. Empty without any.
    """

    row_id: str
    input_ids: list[int]
    labels: list[int]
    weight: float = 1.0
    logged: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class RowReport:
    """Counts of a dataset's rows and tokens.

    Attributes:
        rows: Dataset rows that give at least one sequence.
        sequences: Training sequences.
        tokens: Tokens over all sequences.
        unique_tokens: Tokens with a context that no earlier sequence has.
        loss_tokens: Tokens that are learned.
        longest: Tokens of the longest sequence.
        captured: Rows whose tokens were recorded by the server that wrote them.
        rendered: Rows whose tokens come from text and the model's own chat template.
        dropped: Rows without a sequence, by reason.
        thoughts_left_out: Rows with a reply whose reasoning the chat template does not print.
    """

    rows: int
    sequences: int
    tokens: int
    unique_tokens: int
    loss_tokens: int
    longest: int
    captured: int
    rendered: int
    dropped: dict[str, int]
    thoughts_left_out: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return dataclasses.asdict(self)


def tokenise_rows(
    rows: Iterable[dict[str, Any]],
    tokenizer: ChatTokenizer,
    *,
    max_length: int | None = None,
    end_ids: frozenset[int] = frozenset(),
) -> tuple[list[TokenRow], RowReport]:
    """Turn dataset rows into training sequences.

    Args:
        rows: Rows of a dataset version, with `messages`, `tools` and `calls` as JSON text or as plain data.
        tokenizer: The base model's tokenizer, with its chat template.
        max_length: Longest sequence in tokens; a row with a longer one is dropped and counted.
        end_ids: Every token that ends a generation of the base model, as its contract lists them.
    """
    rendering = ChatRendering(tokenizer, end_ids)
    found: list[TokenRow] = []
    counts: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for row in rows:
        try:
            columns = decode_columns(row)
            weight = _row_weight(columns.get("weight"))
            calls, rendered, thoughtless = encode_calls(columns, tokenizer, rendering)
        except TrainingError as error:
            dropped[error.found] += 1
            continue
        except (AttributeError, TypeError, LookupError, ValueError) as error:  # values of odd types
            dropped[f"the row has another form: {error}"[:_LONGEST_REASON]] += 1
            continue
        sequences = merge_calls(calls)
        reason = _find_refusal(sequences, max_length)
        if reason:
            dropped[reason] += 1
            continue
        counts["rows"] += 1
        counts["rendered" if rendered else "captured"] += 1
        counts["thoughts_left_out"] += thoughtless
        name = str(row.get("row_id", ""))
        found += [TokenRow(name, s.ids, s.labels, weight, _known(s.logged)) for s in sequences]
    return found, _make_report(found, counts, dropped)


def _known(logged: list[float]) -> tuple[float, ...]:
    return () if all(map(math.isnan, logged)) else tuple(logged)


def _row_weight(value: Any) -> float:
    """Return the weight of a row; an absent one is 1."""
    try:
        weight = 1.0 if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if weight == 0:
        raise TrainingError("nothing to learn: the weight of the row is 0")
    if not math.isfinite(weight) or weight < 0:
        raise TrainingError("the weight of the row is no positive number")
    return weight


def decode_columns(row: dict[str, Any]) -> dict[str, Any]:
    """Decode the JSON columns of a row.

    Raises:
        TrainingError: The row, a column or a message has another form.
    """
    if not isinstance(row, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - a user's data
        raise TrainingError("the row is not an object")
    read: dict[str, Any] = {}
    for key in ("messages", "tools", "calls"):
        value: Any = row.get(key)
        try:
            read[key] = json.loads(value) if isinstance(value, str | bytes) else value
        except (ValueError, RecursionError):
            raise TrainingError(f"the column {key!r} of the row is not JSON") from None
        listed: Any = read[key] or []
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise TrainingError(f"the column {key!r} of the row is not a list of objects")
    return {**row, **read}


def _find_refusal(sequences: list[TokenSequence], max_length: int | None) -> str | None:
    if not any(label != IGNORE for sequence in sequences for label in sequence.labels):
        return "nothing to learn: no message of the row counts"
    longest = max(len(sequence.ids) for sequence in sequences)
    if max_length is not None and longest > max_length:
        return f"too long: over {max_length} tokens"
    return None


def _make_report(found: list[TokenRow], counts: Counter[str], dropped: Counter[str]) -> RowReport:
    lengths = [len(row.input_ids) for row in found]
    return RowReport(
        rows=counts["rows"],
        sequences=len(found),
        tokens=sum(lengths),
        unique_tokens=unique_tokens(row.input_ids for row in found),
        loss_tokens=sum(label != IGNORE for row in found for label in row.labels),
        longest=max(lengths, default=0),
        captured=counts["captured"],
        rendered=counts["rendered"],
        dropped=dict(sorted(dropped.items())),
        thoughts_left_out=counts["thoughts_left_out"],
    )
