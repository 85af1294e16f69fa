"""Verifier `dom_assert`: check assertions on the recorded HTML page.

`dom_assert()` builds the verifier. It supports a small part of CSS selectors and needs no browser:
the page is what the environment recorded as the final state.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, cast

from burnish.errors import VerificationError
from burnish.journal.events import canonical
from burnish.origins import UNTRUSTED_STATE, may_state_decide
from burnish.protocols import VerifierTraits
from burnish.records import Json, Trajectory, Verdict
from burnish_exporters.verify.verdicts import unknown

_VOID = {
    "area",
    "base",
    "br",
    "col",
    "embed",
    "hr",
    "img",
    "input",
    "link",
    "meta",
    "source",
    "wbr",
}
_SIMPLE = re.compile(
    r"""(?P<tag>^[a-zA-Z][\w-]*|^\*)|\#(?P<id>[\w-]+)|\.(?P<cls>[\w-]+)
        |\[(?P<attr>[\w-]+)(?:=["']?(?P<value>[^"'\]]*)["']?)?\]""",
    re.VERBOSE,
)
_STEP = re.compile(
    r"""(?:\[[^\]\[]{0,256}\]|[^\s\[])+"""
)  # spaces inside brackets do not separate steps
_GROUP = re.compile(r"""(?:\[[^\]\[]{0,256}\]|[^,\[])+""")
_KEYS = {"selector", "text", "contains", "count", "absent", "attribute", "value"}


@dataclass(slots=True)
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text of the element and of everything inside it, with runs of spaces collapsed."""
        return " ".join("".join(self.texts).split())


@dataclass(frozen=True, kw_only=True)
class DomAssert:
    """Check assertions on the recorded page; see dom_assert()."""

    assertions: tuple[dict[str, Json], ...]
    key: str = "html"
    trust_received: tuple[str, ...] = ()
    name: str = "dom_assert"
    version: str = "1"
    traits = VerifierTraits()

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge the page at the end of the run."""
        state = trajectory.final_state
        page = state.get(self.key) if isinstance(state, dict) else state
        if not isinstance(page, str):
            return unknown(self, "no page was recorded")
        if not may_state_decide(trajectory, self.trust_received):
            return unknown(self, UNTRUSTED_STATE, trajectory.state_origin)
        elements = elements_of(page)
        broken = [one for one in self.assertions if not _assertion_holds(one, elements)]
        label = "fail" if broken else "success"
        evidence = {"broken": broken} if broken else {"held": len(self.assertions)}
        return Verdict(label=label, verifier=self.name, version=self.version, evidence=evidence)


def dom_assert(
    assertions: Sequence[dict[str, Json]],
    *,
    key: str = "html",
    trust_received: Sequence[str] = (),
    name: str = "dom_assert",
) -> DomAssert:
    """Check assertions on the recorded HTML page.

    Args:
        assertions: All must hold. Each has a `selector` (tag, #id, .class, [attribute=value],
            descendants) and any of `text` (exactly), `contains`, `count`, `absent: true`,
            `attribute` with `value`. With none of them an element must exist.
        key: Key of the page in the final state; a final state that is a text is the page itself.
        trust_received: With "state", received and imported pages decide too.
        name: Name under which verdicts are stored.

    Raises:
        VerificationError: If an assertion has no selector, an unsupported selector, an unknown key
            or a value of a wrong type.
    """
    for one in assertions:
        if not isinstance(cast("object", one), dict) or "selector" not in one or one.keys() - _KEYS:
            raise VerificationError(
                f"assertion {one!r}", f"a selector, and only keys of {sorted(_KEYS)}"
            )
        _refuse_wrong(one)
    digest = hashlib.sha256(canonical(list(assertions))).hexdigest()[:8]
    return DomAssert(
        assertions=tuple(assertions),
        key=key,
        trust_received=tuple(sorted(trust_received)),
        name=name,
        version=f"2.{digest}",
    )


def _refuse_wrong(one: dict[str, Any]) -> None:
    """Refuse an assertion whose result would not depend on the page."""
    kinds = {
        "selector": str, "text": str, "contains": str, "attribute": str, "value": str,
        "count": int, "absent": bool,
    }  # fmt: skip
    for key, value in one.items():
        if not isinstance(value, kinds[key]) or (key == "count" and isinstance(value, bool)):
            raise VerificationError(
                f"assertion {one!r}: {key} is {value!r}", f"{key} as {kinds[key].__name__}"
            )
    steps = [step for group in _GROUP.findall(one["selector"]) for step in _STEP.findall(group)]
    if not steps or any(_SIMPLE.sub("", step) for step in steps):
        raise VerificationError(
            f"assertion {one!r}: the selector is not supported",
            "tag, #id, .class, [attribute=value] and descendants",
            '{ selector = "form .error", count = 0 }',
        )
    if ("value" in one) != ("attribute" in one):
        raise VerificationError(f"assertion {one!r}", "attribute and value together")


def elements_of(page: str) -> list[Element]:
    """Return all elements of a page, in document order."""
    parser = _Parser()
    parser.feed(page)
    parser.close()
    return parser.elements


def select(selector: str, elements: Sequence[Element]) -> list[Element]:
    """Return the elements that match a selector."""
    groups = [_STEP.findall(group) for group in _GROUP.findall(selector)]
    return [e for e in elements if any(_matches_selector(e, steps) for steps in groups)]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        parent = self._open[-1] if self._open else None
        element = Element(tag, {name: value or "" for name, value in attrs}, parent)
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        for place in range(len(self._open) - 1, -1, -1):
            if self._open[place].tag == tag:
                del self._open[place:]
                return

    def handle_data(self, data: str) -> None:
        if not any(element.tag in ("script", "style") for element in self._open):
            for element in self._open:
                element.texts.append(data)


def _matches_selector(element: Element, steps: list[str]) -> bool:
    """Return whether an element matches the last step and its ancestors, in order, match the other steps."""
    if not steps or not _fits_step(element, steps[-1]):
        return False
    above, rest = element.parent, steps[:-1]
    while above is not None and rest:
        if _fits_step(above, rest[-1]):
            rest = rest[:-1]
        above = above.parent
    return not rest


def _fits_step(element: Element, step: str) -> bool:
    return all(_fits_simple(element, found) for found in _SIMPLE.finditer(step))


def _fits_simple(element: Element, found: re.Match[str]) -> bool:
    if found["tag"]:
        return found["tag"] in ("*", element.tag)
    if found["id"]:
        return element.attributes.get("id") == found["id"]
    if found["cls"]:
        return found["cls"] in element.attributes.get("class", "").split()
    value = element.attributes.get(found["attr"])
    return value is not None and found["value"] in (None, value)


def _assertion_holds(one: dict[str, Any], elements: Sequence[Element]) -> bool:
    found = select(str(one["selector"]), elements)
    checks: dict[str, Callable[[Any], bool]] = {
        "absent": lambda wanted: bool(found) != wanted,
        "count": lambda wanted: len(found) == wanted,
        "text": lambda wanted: any(element.text == wanted for element in found),
        "contains": lambda wanted: any(wanted in element.text for element in found),
        "value": lambda wanted: any(e.attributes.get(one["attribute"]) == wanted for e in found),
    }
    asked = [(checks[key], wanted) for key, wanted in one.items() if key in checks]
    return all(check(wanted) for check, wanted in asked) if asked else bool(found)
