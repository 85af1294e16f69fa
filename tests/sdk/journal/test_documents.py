"""A small JSON file with a check sum and a copy is read whatever byte of it is damaged."""

from __future__ import annotations

import msgspec
import pytest

from burnish.journal.documents import COPY, is_damaged, read_document, write_document

VALUE = {"segments": {"a": 1}}


@pytest.mark.parametrize("suffix", ["", COPY])
def test_no_flipped_bit_of_either_file_changes_what_is_read(tmp_path, suffix):
    path = tmp_path / "archive.json"
    write_document(path, VALUE)
    damaged = path.with_name(path.name + suffix)
    whole = damaged.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            content = bytearray(whole)
            content[place] ^= 1 << bit
            damaged.write_bytes(content)

            found = read_document(path, dict[str, msgspec.Raw]).value

            assert found is not None
            assert {name: bytes(part) for name, part in found.items()} == {"segments": b'{"a":1}'}
            assert is_damaged(path, dict[str, msgspec.Raw])


@pytest.mark.parametrize("with_copy", [False, True], ids=["alone", "over-a-newer-version"])
def test_a_file_of_an_earlier_version_is_read_without_a_check(tmp_path, with_copy):
    path = tmp_path / "archive.json"
    if with_copy:  # which the earlier version leaves as it is
        write_document(path, {"segments": {}})
    path.write_bytes(msgspec.json.encode(VALUE))

    assert read_document(path, dict).value == VALUE
    assert not is_damaged(path, dict)


@pytest.mark.parametrize("remaining", ["", COPY])
def test_one_of_the_two_files_is_enough_and_the_other_is_missed(tmp_path, remaining):
    path = tmp_path / "archive.json"
    write_document(path, VALUE)
    lost = path.with_name(path.name + (COPY if not remaining else ""))
    lost.unlink()

    assert read_document(path, dict).value == VALUE
    assert is_damaged(path, dict) is bool(remaining), "a writer may be killed between the two"


def test_a_wrong_check_sum_is_damage_with_and_without_a_copy(tmp_path):
    path = tmp_path / "archive.json"
    write_document(path, VALUE)
    path.write_bytes(path.read_bytes().replace(b'"a":1', b'"a":2'))
    assert read_document(path, dict).value == VALUE

    path.with_name(path.name + COPY).unlink()
    assert read_document(path, dict).value is None
    assert is_damaged(path, dict)


@pytest.mark.parametrize("suffix", ["", COPY])
def test_a_file_that_is_written_once_has_no_check_and_is_read_from_either(tmp_path, suffix):
    path = tmp_path / "workspace.json"
    content = msgspec.json.encode({"format": 1})
    for name in (path, path.with_name(path.name + COPY)):
        name.write_bytes(content)
    path.with_name(path.name + suffix).write_bytes(b'{"format":')

    assert read_document(path, dict).value == {"format": 1}
    assert is_damaged(path, dict)
