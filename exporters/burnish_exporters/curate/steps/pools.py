"""Refuse runs on tasks that are kept for measuring.

Tasks and requests are compared by hash, so that a recipe that names them does not reveal them.
Production runs carry no pool, so the words of their request are compared. A sketch, the hashes of
the words of a request, finds the same request with a word more or less.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Iterable

from burnish.records import Message, Trajectory
from burnish.trajectories.normal_form import COURTESIES, comparable_words
from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step
from burnish_exporters.rows.keys import text_of
from burnish_exporters.rows.row import Row

_SHARED_WORDS = 3  # fewer common words do not make two requests nearly the same
_NEAR = 0.8
_TRAINING_SOURCES = ("production", "rollout", "demonstration", "teacher")


def task_hash(task_id: str) -> str:
    """Hash a task id; 32 hex digits."""
    return hashlib.blake2b(task_id.encode("utf-8", "replace"), digest_size=16).hexdigest()


def request_hash(text: str) -> str:
    """Hash the normalised words of a request; 32 hex digits."""
    return task_hash(" ".join(comparable_words(text)))


def request_sketch(text: str) -> str:
    """Return the words of a request, each as a short hash; a word with a digit is marked by `#`."""
    return " ".join(map(_hash_word, comparable_words(text)))


def refuse_pools(refusals: Refusals, sources: Iterable[str] = _TRAINING_SOURCES) -> Step:
    """Drop runs of held-out pools, of refused tasks and requests, and of sources outside the training data.

    Args:
        refusals: Pools, tasks and requests; a run belongs to a pool by its metadata `pool` or its tag `pool:NAME`.
        sources: Sources that may be trained on; "evaluation" is not among them by default.
    """
    allowed = frozenset(sources)

    def check_refusals(item: Item) -> Keep | Drop:
        trajectory = item.trajectory
        pool = trajectory.metadata.get("pool")
        tagged = next((t[5:] for t in trajectory.tags if t.startswith("pool:")), pool)
        reason = refusals.of_pool(pool, tagged) or refusals.of_task(trajectory.task_id)
        if reason is None and trajectory.source not in allowed:
            reason = f"held out: source {trajectory.source}"
        if reason is None and refusals.looks_at_requests:
            reason = refusals.of_requests(requests_of(trajectory))
        return Drop(reason) if reason else KEEP

    return check_refusals


class Refusals:
    """The pools, tasks and requests that must never be trained on.

    Args:
        pools: Names of pools.
        refused: Hashes (`task_hash`) of refused tasks.
        requests: Hashes (`request_hash`) of refused requests.
        similar: Sketches (`request_sketch`) of refused requests.
    """

    def __init__(
        self,
        pools: Iterable[str],
        refused: Iterable[str] = (),
        requests: Iterable[str] = (),
        similar: Iterable[str] = (),
    ) -> None:
        self._pools, self._tasks = frozenset(pools), frozenset(refused)
        self._requests, self._sketches = frozenset(requests), RefusedSketches(similar)
        self.looks_at_requests = bool(self._requests or self._sketches)

    def of_pool(self, *names: object) -> str | None:
        """Return why a run of these pools is refused; None if it is not."""
        held = [name for name in names if isinstance(name, str) and name in self._pools]
        return f"held out: pool {held[-1]}" if held else None

    def of_task(self, task_id: str | None) -> str | None:
        """Return why a run at this task is refused; None if it is not."""
        held = bool(task_id and self._tasks) and task_hash(str(task_id)) in self._tasks
        return "held out: task" if held else None

    def of_requests(self, texts: Iterable[str]) -> str | None:
        """Return why a run with these requests is refused; None if it is not."""
        asked = [text for text in texts if text.strip()]
        if any(request_hash(text) in self._requests for text in asked):
            return "held out: request"
        near = any(map(self._sketches.is_near, asked))
        return "held out: nearly the same request" if near else None

    def of_row(self, row: Row) -> str | None:
        """Return why a row is refused that skipped the steps over runs; None if it is not."""
        pools = [tag[5:] for tag in row.kind_tags if tag.startswith("pool:")]
        texts = [text_of(message) for message in row.messages if message["role"] == "user"]
        return (
            self.of_pool(*pools)
            or self.of_task(row.task_id)
            or self.of_requests(["\n".join(texts), *texts])
        )


class RefusedSketches:
    """Sketches of refused requests, indexed by their words.

    Args:
        sketches: Sketches as `request_sketch` returns them.
    """

    def __init__(self, sketches: Iterable[str]) -> None:
        self._sketches = [_without_courtesies(Counter(sketch.split())) for sketch in sketches]
        self._by_word: dict[str, list[int]] = {}
        for place, words in enumerate(self._sketches):
            for word in words:
                self._by_word.setdefault(word, []).append(place)

    def __bool__(self) -> bool:
        return bool(self._sketches)

    def is_near(self, text: str) -> bool:
        """Report if the text is a refused request up to the order of words and a few words more or less.

        A word in place of another makes another request (another city, another name), and so does an additional
        number.
        """
        words = Counter(map(_hash_word, comparable_words(text)))
        words = _without_courtesies(words)
        shared: Counter[int] = Counter()
        for word in words:
            for place in self._by_word.get(word, ()):
                shared[place] += 1
        enough = min(_SHARED_WORDS, len(words))
        return any(_is_near(words, self._sketches[p]) for p, n in shared.items() if n >= enough)


def _is_near(words: Counter[str], refused: Counter[str]) -> bool:
    more, fewer = words - refused, refused - words
    if more and fewer:
        return False
    changed = more or fewer
    common, count = (words & refused).total(), changed.total()
    if any(word.startswith("#") for word in changed):
        return False
    if count == 0 or words.keys() == refused.keys():
        return True
    return common >= _SHARED_WORDS and (count == 1 or common / (common + count) >= _NEAR)


def _without_courtesies(words: Counter[str]) -> Counter[str]:
    return Counter({word: n for word, n in words.items() if word not in _courtesy_hashes()})


@functools.cache
def _courtesy_hashes() -> frozenset[str]:
    """Return the words of courtesy in their hashed form."""
    return frozenset(map(_hash_word, COURTESIES))


def _hash_word(word: str) -> str:
    mark = "#" if any(char.isdigit() for char in word) else ""
    return mark + hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=4).hexdigest()


def requests_of(trajectory: Trajectory) -> list[str]:
    """Return the user messages of the run: those of the first call as one text, then each message of any call."""
    found: dict[str, None] = {}
    seen: set[int] = set()
    for call in trajectory.model_calls:
        new = [m for m in call.messages if m.get("role") == "user" and id(m) not in seen]
        seen.update(map(id, new))
        texts = ["\n".join(_part_texts(message)) for message in new]
        if not found:
            found["\n".join(texts)] = None
        found.update(dict.fromkeys(texts))
    return list(found)


def _part_texts(message: Message) -> Iterable[str]:
    parts = message.get("parts") or ()
    contents = (part.get("content") for part in parts if isinstance(part, dict))
    return (content for content in contents if isinstance(content, str))
