"""Which texts and numbers may come in: what CloudEvents allows, and what every reader behind us can hold."""

import re
from typing import Any, Final

MAX_NESTING: Final = 32
"""Deeper than any transaction, and far from the recursion limit of every reader."""

_LARGEST: Final = 10**38
"""Integers beyond it (39 digits) do not fit the numbers that databases and readers compute with."""

_NEVER = re.compile(
    "[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff"
    + "".join(
        f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(1, 17)
    )
    + "]"
)


_KINDS = bytes(
    ord("0")
    if c in b"0123456789"
    else ord("e")
    if c in b"eE"
    else ord("{")
    if c in b"{["
    else ord(" ")
    for c in range(256)
)
"""Digits, the e of exponents and what opens a level, each as one byte, and all else as spaces."""

_SIGNS = b"+-"
_TOO_MANY_DIGITS = b"0" * len(str(_LARGEST))


def allowed(text: str) -> bool:
    """Whether a text may name something: no control character and no noncharacter, as CloudEvents has it."""
    return text.isprintable() or _NEVER.search(text) is None


def fits(value: Any, nesting: int = MAX_NESTING) -> bool:
    """Whether every number and the nesting of a JSON object or list can be held; made for the hot path."""
    for each in value.values() if value.__class__ is dict else value:
        kind = each.__class__
        if kind is str:  # most are
            continue
        if kind is dict or kind is list:
            if nesting <= 1 or not fits(each, nesting - 1):
                return False
        elif kind is int and not -_LARGEST < each < _LARGEST:
            return False
    return True


def surely_fits(data: bytes) -> bool:
    """Whether a look at its bytes is enough to say of JSON that it is an object and fits; made for the hot path too.

    False says nothing: what looks like too many digits, too large an exponent or too deep may stand in a text.
    """
    kinds = data.translate(_KINDS, _SIGNS)
    return (
        data[0] == ord("{")
        and kinds.count(b"{") <= MAX_NESTING
        # `in` would cost twice as much: it asks first whether the pattern is a number.
        and kinds.find(_TOO_MANY_DIGITS) < 0
        and kinds.find(b"0e000") < 0
    )


def trouble(value: Any, at: str, nesting: int = MAX_NESTING) -> tuple[str, str, str] | None:
    """The first place that cannot be held (numbers, nesting, NUL), what is wrong with it and what would be right."""
    return _trouble(value, at, nesting, nesting)


def _trouble(value: Any, at: str, left: int, nesting: int) -> tuple[str, str, str] | None:
    if isinstance(value, str):
        return (
            (at, "contains the NUL character", "text without \\u0000") if "\x00" in value else None
        )
    if isinstance(value, int):
        large = not -_LARGEST < value < _LARGEST
        return (
            (at, "is too large a number", "at most 38 digits; longer ones as text")
            if large
            else None
        )
    if not isinstance(value, dict | list):
        return None
    if left == 0:
        return at, "is nested too deep", f"at most {nesting} levels"
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in items:
        if isinstance(key, str) and "\x00" in key:
            return at, "has a key with the NUL character", "keys without \\u0000"
        place = f"{at}[{key}]" if isinstance(key, int) else f"{at}.{key[:60]}"
        if found := _trouble(each, place, left - 1, nesting):
            return found
    return None
