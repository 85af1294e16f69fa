"""The audit fixture gives exactly the twelve rows that an auditor would let pass."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "export" / "audit.py"


@pytest.fixture
def audit():
    spec = importlib.util.spec_from_file_location("audit_fixture", SCRIPT)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_of_twenty_runs_twelve_are_rows_without_failures_addresses_and_repeats(audit, home):
    figures = audit.measure(home)

    assert {name: figures[name] for name in figures if name != "cpu_s"} == {
        "rows": 12,
        "from_failures": 0,
        "emails": 0,
        "duplicates": 0,
        "valid_for_openai": 12,
        "loads_in_datasets": 12,
    }


def test_without_redaction_the_addresses_are_there_so_the_count_can_fail(audit, home):
    import json

    import burnish
    from burnish_exporters import build_dataset

    audit.capture_runs()
    version = build_dataset(
        burnish.Workspace(), agent=audit.AGENT, verify=["outcome"], recipe={"redact": "none"}
    )

    texts = [json.dumps(row["messages"]) for row in version.rows()]
    assert sum(len(audit.ADDRESS.findall(text)) for text in texts) == 24
