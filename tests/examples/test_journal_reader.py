"""The small reader of the example reads the same data as burnish's reader."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec

from burnish.journal import events as e
from burnish.journal import frames
from burnish.journal.content_sharing import Spliced
from burnish.journal.reader import process_folders, read_events, segments
from burnish.journal.writer import JournalWriter
from burnish.testing.recording import Recording

READER = Path(__file__).parents[2] / "examples/journal_reader/read_journal.py"


def read(home, *options):
    done = subprocess.run(
        [sys.executable, str(READER), str(home), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done


def record(home):
    recording = Recording(home)
    recording.write_run("a" * 32, steps=3)
    recording.write_run("b" * 32, task="\ud800", user="\ud800")
    recording.writer.close()
    (folder,) = process_folders(home)
    return segments(folder)[0]


def test_it_is_short():
    assert len(READER.read_text().splitlines()) < 100


def test_it_gives_every_event_with_its_content(tmp_path):
    record(tmp_path)
    own = list(read_events(tmp_path))

    found, _ = read(tmp_path, "--content")

    assert [event["k"] for event in found] == [
        type(event).__struct_config__.tag for event, _ in own
    ]
    for event, (expected, blobs) in zip(found, own, strict=True):
        assert event["at"] == expected.at
        if isinstance(expected, e.ModelStarted):
            assert event["messages"] == [blobs.value(ref) for ref in expected.messages]
            assert event["tools"] == blobs.value(expected.tools)


def test_it_steps_over_damage_and_leaves_a_torn_tail(tmp_path):
    path = record(tmp_path)
    whole, _ = read(tmp_path)
    data = bytearray(path.read_bytes())
    starts = [start for kind, start, _ in frames.split(data) if kind == frames.EVENT]
    data[starts[3] + 15] ^= 1
    path.write_bytes(data[: starts[-1] + 12])

    found, _ = read(tmp_path)

    assert found == whole[:3] + whole[4:-1]


def test_it_refuses_a_newer_format(tmp_path):
    path = record(tmp_path)
    header = {"format": frames.FORMAT + 1, "pid": 1, "host": "h", "started": 1, "segment": 0}
    path.write_bytes(frames.frame(frames.HEADER, msgspec.msgpack.encode(header)))

    found, done = read(tmp_path)

    assert found == []
    assert done.returncode == 1
    assert f"format {frames.FORMAT + 1}, this reads up to {frames.FORMAT}" in done.stderr


def test_it_puts_shared_texts_and_long_lists_together(tmp_path):
    text = "a long page " * 200
    inner = e.canonical(text)
    blobs = [
        e.canonical({"parts": [{"content": f"{number} {'' if number else text}"}]})
        for number in range(70)
    ]
    held = e.canonical({"parts": [{"content": text}]})
    sent = {e.ref_of(blob): blob for blob in blobs}
    sent[e.ref_of(held)] = Spliced.of(held, inner, e.ref_of(inner))
    writer = JournalWriter(tmp_path)
    asked = e.ModelStarted(at=1, trajectory="t", span="s", parent=None, messages=list(sent))
    writer.append(asked, sent)
    writer.close()

    (found,), _ = read(tmp_path, "--content")

    assert found["messages"] == [e.from_json(blob) for blob in sent.values()]
