"""Define `burnish dataset preview`: show which tokens of a row carry loss, by the trainer's own rendering."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json
from burnish.errors import ExportError
from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.rows.rendering import ChatTokenizer
from burnish_trainer.rows.token_rows import tokenise_rows

if TYPE_CHECKING:
    from burnish.serving.contract.model_contract import ModelContract
    from burnish_exporters.dataset import DatasetVersion

Row = dict[str, Any]
app = typer.Typer()
MARKS = ("⟦", "⟧")
"""Marks around text with loss on terminals without colour."""


@dataclasses.dataclass(frozen=True, slots=True)
class PreviewPart:
    """Adjacent tokens that all carry loss, or all carry none."""

    text: str
    tokens: int
    learned: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """One training sequence of a row, or the reason why there is none.

    Attributes:
        row_id: The row.
        part: Side of a pair; empty for other rows.
        origin: "captured" tokens of the server that wrote them, or "rendered" with the chat template.
        pieces: The sequence, in order.
        dropped: Reason why training drops the row; None if it does not.
    """

    row_id: str
    part: str
    origin: str
    pieces: list[PreviewPart]
    dropped: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the sequence as plain data, with its token counts."""
        sizes = {
            "tokens": sum(piece.tokens for piece in self.pieces),
            "loss_tokens": sum(piece.tokens for piece in self.pieces if piece.learned),
        }
        return {**dataclasses.asdict(self), **sizes}


def select_shown(
    rows: Iterable[Row],
    tokenizer: ChatTokenizer,
    *,
    max_length: int | None = None,
    end_ids: frozenset[int] = frozenset(),
) -> Iterator[Shown]:
    """Yield the training sequences of rows, cut where loss begins and ends.

    Args:
        rows: Rows of a dataset version, or of a format as rows_of() gives them.
        tokenizer: The base model's tokenizer, with its chat template.
        max_length: Longest sequence in tokens, as for training.
        end_ids: Every token that ends a generation of the base model.
    """
    for row in rows:
        found, report = tokenise_rows([row], tokenizer, max_length=max_length, end_ids=end_ids)
        name, part = str(row.get("row_id", "")), str(row.get("part", ""))
        origin = "captured" if report.captured else "rendered"
        for reason in report.dropped:
            yield Shown(name, part, origin, [], reason)
        for sequence in found:
            yield Shown(name, part, origin, list(_row_parts(sequence.input_ids, sequence.labels, tokenizer)))  # fmt: skip


def _row_parts(
    ids: list[int], labels: list[int], tokenizer: ChatTokenizer
) -> Iterator[PreviewPart]:
    pairs = zip(ids, (label != IGNORE for label in labels), strict=True)
    for learned, group in groupby(pairs, key=lambda pair: pair[1]):
        tokens = [token for token, _ in group]
        yield PreviewPart(str(tokenizer.decode(tokens)), len(tokens), learned)


def rows_of(version: DatasetVersion, form: str | None, split: str = "train") -> Iterator[Row]:
    """Yield rows of a version, or of a format of conversations, in the form that the trainer reads.

    Raises:
        ExportError: If the format is unknown, or is not a conversation that a chat template renders.
    """
    if form is None:
        yield from version.rows(split)
        return
    export = version.export(form, split)
    read = next((r for columns, r in _READERS.items() if columns <= set(export.format.columns)), None)  # fmt: skip
    if read is None:
        raise ExportError(
            f"format {form!r} is not a conversation for a chat template",
            "one of trl-sft, trl-prompt-completion, trl-dpo, trl-dpo-step, trl-kto, openai",
            "burnish dataset preview NAME",
        )
    for number, row in enumerate(export):
        for part, messages in read(row).items():
            tools = row.get("tools")
            tools = json.loads(tools or "[]") if isinstance(tools, str) else tools
            yield {"row_id": f"{form} {number + 1}", "part": part, "messages": messages, "tools": tools}  # fmt: skip


def _conversation_parts(row: Row) -> dict[str, list[Row]]:
    """Give loss to all replies except those with OpenAI's weight 0."""
    return {"": [{**m, "loss": m["role"] == "assistant" and m.get("weight", m.get("loss", 1)) != 0} for m in row["messages"]]}  # fmt: skip


def _completion_parts(row: Row) -> dict[str, list[Row]]:
    wanted = "" if row.get("label", True) else "unwanted"
    return {wanted: _text_after(row["prompt"], row["completion"])}


def _side_parts(row: Row) -> dict[str, list[Row]]:
    return {side: _text_after(row["prompt"], row[side]) for side in ("chosen", "rejected")}


def _text_after(prompt: list[Row], said: list[Row]) -> list[Row]:
    """Join a prompt without loss and the compared messages behind it."""
    quiet = [{**message, "loss": False} for message in prompt]
    return [*quiet, *({**message, "loss": message["role"] == "assistant"} for message in said)]


_READERS: dict[frozenset[str], Callable[[Row], dict[str, list[Row]]]] = {
    frozenset({"prompt", "chosen", "rejected"}): _side_parts,
    frozenset({"prompt", "completion"}): _completion_parts,
    frozenset({"messages"}): _conversation_parts,
}


@app.command("preview")
def preview_row(
    dataset: Annotated[
        str,
        typer.Argument(help="Name or id of a version, or the folder of one.", metavar="NAME|PATH"),
    ],
    rows: Annotated[int, typer.Option(min=1, help="Number of rows.")] = 1,
    tokenizer: Annotated[
        str,
        typer.Option(
            help="Base model whose tokenizer and chat template are used: a folder or a name."
        ),
    ] = "starter",
    form: Annotated[
        str | None,
        typer.Option(
            "--format", help="Show a format of conversations, such as trl-dpo, instead of rows."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="train, heldout or temporal.")] = "train",
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Longest sequence in tokens, as in the recipe.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show which text of rows is learned: in colour, or in ⟦ ⟧ on terminals without colour.

    The tokens are those of training.

    Examples: `burnish dataset preview support`, `burnish dataset preview support --format trl-dpo-step --rows 3`
    """  # fmt: skip
    version = _find_version(dataset, home)
    chosen = _first_row(rows_of(version, form, split), rows)
    loaded, contract = load_tokenizer(tokenizer), _read_contract(tokenizer)
    limit = contract.limit_length(max_length)
    found = list(select_shown(chosen, loaded, max_length=limit, end_ids=contract.end_ids))
    if as_json:
        print_json({"version": version.id, "sequences": [sequence.as_dict() for sequence in found]})
        return
    for sequence in found:
        _print_preview(sequence)


def load_tokenizer(name: str) -> ChatTokenizer:
    """Load the tokenizer of a base model from the disk alone.

    Raises:
        ServingError: If no folder with a model is found.
        ExportError: If the folder holds no tokenizer that can be read.
    """
    from transformers import AutoTokenizer

    from burnish.serving.contract.base_models import resolve_model

    folder = resolve_model(name)
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as problem:
        raise ExportError(
            f"no tokenizer in {folder}: {problem}", "the tokenizer files of the base model"
        ) from problem


def _read_contract(name: str) -> ModelContract:
    """Read the contract of a base model."""
    from burnish.serving.contract.base_models import resolve_model
    from burnish.serving.contract.model_contract import read_contract

    return read_contract(resolve_model(name))


def _find_version(dataset: str, home: Path | None) -> DatasetVersion:
    from burnish import settings
    from burnish_exporters.dataset import DatasetVersion
    from burnish_exporters.dataset.store import DatasetStore

    if (Path(dataset) / "manifest.json").is_file():
        return DatasetVersion.open(dataset)
    return DatasetStore((home or settings.current().home) / "datasets").find_version(dataset)


def _first_row(rows: Iterable[Row], number: int) -> Iterator[Row]:
    """Yield the first rows, each with all its parts."""
    for _, parts in islice(groupby(rows, key=lambda row: row["row_id"]), number):
        yield from parts


def _print_preview(sequence: Shown) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    coloured = console.is_terminal and not console.no_color
    facts = sequence.as_dict()
    title = " ".join(part for part in (sequence.row_id, sequence.part) if part)
    said = sequence.dropped or f"{facts['loss_tokens']} of {facts['tokens']} tokens learned, {sequence.origin}"  # fmt: skip
    console.print(Text(f"{title}: {said}", style="bold"), soft_wrap=True)
    text = Text()
    for piece in sequence.pieces:
        if coloured:
            text.append(piece.text, style="bold green" if piece.learned else "dim")
        else:
            text.append(piece.text.join(MARKS) if piece.learned else piece.text)
    console.print(text, soft_wrap=True)
