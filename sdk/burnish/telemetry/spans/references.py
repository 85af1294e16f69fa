"""Keep content outside of spans: named by its hash, stored under `content_url`, read back by name.

`ContentStore` stores content; `resolve_content` puts it back into a span. A span holds only hashes.
A reader looks them up under the URL of its own settings, so no sender can make a reader open
anything else.
"""

from __future__ import annotations

import functools
import hashlib
import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from burnish import settings
from burnish.errors import SettingsError
from burnish.journal.events import ascii_json, from_json
from burnish.records import Json, Span
from burnish.telemetry import semconv as s
from burnish.telemetry.spans.attributes import Attributes

ENDING = ".ref"
_SCHEME = "blake2b:"
_LISTS = (s.INPUT_MESSAGES, s.OUTPUT_MESSAGES)
_KEPT_NAMES = 100_000


def hash_content(content: bytes) -> str:
    """Return the name of content: a hash of its bytes."""
    return f"{_SCHEME}{hashlib.blake2b(content, digest_size=16).hexdigest()}"


def name_content(key: str, value: Json) -> tuple[str | list[str], dict[str, bytes]]:
    """Return the names that replace a content attribute, and the content of each name.

    Messages are named one by one, so that a growing conversation is stored once.
    """
    items = value if key in _LISTS and isinstance(value, list) and value else [value]
    contents: dict[str, bytes] = {}
    names = []
    for item in items:
        content = ascii_json(item).encode("ascii")
        names.append(hash_content(content))
        contents[names[-1]] = content
    return (names if items is value else names[0]), contents


class ContentStore:
    """Stores content by name under any fsspec URL."""

    def __init__(self, url: str) -> None:
        """Open the store at a URL.

        Raises:
            SettingsError: If no file system handles the URL.
        """
        from fsspec.core import url_to_fs

        try:
            self._files, self._root = url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise SettingsError(
                f"content_url is {url!r}: {error}",
                "a folder or an fsspec URL",
                'burnish.configure(content_url="file:///mnt/content")',
            ) from error
        self._known: dict[str, None] = {}  # cache of stored names, oldest first

    def put(self, contents: Mapping[str, bytes]) -> None:
        """Store content that is not stored yet.

        Raises:
            OSError: If it cannot be written; file systems may raise other errors.
        """
        for name, content in contents.items():
            if name in self._known:
                continue
            path = self._path_of(name)
            if not self._is_whole(path, len(content)):
                self._files.makedirs(posixpath.dirname(path), exist_ok=True)
                self._files.pipe_file(path, content)
            self._known[name] = None
            if len(self._known) > _KEPT_NAMES:
                del self._known[next(iter(self._known))]

    def get(self, name: str) -> Json:
        """Return the value of a name.

        Raises:
            KeyError: If the content is missing, or its bytes do not match the name.
        """
        try:
            content = self._files.cat_file(self._path_of(name))
        except OSError as error:
            raise KeyError(name) from error
        if hash_content(content) != name:
            raise KeyError(name)
        return from_json(content)

    def remove(self, names: Iterable[str]) -> tuple[int, list[str]]:
        """Remove content; return how many names were removed, and the URLs that could not be."""
        removed, left = 0, []
        for name in names:
            self._known.pop(name, None)
            try:
                path = self._path_of(name)
            except KeyError:  # not a name of content
                continue
            try:
                self._files.info(path)
                self._files.rm_file(path)
                removed += 1
            except FileNotFoundError:
                pass
            except Exception:  # noqa: BLE001 - after any error the content is still there
                left.append(self._files.unstrip_protocol(path))
        return removed, left

    def clear_cache(self) -> None:
        """Forget which names are stored: another process may have removed them."""
        self._known.clear()

    def _is_whole(self, path: str, size: int) -> bool:
        """Return True if the content is stored in full length."""
        try:
            return self._files.info(path)["size"] == size
        except FileNotFoundError:
            return False

    def _path_of(self, name: str) -> str:
        digest = name.removeprefix(_SCHEME)
        if len(digest) != 32 or not set(digest) <= set("0123456789abcdef"):
            raise KeyError(name)  # names may come from any sender
        return posixpath.join(self._root, digest[:2], f"{digest}.json")


@functools.lru_cache(maxsize=8)
def open_store(url: str) -> ContentStore:
    """Return the store of a URL, shared in this process.

    Raises:
        SettingsError: If no file system handles the URL.
    """
    return ContentStore(url)


def collect_contents(span: Span) -> dict[str, bytes]:
    """Return all content that a span refers to when it is shipped by reference."""
    found: dict[str, bytes] = {}
    for key, value in span.attributes.items():
        if key in s.CONTENT_ATTRIBUTES:
            found.update(name_content(key, value)[1])
    return found


def collect_names(span: Span) -> set[str]:
    """Return the names of all content that a span holds or refers to."""
    names = set(collect_contents(span))
    for _, value in _find_references(span):
        names.update(map(str, value) if isinstance(value, (list, tuple)) else [str(value)])
    return names


def resolve_content(span: Span) -> Span:
    """Return the span with its content read from the `content_url` of the settings, if set.

    Missing content is counted in the span's losses.
    """
    names = dict(_find_references(span))
    url = settings.current().content_url if names else None
    if url is None:
        return span
    store = open_store(url)
    attributes: Attributes = {k: v for k, v in span.attributes.items() if k not in names}
    missing = 0
    for key, value in names.items():
        try:
            attributes[key.removesuffix(ENDING)] = _load_content(store, value)
        except KeyError:
            attributes[key] = value
            missing += 1
    if missing:
        losses: dict[str, Any] = dict(attributes.get(s.LOSSES) or {})
        attributes[s.LOSSES] = {**losses, "missing_content": missing}
    return msgspec.structs.replace(span, attributes=attributes)


def _find_references(span: Span) -> list[tuple[str, Json]]:
    return [
        (key, value)
        for key, value in span.attributes.items()
        if key.endswith(ENDING) and key.removesuffix(ENDING) in s.CONTENT_ATTRIBUTES
    ]


def _load_content(store: ContentStore, names: Json) -> Json:
    if isinstance(names, (list, tuple)):
        return [store.get(str(name)) for name in names]
    return store.get(str(names))
