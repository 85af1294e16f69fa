"""Replies of each provider's models become exact rows, or are kept out with a reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cells import CASES, measure
from chat_models import PROVIDERS
from clients import CLIENTS

from burnish import settings

PAGE = Path(__file__).parents[2] / "docs/providers.md"
HEAD = """# Providers

Each cell was measured with the provider's own LangChain package against a scripted server of its wire form: an agent ran
under `burnish.wrap`, and its run was built into a dataset row. "exact" means that the row holds the reply once, with
arguments in the model's order. `make providers-page` writes the page, and `make test-providers` compares it.

"""
CLIENTS_HEAD = """## Clients

The providers' own clients under `burnish.trace.openai`, `burnish.trace.anthropic` and `burnish.trace.google`. Each sent the
requests that LangChain's chat model had sent in the same cell; "exact" means also that its row and its token counts equal
LangChain's. For a client, the agent's own code parses the answer of a structured output.

"""


@pytest.fixture(autouse=True, scope="module")
def _own_settings():
    yield
    settings.reset()


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("provider", [*PROVIDERS, *CLIENTS])
def test_a_cell_is_exact_or_kept_out_with_a_reason(provider, case, streaming):
    assert not measure(provider, case, streaming).startswith("WRONG"), measure(
        provider, case, streaming
    )


def render_page() -> str:
    """Render the page of the docs from the measured cells."""
    lines = [HEAD]
    tables = (("Whole replies", False), ("Streamed replies", True))
    for title, streaming in tables:
        lines += _table(f"## {title}", list(PROVIDERS), streaming)
    lines.append(CLIENTS_HEAD)
    for title, streaming in tables:
        lines += _table(f"### {title} of clients", list(CLIENTS), streaming)
    return "".join(lines).rstrip("\n") + "\n"


def _table(title: str, names: list[str], streaming: bool) -> list[str]:
    lines = [f"{title}\n\n", f"| | {' | '.join(names)} |\n", f"|---|{'---|' * len(names)}\n"]
    for case in CASES:
        cells = " | ".join(measure(name, case, streaming) for name in names)
        lines.append(f"| {case} | {cells} |\n")
    return [*lines, "\n"]


@pytest.mark.timeout(1500)  # one process measures all cells that the other one measured
def test_the_page_says_what_was_measured():
    if os.environ.get("BURNISH_WRITE_PAGE"):
        PAGE.write_text(render_page())
    assert PAGE.read_text() == render_page()
