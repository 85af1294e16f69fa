"""Write rows to Parquet files and read them: columns, canonical bytes, token ids stored once.

A call's prompt repeats the previous call's prompt and reply. Only its new part is stored, with the
length of the common part as `shared`; reading joins them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.files.parquet_files import read_parquet, read_parquet_batches
from burnish.records import Json
from burnish_exporters.rows import Row
from burnish_exporters.rows.canonical_json import ordered_json
from burnish_exporters.rows.row import restore_client_order

_GROUP = 512
_ORDER_KEPT = (b"burnish.keys", b"ordered")
_JSON_COLUMNS = ("messages", "tools", "calls", "verdict")


def _row_schema() -> Any:
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [
            pa.field("row_id", text, nullable=False),
            pa.field("trajectory_id", text, nullable=False),
            ("task_id", text),
            ("user", text),
            pa.field("split", text, nullable=False),
            pa.field("source", text, nullable=False),
            ("kind_tags", pa.list_(text)),
            pa.field("messages", text, nullable=False),
            pa.field("tools", text, nullable=False),
            pa.field("calls", text, nullable=False),
            pa.field("verdict", text, nullable=False),
            ("weight", pa.float64()),
        ],
        metadata=dict([_ORDER_KEPT]),
    )


def encode_row(row: Row) -> dict[str, Any]:
    """Encode a row as the columns of the file."""
    columns = row.as_dict()
    columns["calls"] = _fold_prompts(row.calls)
    for name in _JSON_COLUMNS:
        columns[name] = ordered_json(columns[name]).decode()
    return columns


def decode_row(columns: dict[str, Any], *, keeps_order: bool = True) -> dict[str, Any]:
    """Decode the columns of a row to plain data.

    Args:
        columns: Columns as `encode_row` returns them.
        keeps_order: True if keys keep the order in which models saw them; files of earlier versions sort them.
    """
    row = dict(columns)
    for name in _JSON_COLUMNS:
        row[name] = json.loads(row[name])
    row["calls"] = _unfold_prompts(row["calls"])
    return row if keeps_order else restore_client_order(row)


def keeps_order(path: Path) -> bool:
    """Report if the keys in a file's rows keep the order in which models saw them."""
    import pyarrow.parquet as pq

    return _ORDER_KEPT[0] in (pq.read_schema(path).metadata or {})


class RowWriter:
    """Writes rows to one file, in groups; the bytes depend on the rows alone.

    Args:
        path: File to write.
    """

    def __init__(self, path: Path) -> None:
        from burnish.imports.extras import import_extra

        pq = import_extra("pyarrow.parquet")
        self.schema = _row_schema()
        self.rows = 0
        self._pending: list[dict[str, Any]] = []
        self._writer = pq.ParquetWriter(
            path, self.schema, compression="zstd", compression_level=3, use_dictionary=True
        )

    def add(self, columns: dict[str, Any]) -> None:
        """Append a row as encode_row() returns it."""
        self._pending.append(columns)
        self.rows += 1
        if len(self._pending) >= _GROUP:
            self._write_group()

    def close(self) -> None:
        """Write the last group and finish the file."""
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._pending:
            columns = [[row[name] for row in self._pending] for name in self.schema.names]
            arrays = [pa.array(c, type=t) for c, t in zip(columns, self.schema.types, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self.schema))
            self._pending = []


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the columns of each row of a file, in order, one group at a time in memory."""
    for batch in read_parquet_batches(path, _GROUP):
        yield from batch.to_pylist()


def write_dropped(path: Path, gone: list[tuple[str, str, str]]) -> None:
    """Write which runs left, at which stage and why."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ("trajectory_id", "stage", "reason")
    columns = {name: [entry[place] for entry in gone] for place, name in enumerate(names)}
    schema = pa.schema([(name, pa.string()) for name in names])
    pq.write_table(pa.table(columns, schema=schema), path, compression="zstd")


def read_dropped(path: Path) -> dict[str, tuple[str, str]]:
    """Return stage and reason by run; empty if the version has no such file."""
    if not path.is_file():
        return {}
    columns = read_parquet(path).to_pydict()
    keys, stages, reasons = (columns[name] for name in ("trajectory_id", "stage", "reason"))
    return {key: (stage, why) for key, stage, why in zip(keys, stages, reasons, strict=True)}


def _fold_prompts(calls: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """Cut each prompt to its part that the previous call does not hold."""
    folded, before = [], []
    for call in calls:
        prompt = call.get("prompt_token_ids")
        if prompt:
            shared = _common_length(before, prompt)
            before = [*prompt, *call["token_ids"]]
            call = {**call, "prompt_token_ids": prompt[shared:], "shared": shared}  # noqa: PLW2901
        folded.append(call)
    return folded


def _unfold_prompts(calls: list[dict[str, Json]]) -> list[dict[str, Json]]:
    whole, before = [], []
    for call in calls:
        if "shared" in call:
            prompt = [*before[: call["shared"]], *call["prompt_token_ids"]]
            call = {k: v for k, v in call.items() if k != "shared"}  # noqa: PLW2901
            call["prompt_token_ids"] = prompt
            before = [*prompt, *call["token_ids"]]
        whole.append(call)
    return whole


def _common_length(before: list[int], prompt: list[int]) -> int:
    """Return the length of the common beginning."""
    if prompt[: len(before)] == before:
        return len(before)
    places = range(min(len(before), len(prompt)))
    return next((place for place in places if before[place] != prompt[place]), len(places))
