r"""The grammar of patterns, read into a tree of four kinds of node.

Literals, `.`, `[a-z]`, `[^a-z]`, `\d \D \w \W \s \S`, `\n \r \t`, escaped punctuation, `^`, `$`, `( )`,
`(?: )`, `|`, `* + ? {2} {2,} {,3} {2,3}` (a lazy `?` after them changes nothing), and `(?i)` at the start.
Not in it: back-references, lookaround, `\b`, possessive quantifiers, named groups.
"""

import re
from dataclasses import dataclass
from typing import Final

MAX_PATTERN_CHARS: Final = 200
MAX_POSITIONS: Final = 200
_MAX_NESTING = 20

_ESCAPE = r"\\[dDwWsSnrt]|\\[^A-Za-z0-9]"
_ATOM = re.compile(rf"{_ESCAPE}|[^\\\[(){{*+?|]")
_CLASS = re.compile(rf"\[\^?(?:{_ESCAPE}|[^\\\[\]])+\]")
_AMBIGUOUS_IN_CLASS = re.compile(r"--|&&|~~|\|\|")
_COUNT = re.compile(r"\{(?:([0-9]{1,3})|([0-9]{0,3}),([0-9]{0,3}))\}")
_NO_BOUNDARY = r"(^|\W)word(\W|$) for a whole word"


class PatternError(ValueError):
    """What is wrong with a pattern, and what would be right."""

    def __init__(self, message: str, expected: str) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Atom:
    """One character, by a text that `re` reads as one character; or an anchor, `^` or `$`."""

    text: str


@dataclass(frozen=True, slots=True)
class Join:
    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Either:
    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Repeat:
    part: "Node"
    low: int
    high: int | None


Node = Atom | Join | Either | Repeat


def parse(text: str) -> tuple[Node, bool]:
    """Return the tree and whether case is ignored; raises `PatternError`."""
    if len(text) > MAX_PATTERN_CHARS:
        raise PatternError(
            f"a pattern of {len(text)} characters", f"at most {MAX_PATTERN_CHARS} characters"
        )
    ignore_case = text.startswith("(?i)")
    reading = _Reading(text, 4 if ignore_case else 0)
    tree = reading.either(0)
    if reading.at < len(text):
        raise reading.wrong("a ) that closes nothing", r"a ( before it, or \) for the character")
    positions = _positions(tree)
    if positions > MAX_POSITIONS:
        raise PatternError(
            f"a pattern of {positions} positions once its counts are written out",
            f"at most {MAX_POSITIONS}: smaller counts in {{m,n}}",
        )
    return tree, ignore_case


def _positions(node: Node) -> int:
    match node:
        case Atom():
            return 1
        case Join(parts) | Either(parts):
            # An empty group costs too: repeats of it, nested, would be copied without end.
            return max(1, sum(map(_positions, parts)))
        case Repeat(part, low, high):
            return _positions(part) * (max(low, 1) if high is None else high)


class _Reading:
    """A place in the text; each method reads one kind of phrase from there on."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at

    def wrong(self, message: str, expected: str) -> PatternError:
        return PatternError(f"{message}, at character {self.at + 1} of the pattern", expected)

    def either(self, nesting: int) -> Node:
        branches = [self.join(nesting)]
        while self.text.startswith("|", self.at):
            self.at += 1
            branches.append(self.join(nesting))
        return branches[0] if len(branches) == 1 else Either(tuple(branches))

    def join(self, nesting: int) -> Node:
        parts: list[Node] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            parts.append(self.repeat(self.one(nesting)))
        return Join(tuple(parts))

    def one(self, nesting: int) -> Node:
        char = self.text[self.at]
        if char == "(":
            return self.group(nesting + 1)
        if char == "[":
            return self.char_class()
        if found := _ATOM.match(self.text, self.at):
            self.at = found.end()
            return Atom(found[0])
        if char == "\\":
            raise self.wrong(
                f"{self.text[self.at : self.at + 2]} is not in the grammar",
                rf"\d \w \s and their capitals, \n \r \t, escaped punctuation; {_NO_BOUNDARY}",
            )
        raise self.wrong(f"{char} with nothing to repeat", f"\\{char} for the character itself")

    def group(self, nesting: int) -> Node:
        if nesting > _MAX_NESTING:
            raise self.wrong("groups nested too deep", f"at most {_MAX_NESTING} levels")
        start = self.at
        self.at += 3 if self.text.startswith("(?:", start) else 1
        if self.text.startswith("?", self.at):
            raise self.wrong(
                "a (? group that is not in the grammar",
                "(?: ), or (?i) at the start; there is no lookaround and no named group",
            )
        inner = self.either(nesting)
        if not self.text.startswith(")", self.at):
            self.at = start
            raise self.wrong("a ( that is not closed", r"a ) after it, or \( for the character")
        self.at += 1
        return inner

    def char_class(self) -> Node:
        found = _CLASS.match(self.text, self.at)
        if found is None or _AMBIGUOUS_IN_CLASS.search(found[0]):
            raise self.wrong(
                "a [ ] class that cannot be read",
                r"[a-z0-9_]; inside it \[ \] \\ and doubled - & ~ | are escaped",
            )
        try:
            re.compile(found[0])
        except re.error as error:
            raise self.wrong(f"a [ ] class with a {error.msg}", "ranges such as a-z") from error
        self.at = found.end()
        return Atom(found[0])

    def repeat(self, part: Node) -> Node:
        low, high = self.bounds()
        if (low, high) == (1, 1):
            return part
        if part in (Atom("^"), Atom("$")):
            raise self.wrong("an anchor that is repeated", "^ and $ once")
        if high is not None and high < low:
            raise self.wrong(f"a count {{{low},{high}}} that is backwards", f"{{{high},{low}}}")
        if self.text.startswith("?", self.at):
            self.at += 1
        if self.at < len(self.text) and self.text[self.at] in "*+?{":
            raise self.wrong("two quantifiers in a row", "one; (?:a+)+ to repeat a repetition")
        return Repeat(part, low, high)

    def bounds(self) -> tuple[int, int | None]:
        char = self.text[self.at : self.at + 1]
        if char and char in "*+?":
            self.at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        if char != "{":
            return 1, 1
        found = _COUNT.match(self.text, self.at)
        if found is None or found[0] == "{,}":
            raise self.wrong("a { that starts no count", r"{2} or {2,5}, or \{ for the character")
        self.at = found.end()
        exact, low, high = found.groups()
        if exact is not None:
            return int(exact), int(exact)
        return int(low or 0), int(high) if high else None
