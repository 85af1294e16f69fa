"""Implement `burnish serve`: the embedded engine behind an OpenAI-compatible address."""

from __future__ import annotations

from typing import Annotated

import typer

from burnish.cli.options import TokenFile


def serve_model(
    base_model: Annotated[str, typer.Argument(help="Folder of a model, or `starter`.")] = "starter",
    host: Annotated[
        str, typer.Option(help="Address; beyond loopback needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 8765,
    token_file: TokenFile = None,
) -> None:
    """Serve a model and its adapters over the OpenAI and vLLM adapter routes.

    With a token in BURNISH_TOKEN or --token-file, requests must send it as bearer token.

    Example: `burnish serve starter --port 8765`
    """
    from burnish.http_guard import read_token
    from burnish.serving.http.server import serve as run_server

    run_server(base_model, host=host, port=port, token=read_token(token_file))
