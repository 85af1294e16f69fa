"""The request of any call can be rebuilt from storage, byte for byte as canonical JSON.

Ten thousand of them are rebuilt by `benchmarks/capture/exactness.py`.
"""

from hypothesis import HealthCheck, given
from hypothesis import settings as with_settings
from langchain_core.messages import HumanMessage
from scenarios.exactness import conversations, hold, rebuilt, rebuilt_from

import burnish
from burnish import settings
from burnish.journal.events import ModelStarted
from burnish.journal.writer import close_shared
from burnish.testing import capturing


def many(count):
    return with_settings(max_examples=count, suppress_health_check=list(HealthCheck), deadline=None)


@many(250)
@given(conversations)
def test_any_request_is_rebuilt_also_where_messages_change_between_calls(conversation):
    with capturing() as journal:
        really = hold(conversation)

    assert [rebuilt(event, journal.value) for event in journal.of(ModelStarted)] == really


def on_disk(home, play):
    """Return the content of a journal on disk for a play, and the play's result."""
    settings.configure(home=home)
    try:
        really = play()
        burnish.flush()
        return list(rebuilt_from(home)), really
    finally:
        settings.reset()
        close_shared()


def test_requests_are_rebuilt_from_the_disk(tmp_path):
    def play():
        really = []

        @many(100)
        @given(conversations)
        def talk(conversation):
            really.extend(hold(conversation))

        talk()
        return really

    stored, really = on_disk(tmp_path, play)

    assert len(really) >= 100
    assert stored == really


def test_a_thousand_messages_are_rebuilt_also_where_one_changes(tmp_path):
    history = [HumanMessage(f"message {number}", id=str(number)) for number in range(1000)]
    steps = ["append", "content", "nothing", "kwargs", "drop"]

    stored, really = on_disk(tmp_path, lambda: hold((history, {}, steps, {"a": [1.0, True]})))

    assert len(really) == 6
    assert stored == really
