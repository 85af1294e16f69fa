"""Suggest the name that a misspelled one means.

`suggest_name` is the entry; its text is the part of an error that says what was expected.
"""

from __future__ import annotations

from collections.abc import Iterable


def find_nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that is nearest to another one; None if none is near.

    Args:
        name: The name that was found.
        known: The names that would do.
        cutoff: Least likeness, 0 to 1.
    """
    import difflib  # slow to import, and needed only for an error

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return near[0] if near else None


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Return the nearest known name in quotes, or the list of all names."""
    names = sorted(known)
    near = find_nearest(name, names)
    return f"{near!r}" if near else f"one of {', '.join(names) or 'none'}"
