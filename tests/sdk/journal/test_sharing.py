"""Long texts and long lists of messages are stored once, and are read back to the last byte."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.journal import frames
from burnish.journal.content_sharing import CHUNK, Spliced
from burnish.journal.events import ModelStarted, ToolEnded, canonical, encode, ref_of
from burnish.journal.lifecycle.erasure import Forgotten, Tombstone, erase
from burnish.journal.reader import ReadReport, SegmentReader, read_events
from burnish.journal.writer import JournalWriter

TEXT = 'a page, "quoted", and its ümlaut\n' * 100


def asked(number: int, refs: list[bytes], trajectory: str = "t1") -> ModelStarted:
    return ModelStarted(
        at=number, trajectory=trajectory, span=f"{number:016x}", parent=None, messages=refs
    )


def message(number: int) -> bytes:
    return canonical({"role": "user", "parts": [{"type": "text", "content": f"message {number}"}]})


def named(*blobs: bytes) -> dict[bytes, bytes]:
    return {ref_of(blob): blob for blob in blobs}


def spliced(blob: bytes, text: str = TEXT) -> bytes:
    inner = canonical(text)
    return Spliced.of(blob, inner, ref_of(inner))


def segment_of(home):
    (path,) = home.glob("journal/*/*.seg")
    return path


@given(st.text(), st.text(min_size=1), st.text())
def test_a_content_that_holds_another_is_that_content(before, text, after):
    blob = canonical([before, text, after])
    made = spliced(blob, text)
    assert isinstance(made, Spliced)
    assert made == blob
    assert made.text == canonical(text)


def test_every_request_of_a_long_run_comes_back_whole_and_takes_no_more_than_a_short_ones(tmp_path):
    blobs = [message(number) for number in range(400)]
    refs = [ref_of(blob) for blob in blobs]
    writer = JournalWriter(tmp_path)
    sizes = []
    for calls in range(1, 401):
        before = segment_of(tmp_path).stat().st_size if sizes else 0
        writer.append(asked(calls, refs[:calls]), named(*blobs[:calls]))
        sizes.append(segment_of(tmp_path).stat().st_size - before)
    writer.close()

    found = [event for event, _ in read_events(tmp_path)]

    assert [event.messages for event in found] == [refs[:calls] for calls in range(1, 401)]
    assert all(event.before is None for event in found)
    late, early = sum(sizes[-2 * CHUNK :]), sum(sizes[CHUNK : 3 * CHUNK])
    assert late < 1.1 * early


def test_a_request_is_whole_in_the_segment_after_a_rotation_and_at_its_offset(tmp_path):
    blobs = [message(number) for number in range(70)]
    refs = [ref_of(blob) for blob in blobs]
    writer = JournalWriter(tmp_path)
    writer.append(asked(1, refs), named(*blobs))
    writer.rotate()
    writer.append(asked(2, refs), named(*blobs))
    writer.close()
    for path in tmp_path.glob("journal/*/*.seg"):
        reader = SegmentReader(path)
        ((offset, event),) = list(reader.poll(final=True))
        assert event.messages == refs
        assert [reader.own(ref) for ref in refs] == blobs
        assert SegmentReader(path).event_at(offset) == event


def test_a_long_text_is_stored_once_for_all_who_hold_it(tmp_path):
    result, sent = (canonical({"response": TEXT}), canonical({"parts": [{"response": TEXT}]}))
    writer = JournalWriter(tmp_path)
    ended = ToolEnded(at=1, trajectory="t1", span="1" * 16, result=ref_of(result))
    writer.append(ended, {ref_of(result): spliced(result)})
    writer.append(asked(2, [ref_of(sent)]), {ref_of(sent): spliced(sent)})
    writer.close()

    assert segment_of(tmp_path).stat().st_size < 1.2 * len(canonical(TEXT))
    (_, blobs), _ = read_events(tmp_path)
    assert blobs[ref_of(result)] == result
    assert blobs.value(ref_of(sent)) == {"parts": [{"response": TEXT}]}


def test_forgetting_leaves_what_others_hold_and_takes_the_rest(tmp_path):
    blobs = [message(number) for number in range(80)]
    refs = [ref_of(blob) for blob in blobs]
    mine, theirs, shared = (canonical([word, TEXT]) for word in ("mine", "theirs", "both"))
    alone = canonical("only mine " * 200)
    held = canonical(["x", "only mine " * 200])
    writer = JournalWriter(tmp_path)
    own = {
        ref_of(mine): spliced(mine),
        ref_of(held): spliced(held, "only mine " * 200),
        ref_of(shared): shared,
    }
    writer.append(asked(1, [*refs[:70], *own], "t1"), named(*blobs[:70]) | own)
    others = {ref_of(theirs): spliced(theirs), ref_of(shared): shared}
    writer.append(asked(2, [*refs[:40], *others], "t2"), named(*blobs[:40]) | others)
    writer.close()
    path = segment_of(tmp_path)

    erase(path, Forgotten([Tombstone(id="s", at=3, kind="thread", digest="", trajectories=["t1"])]))

    reader = SegmentReader(path)
    ((_, event),) = list(reader.poll(final=True))
    assert event.messages == [*refs[:40], *others]
    assert [reader.own(ref) for ref in event.messages] == [*blobs[:40], theirs, shared]
    assert reader.own(ref_of(canonical(TEXT))) == canonical(TEXT)
    for gone in (ref_of(mine), ref_of(held), ref_of(alone), *refs[40:70]):
        assert reader.own(gone) is None


def test_a_lost_link_is_a_name_that_stands_for_nothing(tmp_path):
    blobs = [message(number) for number in range(70)]
    refs = [ref_of(blob) for blob in blobs]
    writer = JournalWriter(tmp_path)
    writer.append(asked(1, refs), named(*blobs))
    writer.close()
    path = segment_of(tmp_path)
    data = bytearray(path.read_bytes())
    links = [start for kind, start, _ in frames.split(bytes(data)) if kind == frames.LINK]
    data[links[0] + 40] ^= 1
    path.write_bytes(data)

    report = ReadReport()
    ((event, found),) = list(read_events(tmp_path, report=report))

    assert report.corrupt == 1
    assert event.messages[1:] == refs[CHUNK:]
    with pytest.raises(KeyError):
        found.value(event.messages[0])


def test_segments_of_the_first_format_are_read(tmp_path):
    header = frames.SegmentHeader(format=1, pid=1, host="h", started=1, segment=0)
    blob = message(1)
    folder = tmp_path / "journal" / "h-1-1"
    folder.mkdir(parents=True)
    (folder / "000000.seg").write_bytes(
        frames.frame(frames.HEADER, msgspec.msgpack.encode(header))
        + frames.frame(frames.BLOB, ref_of(blob) + blob)
        + frames.frame(frames.EVENT, encode(asked(1, [ref_of(blob)])))
    )
    ((event, blobs),) = list(read_events(tmp_path))
    assert [blobs[ref] for ref in event.messages] == [blob]
