"""Only the recorder makes events: every other module passes requests and replies to it."""

import ast
from pathlib import Path

import msgspec

from burnish.journal import events
from burnish.journal.events import Event

ROOT = Path(__file__).parents[2]
RECORDER = ROOT / "sdk/burnish/capture/recorder"
# What is met while reading is counted in the form of those events that were recorded; it is never written.
READING = {
    ROOT / "sdk/burnish/telemetry/spans/projection.py": {"Dropped"},
    ROOT / "sdk/burnish/journal/store.py": {"Dropped"},
}
KINDS = {kind.__name__ for kind in Event.__subclasses__()}


def made_in(path):
    """Names of the event types that a module calls, under any name that it imports them by."""
    tree = ast.parse(path.read_text())
    own = {name: name for name in KINDS}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == events.__name__:
            own |= {alias.asname or alias.name: alias.name for alias in node.names}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if own.get(name) in KINDS:
            yield own[name]


def test_no_module_but_the_recorder_makes_an_event():
    makers = {}
    for package in ("sdk", "exporters", "trainer"):
        for path in (ROOT / package).rglob("*.py"):
            if RECORDER in path.parents:
                continue
            made = set(made_in(path)) - READING.get(path, set())
            if made:
                makers[str(path.relative_to(ROOT))] = sorted(made)

    assert makers == {}


def test_the_recorder_makes_each_event_that_a_run_consists_of_in_one_module():
    makers = {}
    for path in RECORDER.glob("*.py"):
        for kind in made_in(path):
            makers.setdefault(kind, set()).add(path.name)

    spread = {kind: sorted(names) for kind, names in makers.items() if len(names) > 1}
    assert spread == {"StateRecorded": ["facts.py", "runs.py"]}  # by the run, and by a workspace
    assert {"RunStarted", "ModelStarted", "ToolStarted", "NodeStarted"} <= makers.keys()


def test_every_text_of_every_event_is_known_to_the_redaction():
    """A field of a new type would pass the redaction unseen."""
    from burnish.capture.recorder.sealing import _texts_of, types_of_fields

    known = {int, bool, float, bytes, int | None, float | None, bool | None, bytes | None}
    lists = {list[bytes], list[int] | None, list[float] | None}
    for kind in Event.__subclasses__():
        texts = _texts_of(kind)
        seen = {*texts.single, *texts.listed, *texts.keyed}
        declared = types_of_fields(kind)
        assert set(declared) == {field.name for field in msgspec.structs.fields(kind)}
        for name, kind_of_value in declared.items():
            known_type = kind_of_value in known or kind_of_value in lists
            assert known_type or name in seen, f"{kind.__name__}.{name}: {kind_of_value}"
