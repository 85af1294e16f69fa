"""Tests that only a nightly run executes keep up with the names of burnish."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

NIGHTLY = Path(__file__).parents[1] / "nightly"
ELSEWHERE = {"read_mlflow.py"}  # runs in MLflow's own environment
MODULES = [path for path in sorted(NIGHTLY.glob("*.py")) if path.name not in ELSEWHERE]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_nightly_module_finds_all_that_it_imports(path):
    spec = importlib.util.spec_from_file_location(f"nightly_{path.stem}", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
