"""Find formats by name: the built-in ones, and those that other packages register through entry points."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from burnish.config.nearest_names import find_nearest
from burnish.errors import ExportError
from burnish.protocols import Format
from burnish_exporters.formats.agents.adp import Adp
from burnish_exporters.formats.agents.atif import Atif
from burnish_exporters.formats.agents.rl_steps import RlSteps
from burnish_exporters.formats.openai import OpenAIDpoFormat, OpenAIFormat
from burnish_exporters.formats.sharegpt import ShareGpt, ShareGptDpo
from burnish_exporters.formats.swift import Swift
from burnish_exporters.formats.trl.completion import TrlPromptCompletion
from burnish_exporters.formats.trl.preference import TrlDpo, TrlKto
from burnish_exporters.formats.trl.process_reward import TrlPrm
from burnish_exporters.formats.trl.sft import TrlSft
from burnish_exporters.formats.verl import Verl

GROUP = "burnish.formats"

FORMATS: dict[str, Callable[[], Format]] = {
    "adp": Adp,
    "atif": Atif,
    "openai": OpenAIFormat,
    "openai-dpo": OpenAIDpoFormat,
    "rl-steps": RlSteps,
    "sharegpt": ShareGpt,
    "sharegpt-dpo": ShareGptDpo,
    "swift": Swift,
    "trl-dpo": TrlDpo,
    "trl-dpo-step": lambda: TrlDpo(name="trl-dpo-step", steps=True),
    "trl-dpo-step-strings": lambda: TrlDpo(name="trl-dpo-step-strings", steps=True, objects=False),
    "trl-dpo-strings": lambda: TrlDpo(name="trl-dpo-strings", objects=False),
    "trl-kto": TrlKto,
    "trl-kto-strings": lambda: TrlKto(name="trl-kto-strings", objects=False),
    "trl-prm": TrlPrm,
    "trl-prompt-completion": TrlPromptCompletion,
    "trl-prompt-completion-strings": lambda: TrlPromptCompletion(
        name="trl-prompt-completion-strings", objects=False
    ),
    "trl-sft": TrlSft,
    "trl-sft-strings": lambda: TrlSft(name="trl-sft-strings", objects=False),
    "verl": Verl,
}

ALIASES = {"trl-sft-objects": "trl-sft"}
"""Format names of earlier versions."""


def find_format(name: str) -> Format:
    """Return the format of that name.

    Raises:
        ExportError: If no format has the name; the message lists the formats.
    """
    name = ALIASES.get(name, name)
    if name in FORMATS:
        return FORMATS[name]()
    for entry in entry_points(group=GROUP, name=name):
        return entry.load()()
    known = sorted({*FORMATS, *(entry.name for entry in entry_points(group=GROUP))})
    near = find_nearest(name, known, cutoff=0.75)
    nearest = f"{near!r}, or another " if near else ""
    raise ExportError(
        f"unknown format {name!r}",
        f"{nearest}one of {', '.join(known)}",
        f"burnish dataset export NAME --format {near if near else 'trl-sft'}",
    )
