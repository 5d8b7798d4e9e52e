"""A parsed condition: compiled once to closures that answer, and walked as a tree to explain the answer."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from shared.conditions.operators import Check, Test
from shared.conditions.paths import MISSING, Path, read
from shared.conditions.problems import cut, kind_of

SHOWN_CHARS: Final = 200
_SHOWN_ITEMS = 20
_SHOWN_ITEM_CHARS = 40

Facts = Mapping[str, object]
Matches = Callable[[Facts], bool | None]


@dataclass(frozen=True, slots=True)
class Leaf:
    path: Path
    operator: str
    literal: object
    check: Check


@dataclass(frozen=True, slots=True)
class AllOf:
    terms: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    terms: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    term: "Node"


Node = Leaf | AllOf | AnyOf | Not


@dataclass(frozen=True, slots=True)
class Explanation:
    """How an answer came about; None is unknown.

    `tree` has the condition's shape and is plain JSON: each node says its `result` (true, false or unknown), each
    leaf also the path, the operator, the literal, the value seen and, when unknown, the reason. `unknown` lists
    the reasons alone.
    """

    result: bool | None
    tree: dict[str, object]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition ready to be asked, any number of times and from any thread.

    `matches(facts)` answers True, False or None for unknown; only True is a match. Two conditions are equal
    when their documents are equal as JSON text, where 1 and true differ.
    """

    document: dict[str, object] = field(compare=False)
    paths: frozenset[str] = field(compare=False)
    roots: frozenset[str] = field(compare=False)
    """What the paths start with: nothing else of the facts is looked at."""
    _text: str = field(repr=False)
    matches: Matches = field(repr=False, compare=False)
    _tree: Node = field(repr=False, compare=False)

    @classmethod
    def of(cls, tree: Node) -> "Condition":
        """Compile a tree that the parser has checked."""
        document = _document(tree)
        paths = frozenset(_paths(tree))
        roots = frozenset(path.partition(".")[0] for path in paths)
        return cls(document, paths, roots, json.dumps(document), _compiled(tree), tree)

    def explain(self, facts: Facts) -> Explanation:
        """Evaluate every leaf, without the short cuts of `matches`; the result is the same."""
        reasons: list[str] = []
        result, tree = _explained(self._tree, facts, reasons)
        return Explanation(result, tree, tuple(dict.fromkeys(reasons)))


def _document(node: Node) -> dict[str, object]:
    match node:
        case Leaf(path, operator, literal, _):
            return {"path": ".".join(path), operator: literal}
        case AllOf(terms):
            return {"all": [_document(term) for term in terms]}
        case AnyOf(terms):
            return {"any": [_document(term) for term in terms]}
        case Not(term):
            return {"not": _document(term)}


def _paths(node: Node) -> Iterator[str]:
    match node:
        case Leaf(path):
            yield ".".join(path)
        case AllOf(terms) | AnyOf(terms):
            for term in terms:
                yield from _paths(term)
        case Not(term):
            yield from _paths(term)


def _compiled(node: Node) -> Matches:
    match node:
        case Leaf(path, _, _, check):
            return _leaf(path, check.test)
        case AllOf(terms):
            return _all(tuple(map(_compiled, terms)))
        case AnyOf(terms):
            return _any(tuple(map(_compiled, terms)))
        case Not(term):
            return _not(_compiled(term))


def _leaf(path: Path, test: Test) -> Matches:
    if len(path) != 2:
        return lambda facts: test(read(facts, path))
    root, key = path

    def matches(facts: Facts) -> bool | None:
        try:
            value = facts[root][key]  # type: ignore[index]  # what cannot be indexed is caught
        except (KeyError, TypeError):
            value = read(facts, path)
        return test(value)

    return matches


def _all(terms: tuple[Matches, ...]) -> Matches:
    def matches(facts: Facts) -> bool | None:
        result: bool | None = True
        for term in terms:
            answer = term(facts)
            if answer is False:
                return False
            if answer is None:
                result = None
        return result

    return matches


def _any(terms: tuple[Matches, ...]) -> Matches:
    def matches(facts: Facts) -> bool | None:
        result: bool | None = False
        for term in terms:
            answer = term(facts)
            if answer is True:
                return True
            if answer is None:
                result = None
        return result

    return matches


def _not(term: Matches) -> Matches:
    def matches(facts: Facts) -> bool | None:
        answer = term(facts)
        return None if answer is None else not answer

    return matches


def _explained(
    node: Node, facts: Facts, reasons: list[str]
) -> tuple[bool | None, dict[str, object]]:
    match node:
        case Leaf():
            return _explained_leaf(node, facts, reasons)
        case Not(term):
            answer, tree = _explained(term, facts, reasons)
            result = None if answer is None else not answer
            return result, {"result": _word(result), "not": tree}
        case AllOf(terms) | AnyOf(terms):
            explained = [_explained(term, facts, reasons) for term in terms]
            answers = [answer for answer, _ in explained]
            decisive = isinstance(node, AnyOf)
            undecided = None if None in answers else not decisive
            result = decisive if decisive in answers else undecided
            word = "any" if decisive else "all"
            return result, {"result": _word(result), word: [tree for _, tree in explained]}


def _explained_leaf(
    leaf: Leaf, facts: Facts, reasons: list[str]
) -> tuple[bool | None, dict[str, object]]:
    value = read(facts, leaf.path)
    result = leaf.check.test(value)
    path = ".".join(leaf.path)
    tree: dict[str, object] = {
        "result": _word(result),
        "path": path,
        "operator": leaf.operator,
        "literal": _shown(leaf.literal),
    }
    if value is not MISSING:
        tree["value"] = _shown(value)
    if result is None:
        reason = _reason(leaf.check, value)
        tree["reason"] = reason
        reasons.append(f"{path} is {reason}")
    return result, tree


def _reason(check: Check, value: object) -> str:
    if value is MISSING:
        return "missing"
    if value is None:
        return "missing: null"
    got = (
        f"string of {len(value)} characters"
        if isinstance(value, str) and len(value) > SHOWN_CHARS
        else ""
    )
    return f"mistyped: expected {check.judges}, got {got or kind_of(value)}"


def _word(result: bool | None) -> str:
    return "unknown" if result is None else str(result).lower()


def _shown(value: object) -> object:
    """Return a value small enough for a trace: scalars, short lists of scalars, else how large it is."""
    if isinstance(value, str):
        return cut(value, SHOWN_CHARS)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, list):
        if len(value) > _SHOWN_ITEMS or any(isinstance(item, list | dict) for item in value):
            return f"list of {len(value)} items"
        return [cut(item, _SHOWN_ITEM_CHARS) if isinstance(item, str) else item for item in value]
    if isinstance(value, Mapping):
        return f"object of {len(value)} fields"
    return value
