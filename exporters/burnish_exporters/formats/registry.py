"""Formats by name: our own, and those of other packages through entry points.

Knows: names. Does not know: what a format looks like.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.metadata import entry_points

from burnish.errors import ExportError
from burnish.protocols import Format
from burnish_exporters.formats.adp import Adp
from burnish_exporters.formats.atif import Atif
from burnish_exporters.formats.openai import OpenAIFormat
from burnish_exporters.formats.rl_steps import RlSteps
from burnish_exporters.formats.sharegpt import ShareGpt
from burnish_exporters.formats.trl_completion import TrlPromptCompletion
from burnish_exporters.formats.trl_preference import TrlDpo, TrlKto
from burnish_exporters.formats.trl_prm import TrlPrm
from burnish_exporters.formats.trl_sft import TrlSft

GROUP = "burnish.formats"

FORMATS: dict[str, Callable[[], Format]] = {
    "adp": Adp,
    "atif": Atif,
    "openai": OpenAIFormat,
    "rl-steps": RlSteps,
    "sharegpt": ShareGpt,
    "trl-dpo": TrlDpo,
    "trl-dpo-step": lambda: TrlDpo(name="trl-dpo-step", steps=True),
    "trl-kto": TrlKto,
    "trl-prm": TrlPrm,
    "trl-prompt-completion": TrlPromptCompletion,
    "trl-sft": TrlSft,
    "trl-sft-objects": lambda: TrlSft(name="trl-sft-objects", objects=True),
}


def find_format(name: str) -> Format:
    """The format of that name.

    Raises:
        ExportError: If there is none.
    """
    if name in FORMATS:
        return FORMATS[name]()
    for entry in entry_points(group=GROUP, name=name):
        return entry.load()()
    near = difflib.get_close_matches(name, FORMATS, n=1)
    raise ExportError(
        f"unknown format {name!r}",
        repr(near[0]) if near else f"one of {', '.join(sorted(FORMATS))}",
    )
