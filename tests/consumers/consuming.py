"""Run a consumer's own code in the environment that `make consumers` made for it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def read_with(consumer: str, given: Any, folder: Path) -> Any:
    """Return what `read_CONSUMER.py` makes of the given data; both are JSON."""
    python = HERE.parents[1] / f".venv-{consumer}/bin/python"
    source, result = folder / "given.json", folder / "result.json"
    source.write_text(json.dumps(given))
    script = HERE / f"read_{consumer.replace('-', '_')}.py"
    done = subprocess.run(
        [python, str(script), str(source), str(result)],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(result.read_text())
