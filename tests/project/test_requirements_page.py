"""The page of requirements names tests that exist, and counts its rows rightly."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "requirements.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| R\d+ \|", line)
]


def test_each_practice_has_one_row():
    assert [int(row[0][1:]) for row in ROWS] == list(range(1, 133))


def test_the_counts_at_the_top_are_those_of_the_rows():
    counts = Counter(re.split(r"[:, ]", row[-1])[0] for row in ROWS)
    assert counts.keys() == {"proven", "partly", "later"}
    assert (
        f"{counts['proven']} are proven, {counts['partly']} partly and {counts['later']} come later"
        in " ".join(PAGE.split())
    )


def test_each_named_test_exists():
    named = set(re.findall(r"`(tests/[\w/.]+)::(\w+)`", PAGE))
    assert named
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named)
        if not re.search(rf"def {name}\b", (ROOT / path).read_text())
    ]
    assert missing == []
