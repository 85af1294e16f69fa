"""Measure from which ratio of flat to distinct tokens a trie pays, and where depth first beats tree attention.

usage: python benchmarks/training/execution_choice.py [--json FILE] [--quick] [--hidden N] [--repeats N]

A step of 8 rows that share a beginning of growing length, as rows of the trainer (padded, logits at learned tokens alone),
as blocks and depth first; forward and backward on one thread, in turns, medians of CPU seconds. Then tries of several forms
at once: a chain of calls, attempts that part early, and a wide fan. The planner's `PAYS` comes from the first table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from prefix_trie import VOCABULARY, calls_of, model_of, step_on_trie
from torch.nn import functional

from burnish_trainer.logits import logits_at
from burnish_trainer.tree.planner import count_distinct

WAYS = ("rows", "blocks", "depth_first")
ROWS, LENGTH = 8, 400
SHARED = (0, 45, 90, 130, 200, 280, 340)
FORMS = {
    "chain": {"system": 300, "steps": 12, "size": 50},
    "attempts": {"system": 300, "steps": 4, "size": 60, "attempts": 8},
    "fan": {"system": 600, "steps": 1, "size": 40, "attempts": 16},
    "short fan": {"system": 120, "steps": 1, "size": 40, "attempts": 32},
}


def step_on_rows(model: torch.nn.Module, rows: list, masks: list, batch: int = 8) -> None:
    """Run rows as the trainer runs them without sharing: padded, sorted by length, logits at learned tokens alone."""
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    for at in range(0, len(order), batch):
        some = order[at : at + batch]
        width = max(len(rows[i]) for i in some)
        ids = torch.zeros((len(some), width), dtype=torch.long)
        chosen = torch.zeros((len(some), width - 1), dtype=torch.bool)
        for line, i in enumerate(some):
            ids[line, : len(rows[i])] = torch.from_numpy(rows[i])
            chosen[line, : len(rows[i]) - 1] = torch.from_numpy(masks[i][1:])
        logits = logits_at(model, ids, chosen).float()
        functional.cross_entropy(logits, ids[:, 1:][chosen], reduction="sum").backward()


def measure_ways(model: torch.nn.Module, rows: list, masks: list, repeats: int) -> dict[str, float]:
    """Return the ratio, and CPU seconds of each way over those of rows."""
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            model.zero_grad()
            started = time.process_time()
            if way == "rows":
                step_on_rows(model, rows, masks)
            else:
                step_on_trie(model, way, rows, masks)
            spent[way].append(time.process_time() - started)
    seconds = {way: statistics.median(values) for way, values in spent.items()}
    return {
        "ratio": sum(map(len, rows)) / count_distinct(rows),
        "seconds_rows": seconds["rows"],
        "blocks": seconds["rows"] / seconds["blocks"],
        "depth_first": seconds["rows"] / seconds["depth_first"],
    }


def rows_with(shared: int) -> tuple[list, list]:
    """Return rows of similar length with a common beginning; the last third of each is learned."""
    rng = np.random.default_rng(1)
    prefix = rng.integers(0, VOCABULARY, shared)
    rows = [
        np.r_[prefix, rng.integers(0, VOCABULARY, LENGTH - shared + 4 * n)] for n in range(ROWS)
    ]
    return rows, [np.arange(len(row)) >= 2 * len(row) // 3 for row in rows]


def main() -> None:
    """Measure, print and write the figures."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="a smaller model, one repeat")
    parser.add_argument("--hidden", type=int, default=0, help="width of the model")
    parser.add_argument("--repeats", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    hidden = args.hidden or (64 if args.quick else 192)
    repeats = args.repeats or (1 if args.quick else 5)
    model, figures = model_of(hidden), {}
    measure_ways(model, *rows_with(100), 1)  # warm
    for shared in SHARED[::2] if args.quick else SHARED:
        figures[f"shared_{shared}"] = measure_ways(model, *rows_with(shared), repeats)
        print(shared, json.dumps({k: round(v, 3) for k, v in figures[f"shared_{shared}"].items()}), flush=True)  # fmt: skip
    for name, form in FORMS.items():
        shape = calls_of(**form)
        figures[name] = measure_ways(model, shape["rows"], shape["masks"], repeats)
        print(name, json.dumps({k: round(v, 3) for k, v in figures[name].items()}), flush=True)
    if args.json:
        conditions = {
            "hidden": hidden,
            "repeats": repeats,
            "threads": 1,
            "torch": torch.__version__,
        }
        args.json.write_text(json.dumps({"figures": figures, "conditions": conditions}, indent=2))


if __name__ == "__main__":
    main()
