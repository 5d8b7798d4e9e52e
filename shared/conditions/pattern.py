"""Regular expressions whose cost is bounded: a set of states walks the text once, nothing backtracks.

Python's own `re` takes exponential time for `(a+)+$`. Here a pattern becomes a position automaton
(Glushkov's construction): time is proportional to the text's length, whatever the pattern. The grammar is the
common core of regular expressions, and means what it means in `re.search` except that `$` is the very end.
"""

import re
from dataclasses import dataclass
from typing import Final

from shared.conditions.pattern_syntax import Atom, Either, Join, Node, PatternError, Repeat, parse

MAX_TEXT_CHARS: Final = 2_000
MAX_PROBES: Final = 64
_MAX_CHARS_REMEMBERED = 4_096
_BYTE = 255


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a part of the pattern may begin and end, as bit sets of positions."""

    nullable: bool
    first: int
    last: int


_EMPTY = _Span(True, 0, 0)


class Pattern:
    """A compiled pattern; `search` is pure and takes time linear in the text.

    Raises `PatternError` for what is not in the grammar or needs too many positions.
    """

    def __init__(self, text: str) -> None:
        tree, ignore_case = parse(text)
        self._atoms: list[str] = []
        self._follow: list[int] = []
        whole = self._build(tree)
        self.size = len(self._atoms)
        self._nullable, self._first, self._last = whole.nullable, whole.first, whole.last
        self._begin, self._end = self._places("^"), self._places("$")
        self._tables = _tables(self._follow)
        plain = {atom for atom in self._atoms if _is_literal(atom, ignore_case)}
        probed = sorted(set(self._atoms) - plain - {"^", "$"})
        if len(probed) > MAX_PROBES:
            raise PatternError(
                f"a pattern with {len(probed)} different classes, or letters of either case",
                f"at most {MAX_PROBES}",
            )
        flags = re.IGNORECASE if ignore_case else 0
        self._literals = {atom: self._places(atom) for atom in plain}
        self._probes = [(re.compile(atom, flags).fullmatch, self._places(atom)) for atom in probed]
        self._masks: dict[str, int] = {}

    def search(self, text: str) -> bool:
        """Say whether the pattern occurs anywhere in `text`."""
        if self._nullable:
            return True
        first, last, tables, masks = self._first, self._last, self._tables, self._masks
        active = self._anchored(first, self._begin)
        if active & last:
            return True
        for char in text:
            mask = masks.get(char)
            if mask is None:
                mask = self._mask(char)
            reach = first
            if active:
                for table in tables:
                    reach |= table[active & _BYTE]
                    active >>= 8
            active = reach & mask
            if active & last:
                return True
        return bool(self._anchored(first | self._after(active), self._end) & last)

    def _build(self, node: Node) -> _Span:
        match node:
            case Atom(text):
                self._atoms.append(text)
                self._follow.append(0)
                bit = 1 << (len(self._atoms) - 1)
                return _Span(False, bit, bit)
            case Join(parts):
                return self._join([self._build(part) for part in parts])
            case Either(parts):
                return _either([self._build(part) for part in parts])
            case Repeat(part, low, None):
                copies = [self._build(part) for _ in range(max(low, 1))]
                self._link(copies[-1].last, copies[-1].first)
                return self._join(copies) if low else _either([copies[0], _EMPTY])
            case Repeat(part, low, high):
                copies = [self._build(part) for _ in range(high or 0)]
                optional = [_either([copy, _EMPTY]) for copy in copies[low:]]
                return self._join(copies[:low] + optional)

    def _join(self, spans: list[_Span]) -> _Span:
        whole = _EMPTY
        for span in spans:
            self._link(whole.last, span.first)
            whole = _Span(
                whole.nullable and span.nullable,
                whole.first | span.first if whole.nullable else whole.first,
                whole.last | span.last if span.nullable else span.last,
            )
        return whole

    def _link(self, sources: int, targets: int) -> None:
        while sources:
            low = sources & -sources
            self._follow[low.bit_length() - 1] |= targets
            sources ^= low

    def _places(self, atom: str) -> int:
        return sum(1 << place for place, each in enumerate(self._atoms) if each == atom)

    def _after(self, active: int) -> int:
        reach = 0
        for table in self._tables:
            reach |= table[active & _BYTE]
            active >>= 8
        return reach

    def _anchored(self, reach: int, anchors: int) -> int:
        # Anchors consume nothing, so one that follows another holds at the same place.
        active, grown = 0, reach & anchors
        while grown != active:
            active, grown = grown, grown | (self._after(grown) & anchors)
        return active

    def _mask(self, char: str) -> int:
        mask = self._literals.get(char, 0)
        for probe, places in self._probes:
            if probe(char):
                mask |= places
        if len(self._masks) >= _MAX_CHARS_REMEMBERED:
            self._masks.clear()
        self._masks[char] = mask
        return mask


def _either(spans: list[_Span]) -> _Span:
    first = last = 0
    for span in spans:
        first, last = first | span.first, last | span.last
    return _Span(any(span.nullable for span in spans), first, last)


def _is_literal(atom: str, ignore_case: bool) -> bool:
    """Say whether the atom matches exactly the character that it is."""
    return (
        len(atom) == 1
        and atom not in ".^$"
        and not (ignore_case and (atom.lower() != atom or atom.upper() != atom))
    )


def _tables(follow: list[int]) -> list[list[int]]:
    """For each eight positions: what may follow, by which of the eight are active."""
    tables = []
    for start in range(0, len(follow), 8):
        eight = follow[start : start + 8]
        table = [0] * (1 << len(eight))
        for active in range(1, len(table)):
            low = active & -active
            table[active] = table[active ^ low] | eight[low.bit_length() - 1]
        tables.append(table)
    return tables
