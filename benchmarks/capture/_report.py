"""Report the figures of a benchmark as JSON, together with the conditions."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any


def options(story: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=story, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="under 50 s on 2 cores")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser


def tell(figures: dict[str, float], conditions: dict[str, Any], chosen: argparse.Namespace) -> None:
    """Print the figures and conditions, and write them where the options say so."""
    machine = {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "quick": chosen.quick,
    }
    told = json.dumps(
        {
            "figures": {name: round(value, 3) for name, value in figures.items()},
            "conditions": conditions | machine,
        },
        indent=2,
    )
    print(told)
    if chosen.json:
        chosen.json.write_text(told)
