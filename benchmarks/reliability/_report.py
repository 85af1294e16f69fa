"""Print the figures of a reliability run and write them as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any


def options(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="under 50 s on 2 cores")
    parser.add_argument("--json", type=Path, help="write figures and conditions here")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def report(chosen: argparse.Namespace, figures: dict[str, Any], **conditions: Any) -> int:
    """Print and write a run; the exit code is 1 if a figure that must be zero is not."""
    conditions |= {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "quick": chosen.quick,
        "seed": chosen.seed,
    }
    text = json.dumps({"figures": figures, "conditions": conditions}, indent=2)
    print(text)
    if chosen.json is not None:
        chosen.json.write_text(text)
    bad = ("lost", "wrong", "duplicates", "left_of_forgotten", "crashes", "forged", "uncounted")
    return int(any(figures.get(name) for name in bad))
