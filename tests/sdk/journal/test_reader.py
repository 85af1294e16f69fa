"""Guarantees of the reader: damage loses only the damaged data, and readers never wait."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.errors import JournalError, WorkspaceError, WorkspaceTooNew
from burnish.journal import events as e
from burnish.journal import frames
from burnish.journal.reader import ReadReport, SegmentReader, read_events, segments
from burnish.journal.writer import JournalWriter
from burnish.settings import Settings


def dropped(number: int) -> e.Dropped:
    return e.Dropped(at=number, counts={"n": number})


def write(home, count: int, segment_bytes: int = 10**9):
    writer = JournalWriter(home, Settings(segment_bytes=segment_bytes))
    for number in range(count):
        writer.append(dropped(number))
    folder = writer.folder
    writer.close()
    return segments(folder)


def numbers(home, report=None):
    return [event.counts["n"] for event, _ in read_events(home, report=report)]


def frame_starts(path, kind):
    return [(start, end) for found, start, end in frames.split(path.read_bytes()) if found == kind]


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(1, 10_000))
def test_a_torn_tail_is_cut_at_the_last_whole_frame_and_counted(tmp_path_factory, cut):
    home = tmp_path_factory.mktemp("home")
    (path,) = write(home, 100)
    data = path.read_bytes()
    kept = data[: max(1, len(data) - cut)]
    path.write_bytes(kept)
    whole = [end for _, end in frame_starts(path, frames.EVENT)]
    report = ReadReport()

    assert numbers(home, report) == list(range(len(whole)))
    assert report.torn_bytes + report.corrupt_bytes <= len(kept)
    last = max([end for _, _, end in frames.split(kept)], default=0)
    assert report.torn_tails == (last < len(kept))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_costs_one_frame_and_is_counted(tmp_path_factory, data):
    home = tmp_path_factory.mktemp("home")
    (path,) = write(home, 60)
    content = bytearray(path.read_bytes())
    events = frame_starts(path, frames.EVENT)
    hit = data.draw(st.integers(0, len(events) - 2))
    start, end = events[hit]
    offset = data.draw(st.integers(start, end - 1))
    content[offset] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    report = ReadReport()

    assert numbers(home, report) == [number for number in range(60) if number != hit]
    assert report.corrupt == 1
    assert report.corrupt_bytes == end - start


def test_damage_in_one_segment_leaves_the_others_whole(tmp_path):
    paths = write(tmp_path, 300, segment_bytes=2000)
    content = bytearray(paths[1].read_bytes())
    content[200:] = bytes(len(content) - 200)
    paths[1].write_bytes(content)
    report = ReadReport()

    kept = numbers(tmp_path, report)

    lost = sorted(set(range(300)) - set(kept))
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert len(lost) < 100
    assert report.torn_tails == 1


def test_a_damaged_header_costs_only_the_header(tmp_path):
    (path,) = write(tmp_path, 10)
    content = bytearray(path.read_bytes())
    content[12] ^= 0xFF
    path.write_bytes(content)

    assert numbers(tmp_path) == list(range(10))


def test_a_segment_of_a_newer_format_is_refused_by_name(tmp_path):
    (path,) = write(tmp_path, 1)
    header = frames.SegmentHeader(
        format=frames.FORMAT + 1, pid=1, host="h", started=1, segment=0, burnish="9.1"
    )
    path.write_bytes(frames.frame(frames.HEADER, msgspec.msgpack.encode(header)))

    with pytest.raises(JournalError, match=r"format 4, written by burnish 9\.1.*pip install"):
        numbers(tmp_path)


def test_an_older_header_with_fewer_fields_is_read(tmp_path):
    (path,) = write(tmp_path, 1)
    old = {"format": 0, "pid": 1, "host": "h", "started": 1, "segment": 0}
    path.write_bytes(
        frames.frame(frames.HEADER, msgspec.msgpack.encode(old))
        + frames.frame(frames.EVENT, e.encode(dropped(7)))
    )

    assert numbers(tmp_path) == [7]


def test_an_event_of_an_unknown_kind_is_counted_and_passed_over(tmp_path):
    (path,) = write(tmp_path, 2)
    seeds = frames.find_seeds(path.read_bytes())
    with path.open("ab") as file:
        unknown = msgspec.msgpack.encode({"k": "?", "at": 5})
        file.write(frames.frame(frames.EVENT, unknown, seeds))
        file.write(frames.frame(frames.EVENT, e.encode(dropped(2)), seeds))
    report = ReadReport()

    assert numbers(tmp_path, report) == [0, 1, 2]
    assert report.unknown_events == 1


def test_a_reader_follows_a_journal_that_is_being_written(tmp_path):
    writer = JournalWriter(tmp_path)
    writer.append(dropped(0))
    (path,) = segments(writer.folder)
    reader = SegmentReader(path)
    seen = []
    for number in range(1, 50):
        seen += [event.counts["n"] for _, event in reader.poll()]
        writer.append(dropped(number))
    seen += [event.counts["n"] for _, event in reader.poll()]

    assert seen == list(range(50))


def test_half_a_frame_at_the_end_of_a_live_journal_is_waited_for(tmp_path):
    (path,) = write(tmp_path, 1)
    whole = frames.frame(frames.EVENT, e.encode(dropped(1)), frames.find_seeds(path.read_bytes()))
    reader = SegmentReader(path)
    assert [event.counts["n"] for _, event in reader.poll()] == [0]
    seen = []
    for byte in whole:
        with path.open("ab") as file:
            file.write(bytes([byte]))
        seen += [event.counts["n"] for _, event in reader.poll()]

    assert seen == [1]
    assert reader.report.corrupt == 0


@pytest.mark.parametrize("number", [1, 2])
def test_an_event_at_the_edge_of_what_was_read_at_once_is_read_again(tmp_path, number):
    """The second event crosses the edge of the 64 KiB that the reader keeps; one is erased after that."""
    seeds = frames.make_seeds(b"saltsalt")
    header = frames.SegmentHeader(format=3, pid=1, host="h", started=1, segment=0, salt=b"saltsalt")
    ended = [
        e.ToolEnded(at=at, trajectory="t", span="s", error="y" * size)
        for at, size in enumerate((65_000, 1_000, 10))
    ]
    written = [frames.frame(frames.EVENT, e.encode(event), seeds) for event in ended]
    path = tmp_path / "0.seg"
    path.write_bytes(frames.encode_header(header) + b"".join(written))
    start = len(frames.encode_header(header))
    places = [start + sum(map(len, written[:count])) for count in range(3)]
    reader = SegmentReader(path)
    assert [reader.event_at(place) for place in places[:2]] == ended[:2]

    with path.open("r+b") as file:
        file.seek(places[number])
        file.write(frames.erased(len(written[number]), seeds))

    assert reader.event_at(places[number]) is None


def test_content_of_an_earlier_segment_is_found_by_its_name(tmp_path):
    writer = JournalWriter(tmp_path, Settings(segment_bytes=600))
    content = e.canonical("x" * 1000)
    ref = e.ref_of(content)
    writer.append(dropped(0), {ref: content})
    writer.append(e.StateRecorded(at=1, trajectory="t", state=ref))

    *_, (event, blobs) = read_events(tmp_path)

    assert blobs[event.state] == content


def test_events_of_processes_are_merged_by_time(tmp_path):
    writers = [JournalWriter(tmp_path) for _ in range(3)]
    for number in range(30):
        writers[number % 3].append(dropped(number))

    assert numbers(tmp_path) == list(range(30))
    assert [event.at for event, _ in read_events(tmp_path, since_ns=25)] == [25, 26, 27, 28, 29]


def test_a_broken_workspace_file_is_named(tmp_path):
    (tmp_path / "workspace.json").write_text("{")

    with pytest.raises(WorkspaceError, match=r"workspace\.json cannot be read"):
        numbers(tmp_path)


def test_a_newer_workspace_is_refused(tmp_path):
    (tmp_path / "workspace.json").write_text('{"format": 2, "burnish": "9.0"}')

    with pytest.raises(WorkspaceTooNew, match="format 2"):
        numbers(tmp_path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def without_pairs(value) -> bool:
    """Two surrogates that make a pair are one character in any JSON text."""
    try:
        return value == e.from_json(e.canonical(value)) or "\\ud" in e.ascii_json(value)
    except ValueError:
        return False


@settings(deadline=None)
@given(JSON)
def test_canonical_json_gives_every_value_back(value):
    assert without_pairs(value)
    assert e.canonical(e.from_json(e.canonical(value))) == e.canonical(value)
    assert e.canonical(e.from_json(e.ascii_json(value))) == e.canonical(value)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_an_event_keeps_any_text(text):
    event = e.RunEnded(at=1, trajectory="t", span="s", status="completed", answer=text)

    assert e.decode(e.encode(event)).answer in (
        text,
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
    )
    assert e.decode_brief(e.encode(event)).status == "completed"
