"""Private names of the OpenAI client."""

from __future__ import annotations

from burnish.compat.tables import LibraryTable, PrivateName

STREAM_ITERATOR = PrivateName(
    module="openai._streaming",
    path="Stream._iterator",
    needed_for="chunks of a streamed reply as the caller reads them",
    without_it="streamed replies are recorded without their text",
    of_instance=True,
)
RESPONSE_FORMAT = PrivateName(
    module="openai.lib._parsing",
    path="type_to_response_format_param",
    needed_for="the schema that `parse` asks for",
    without_it="calls of `parse` are recorded without their schema",
)
TABLE = LibraryTable(
    distribution="openai", tried_with="2.0 to 3.54", names=(STREAM_ITERATOR, RESPONSE_FORMAT)
)
