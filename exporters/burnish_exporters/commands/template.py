"""Define `burnish dataset check`: test a version against a model's chat template and recommend a format.

Prints the result of formats/templates/template_check.py; the command is part of `burnish dataset`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json, print_table


def check_version(
    version: Annotated[
        str, typer.Argument(help="Id of a version, its beginning, or a dataset's name.")
    ],
    template: Annotated[
        Path, typer.Option(help="Chat template: a Jinja file, or the folder of a model.")
    ],
    split: Annotated[str, typer.Option(help="train, heldout or temporal.")] = "train",
    rows: Annotated[int, typer.Option(min=1, help="Read at most this many rows.")] = 1000,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Render a version with a model's chat template and recommend a format.

    Example: `burnish dataset check support --template chat_template.jinja`
    """
    from itertools import islice

    from burnish import settings
    from burnish_exporters.dataset.store import DatasetStore
    from burnish_exporters.formats.templates.rendering import read_template
    from burnish_exporters.formats.templates.template_check import check_template

    found = DatasetStore((home or settings.current().home) / "datasets").find_version(version)
    result = check_template(islice(found.rows(split), rows), read_template(template))
    if as_json:
        print_json({"version": found.id, **msgspec.to_builtins(result)})
        return
    cells = [(name, fit, result.rows - fit) for name, fit in result.fit.items()]
    print_table(f"{found.id} under {template.name}", ["format", "rows as served", "others"], cells)
    reasons = [(n, why, k) for n, counts in result.problems.items() for why, k in counts.items()]
    print_table("why not", ["format", "reason", "rows"], reasons)
    for kind, count in sorted(result.lost.items()):
        typer.echo(f"warning: in {count} rows the template leaves out {kind}")
    if result.format is None:
        typer.echo("no format renders this version as served: use another chat template")
        raise typer.Exit(1)
    typer.echo(f"next: burnish dataset export {found.id} --format {result.format} --to rows.jsonl")
