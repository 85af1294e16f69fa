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
            assert found == {"segments": msgspec.Raw(b'{"a":1}')}
            assert is_damaged(path, dict[str, msgspec.Raw])


def test_a_file_of_an_earlier_version_is_read_without_a_check(tmp_path):
    path = tmp_path / "archive.json"
    path.write_bytes(msgspec.json.encode(VALUE))

    assert read_document(path, dict).value == VALUE
    assert not is_damaged(path, dict)
