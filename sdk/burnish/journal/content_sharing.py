"""How contents share bytes in a segment: long texts and long lists of messages are stored once.

Knows: a content that holds another one's bytes, and a list of references that goes on where another
ended. Does not know: which texts are worth it (capture), where frames lie (writer, reader).

A run of n calls lists its messages n times, and each result stands in its tool's run and in a
message. Without sharing a run of n steps would take O(n^2) bytes, and every long result twice.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import msgspec

from burnish.journal.events import ModelStarted, Ref, ref_of

CHUNK = 32
"""References that one link of a list holds."""
LONG_TEXT = 1024
"""Length, in bytes of JSON, from which a text is stored apart."""

_AT = struct.Struct("<I")
_REF = 16
_NOTHING = bytes(_REF)


class Spliced(bytes):
    """JSON that holds, from offset `at` on, the bytes of the content `inner`."""

    at: int
    inner: Ref
    inner_size: int

    @classmethod
    def of(cls, blob: bytes, text: bytes, name: Ref) -> bytes:
        """`blob`, knowing where it holds `text`; as it is where it does not."""
        at = blob.find(text)
        if at < 0:
            return blob
        made = cls(blob)
        made.at, made.inner, made.inner_size = at, name, len(text)
        return made

    @property
    def text(self) -> bytes:
        """The bytes of the inner content."""
        return bytes(self[self.at : self.at + self.inner_size])

    @property
    def stored(self) -> bytes:
        """What a frame says instead: the inner name, where it belongs, and what is around it."""
        head, tail = self[: self.at], self[self.at + self.inner_size :]
        return self.inner + _AT.pack(self.at) + head + tail


def inner_of(stored: bytes) -> Ref:
    """Name of the content that a spliced one holds."""
    return stored[:_REF]


def is_spliced(stored: bytes) -> bool:
    """Whether bytes are long enough to be what `Spliced.stored` gives."""
    return len(stored) >= _REF + _AT.size


def join(stored: bytes, text: bytes) -> bytes:
    """The content of `Spliced.stored`, with the bytes of its inner one."""
    at = _AT.unpack_from(stored, _REF)[0]
    around = stored[_REF + _AT.size :]
    return around[:at] + text + around[at:]


class Link(bytes):
    """One link of a list: the name of the link before, or zeros, then up to `CHUNK` references."""


def fold(event: ModelStarted) -> tuple[ModelStarted, dict[Ref, Link]]:
    """An event whose list of messages is long, with the whole links of the list taken out."""
    refs = event.messages
    whole = len(refs) - len(refs) % CHUNK
    links: dict[Ref, Link] = {}
    before = _NOTHING
    for start in range(0, whole, CHUNK):
        link = Link(b"".join((before, *refs[start : start + CHUNK])))
        before = ref_of(link)
        links[before] = link
    return msgspec.structs.replace(event, before=before, messages=refs[whole:]), links


def unfold(event: ModelStarted, link_of: Callable[[Ref], bytes | None]) -> ModelStarted:
    """The event of `fold`; where a link is lost, its name stands for the messages that it held."""
    if event.before is None:
        return event
    chunks = [event.messages]
    name: Ref = event.before
    while name != _NOTHING:
        link = link_of(name)
        if link is None or len(link) % _REF:
            chunks.append([name])
            break
        name, *refs = refs_of_link(link)
        chunks.append(refs)
    messages = [ref for chunk in reversed(chunks) for ref in chunk]
    return msgspec.structs.replace(event, before=None, messages=messages)


def refs_of_link(link: bytes) -> Iterator[Ref]:
    """The name of the link before, then the references that this one holds."""
    return (link[at : at + _REF] for at in range(0, len(link), _REF))
