"""Store long texts and long lists of messages once per segment.

`Spliced` is a content that refers to the bytes of another content. `fold` and `unfold` move a long
list of message references between an event and a chain of `Link` frames. Capture decides which
texts are shared.

A run of n model calls lists its messages n times, and each tool result occurs in its tool's run
and in a message. Without sharing, a run of n steps takes O(n^2) bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import msgspec

from burnish.journal.events import ModelStarted, Ref, ref_of

CHUNK = 32
"""References in one link of a list."""
LONG_TEXT = 1024
"""Length, in bytes of JSON, from which a text is stored separately."""

_AT = struct.Struct("<I")
_REF = 16
_NOTHING = bytes(_REF)


class Spliced(bytes):
    """JSON that contains the bytes of the content `inner` from offset `at` on."""

    at: int
    inner: Ref
    inner_size: int

    @classmethod
    def of(cls, blob: bytes, text: bytes, name: Ref) -> bytes:
        """Splice `text` out of `blob`; return `blob` unchanged if it does not contain `text`."""
        at = blob.find(text)
        if at < 0:
            return blob
        made = cls(blob)
        made.at, made.inner, made.inner_size = at, name, len(text)
        return made

    @property
    def text(self) -> bytes:
        """Return the bytes of the inner content."""
        return bytes(self[self.at : self.at + self.inner_size])

    @property
    def stored(self) -> bytes:
        """Encode the frame content: the inner name, its offset, and the bytes around it."""
        head, tail = self[: self.at], self[self.at + self.inner_size :]
        return self.inner + _AT.pack(self.at) + head + tail


def inner_of(stored: bytes) -> Ref:
    """Read the name of the inner content from stored bytes."""
    return stored[:_REF]


def is_spliced(stored: bytes) -> bool:
    """Return whether the bytes are long enough to be the result of `Spliced.stored`."""
    return len(stored) >= _REF + _AT.size


def join(stored: bytes, text: bytes) -> bytes:
    """Restore the content of `Spliced.stored` from the bytes of its inner content."""
    at = _AT.unpack_from(stored, _REF)[0]
    around = stored[_REF + _AT.size :]
    return around[:at] + text + around[at:]


class Link(bytes):
    """One link of a list: the name of the previous link, or zeros, then up to `CHUNK` references."""


def fold(event: ModelStarted) -> tuple[ModelStarted, dict[Ref, Link]]:
    """Replace the whole links of an event's long list of messages by the name of the last link."""
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
    """Restore the event of `fold`; the name of a lost link stays in the place of its messages."""
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
    """Yield the name of the previous link, then the references of this link."""
    return (link[at : at + _REF] for at in range(0, len(link), _REF))
