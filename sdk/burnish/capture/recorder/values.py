"""Convert values from users and other libraries to the types of events.

A value is converted if its meaning is clear (a UUID as an id, 1 as True from a database, a numpy
number) and refused otherwise: `True` for "yes" would be a guess, and a guessed label is worse than
none.
"""

from __future__ import annotations

import decimal
import enum
import fractions
import math
import operator
import uuid
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")
_TEXT_LENGTH = 80
_LARGEST = 2**63 - 1
_TEXT = "a text"
_PLAIN = frozenset({str, int, float, bool})


class WrongValue(ValueError):
    """A value that cannot be converted to the requested type.

    Args:
        value: The given value.
        expected: The accepted values.
    """

    def __init__(self, value: Any, expected: str) -> None:
        self.found, self.expected = shown(value), expected
        super().__init__(f"{self.found}; expected {expected}")


def shown(value: Any) -> str:
    """Format a value as a short text for a message."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the object's own code
        text = "<no repr>"
    short = text if len(text) <= _TEXT_LENGTH else f"{text[:_TEXT_LENGTH]}..."
    return f"{short} ({type(value).__name__})"


def read_text(value: Any, expected: str = _TEXT) -> str:
    """Read a text, or the text of an id: an integer, a UUID, a member of an enumeration.

    Raises:
        WrongValue: If it is anything else.
    """
    kind = type(value)
    if kind is str:
        return value
    if isinstance(value, enum.Enum):
        return read_text(value.value, expected)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    number = _exact_integer(value)
    if number is None or number.bit_length() > 1024:
        raise WrongValue(value, expected)
    return str(number)


def text_of_value(value: Any) -> str:
    """Return the text of any value that a framework uses as an id; the default is its `str`."""
    try:
        return read_text(value)
    except WrongValue:
        try:
            return str.__str__(str(value))
        except Exception:  # noqa: BLE001 - the object's own code
            return shown(value)


def read_flag(value: Any, expected: str = "True or False") -> bool:
    """Read a truth value: a bool, also numpy's, or the integer 0 or 1.

    Raises:
        WrongValue: If it is anything else.
    """
    plain = _unbox_scalar(value)
    if type(plain) is bool:
        return plain
    number = _exact_integer(plain)
    if number not in (0, 1):
        raise WrongValue(value, expected)
    return bool(number)


def read_number(value: Any, expected: str = "a finite number") -> float:
    """Read a finite number of any numeric type; a bool is not a number.

    Raises:
        WrongValue: If it is anything else.
    """
    plain = _unbox_scalar(value)
    if isinstance(plain, (int, float, decimal.Decimal, fractions.Fraction)) and not isinstance(
        plain, bool
    ):
        try:
            number = float(plain)
        except (OverflowError, ValueError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise WrongValue(value, expected)


def read_integer(
    value: Any, expected: str = "an integer", *, least: int = -_LARGEST, most: int = _LARGEST
) -> int:
    """Read an integer within bounds, also one written in decimal digits.

    Raises:
        WrongValue: If it is anything else.
    """
    number = _exact_integer(value)
    if number is None and isinstance(value, str) and value.isascii() and value.isdigit():
        number = int(value) if len(value) < 20 else None
    if number is None or not least <= number <= most:
        raise WrongValue(value, expected)
    return number


def read_texts(value: Any, expected: str = "a list of texts") -> list[str]:
    """Read a list of texts; a single text is a list of one.

    Raises:
        WrongValue: If it is not a list, or an item is not a text.
    """
    if isinstance(value, (str, enum.Enum)):
        return [read_text(value)]
    if not isinstance(value, Iterable) or isinstance(value, (bytes, bytearray, dict)):
        raise WrongValue(value, expected)
    try:
        return [read_text(item) for item in value]
    except WrongValue:
        raise
    except Exception as problem:
        raise WrongValue(value, expected) from problem


def optional(read: Callable[..., _T], value: Any, *expected: str) -> _T | None:
    """Read a value that may be None."""
    return None if value is None else read(value, *expected)


def _unbox_scalar(value: Any) -> Any:
    """Return the Python value of a scalar of numpy or a tensor library."""
    if type(value) in _PLAIN:
        return value
    try:
        boxed = hasattr(value, "dtype") and getattr(value, "shape", None) in ((), None)
        return value.item() if boxed else value
    except Exception:  # noqa: BLE001 - the object's own code
        return value


def _exact_integer(value: Any) -> int | None:
    plain = _unbox_scalar(value)
    if isinstance(plain, (bool, str)):
        return None
    try:
        return int(operator.index(plain))
    except Exception:  # noqa: BLE001 - not an integer, or an error of the object's own code
        return None
