"""What tests of several parts of the SDK share: a journal in memory, and redaction that is switched."""

import pytest

import burnish
from burnish import settings
from burnish.testing import capturing


@pytest.fixture
def journal():
    with capturing() as memory:
        yield memory


@pytest.fixture
def redacting(tmp_path):
    """Sets `redact`, with `tmp_path` as home, until the test ends."""

    def switch(value):
        burnish.configure(redact=value, home=tmp_path)

    yield switch
    settings.reset()


@pytest.fixture
def everything():
    """All that a journal in memory holds, as one text."""

    def text(journal):
        return repr(journal.events) + " ".join(
            blob.decode("utf-8", "surrogatepass") for blob in journal.blobs.values()
        )

    return text
