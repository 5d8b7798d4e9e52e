"""Reads a condition as written in YAML or JSON, and says everything that is wrong with it at once."""

from collections.abc import Set
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

from shared.conditions.evaluate import AllOf, AnyOf, Condition, Leaf, Node, Not
from shared.conditions.operators import OPERATORS
from shared.conditions.paths import Path, parse_path
from shared.conditions.problems import ConditionError, Problem, cut, kind_of

MAX_DEPTH: Final = 8
MAX_NODES: Final = 200
MAX_PATTERN_COST: Final = 400

_WORDS = ("all", "any", "not")
_SHAPE = "{path: data.amount, gt: 0}, or an object with all, any or not"


def parse(document: object, *, roots: Set[str], at: str = "when") -> Condition:
    """Compile a condition whose paths start with one of `roots`; `at` is where the document stands.

    Raises `ConditionError` with every problem found, and nothing else for any JSON or YAML value.
    """
    reading = _Reading(frozenset(roots))
    tree = reading.node(document, at, 1)
    if reading.cost > MAX_PATTERN_COST:
        reading.wrong(
            at, f"patterns of {reading.cost} positions in all", f"at most {MAX_PATTERN_COST}"
        )
    if tree is None or reading.problems:
        raise ConditionError(reading.problems)
    return Condition.of(tree)


class _Reading:
    """What one pass over a document has met so far; each method returns None after noting a problem."""

    def __init__(self, roots: frozenset[str]) -> None:
        self.roots = roots
        self.problems: list[Problem] = []
        self.nodes = 0
        self.cost = 0

    def wrong(self, at: str, message: str, expected: str) -> None:
        self.problems.append(Problem(at, message, expected))

    def node(self, document: object, at: str, depth: int) -> Node | None:
        self.nodes += 1
        if self.nodes == MAX_NODES + 1:
            self.wrong(at, f"more than {MAX_NODES} nodes in one condition", f"at most {MAX_NODES}")
        if self.nodes > MAX_NODES:
            return None
        if depth > MAX_DEPTH:
            self.wrong(at, "nested too deep", f"at most {MAX_DEPTH} levels")
            return None
        if not isinstance(document, dict):
            self.wrong(at, f"a condition is an object, not {kind_of(document)}", _SHAPE)
            return None
        words = [word for word in _WORDS if word in document]
        if not words:
            return self.leaf(document, at)
        if len(document) > 1:
            others = ", ".join(_key(key) for key in list(document)[:5] if key != words[0])
            self.wrong(
                at, f"{words[0]} stands beside {others}", f"{words[0]} alone, the rest inside it"
            )
        nodes = [self.group(word, document[word], f"{at}.{word}", depth) for word in words]
        return nodes[0]

    def group(self, word: str, body: object, at: str, depth: int) -> Node | None:
        if word == "not":
            term = self.node(body, at, depth + 1)
            return None if term is None else Not(term)
        if not isinstance(body, list) or not body:
            found = "an empty list" if body == [] else kind_of(body)
            self.wrong(at, f"{word} takes a list of conditions, not {found}", f"[{_SHAPE}, ...]")
            return None
        terms: list[Node] = []
        for index, each in enumerate(body[: MAX_NODES + 1]):
            term = self.node(each, f"{at}[{index}]", depth + 1)
            if term is not None:
                terms.append(term)
        return AllOf(tuple(terms)) if word == "all" else AnyOf(tuple(terms))

    def leaf(self, document: dict[object, object], at: str) -> Node | None:
        path = self.path(document, at)
        operators = [key for key in document if key != "path"]
        if len(operators) != 1:
            listed = ", ".join(_key(key) for key in operators[:5])
            self.wrong(
                at,
                f"{len(operators)} operators: {listed}" if operators else "no operator",
                "exactly one; all combines several" if operators else f"one of {_operators()}",
            )
        leaves = [self.operator(key, document[key], path, at) for key in operators[:MAX_NODES]]
        return leaves[0] if leaves else None

    def path(self, document: dict[object, object], at: str) -> Path:
        if "path" not in document:
            self.wrong(at, "no path", _SHAPE)
            return ()
        try:
            return parse_path(document["path"], self.roots, at=f"{at}.path")
        except ConditionError as error:
            self.problems += error.problems
            return ()

    def operator(self, key: object, literal: object, path: Path, at: str) -> Leaf | None:
        at = f"{at}.{_key(key)}"
        if not isinstance(key, str) or key not in OPERATORS:
            close = get_close_matches(_key(key), OPERATORS, n=1, cutoff=0.8)
            self.wrong(
                at, "no such operator", f"{close[0]}?" if close else f"one of {_operators()}"
            )
            return None
        try:
            check = OPERATORS[key].build(literal)
        except ConditionError as error:
            self.problems += [replace(each, at=at + each.at) for each in error.problems]
            return None
        self.cost += check.cost
        return Leaf(path, key, list(literal) if isinstance(literal, list) else literal, check)


def _key(key: object) -> str:
    return cut(key, 40) if isinstance(key, str) else f"({kind_of(key)})"


def _operators() -> str:
    return ", ".join(OPERATORS)
