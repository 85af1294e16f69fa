"""The audit fixture gives exactly the twelve rows that an auditor would let pass."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "export"


def script(name, **known):
    """A benchmark script as a module; `known` are modules that it imports from beside it."""
    spec = importlib.util.spec_from_file_location(f"{name}_script", FOLDER / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    before = {key: sys.modules.get(key) for key in known}
    sys.modules.update(known)
    try:
        spec.loader.exec_module(found)
    finally:
        for key, module in before.items():
            sys.modules.pop(key) if module is None else sys.modules.update({key: module})
    return found


@pytest.fixture
def audit():
    return script("audit")


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


def test_the_auditor_of_peers_finds_each_fault(audit, home):
    """Clean rows count as clean; a failure, an address, a repeat, a beginning and a call without id are each found."""
    import copy

    from burnish_exporters import build_dataset

    peers = script("peers", audit=audit)
    audit.capture_runs()
    import burnish

    version = build_dataset(burnish.Workspace(), agent=audit.AGENT, verify=["outcome"])
    rows = list(version.export("openai"))
    clean = peers.count(rows)
    spoiled = copy.deepcopy(rows[:5])
    spoiled[0]["messages"][1]["content"] += " wrong list"
    spoiled[1]["messages"][1]["content"] += " a.b@firm-mail.com"
    spoiled[2] = copy.deepcopy(rows[5])
    spoiled[3]["messages"] = copy.deepcopy(rows[6]["messages"][:3])
    del spoiled[4]["messages"][2]["tool_calls"][0]["id"]

    assert clean == {"rows": 12, "from_failures": 0, "with_email": 0, "duplicates": 0, "prefixes": 0,
                     "invalid_for_openai": 0}  # fmt: skip
    assert peers.count(rows[5:] + spoiled) == {"rows": 12, "from_failures": 1, "with_email": 1, "duplicates": 1,
                                               "prefixes": 1, "invalid_for_openai": 1}  # fmt: skip
