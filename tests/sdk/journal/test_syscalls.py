"""Small writes keep the interpreter's lock and fail like any other write."""

import errno
import os
import sys

import pytest

from burnish.journal.gil_write import write_all, write_small


def test_bytes_arrive_zeros_included(tmp_path):
    path = tmp_path / "file"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        assert write_small(fd, b"a\0b", 3) == 3
        assert write_small(fd, b"c", 1) == 1
        write_all(fd, b"cdef", 1)
    finally:
        os.close(fd)

    assert path.read_bytes() == b"a\0bcdef"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/full")
def test_a_refused_write_is_an_os_error_with_its_number():
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space left") as refused:
            write_all(fd, b"x", write_small(fd, b"x", 1))
    finally:
        os.close(fd)

    assert refused.value.errno == errno.ENOSPC


def test_a_closed_file_is_an_os_error():
    with pytest.raises(OSError, match="Bad file descriptor"):
        write_all(-1, b"x", write_small(-1, b"x", 1))
