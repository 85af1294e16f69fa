"""Define options that commands of all packages share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    Path | None, typer.Option("--home", help="Folder of the workspace.", show_default=".burnish")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", help="File with the required bearer token.", show_default="BURNISH_TOKEN"
    ),
]
