"""Turns YAML nodes into plain JSON values and keeps the line of each, so that errors can name it."""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

_MOST_NODES = 200_000
_DEEPEST = 50
_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("map", "seq", "str", "null", "bool", "int", "float", "timestamp", "merge", "value")
)
"""What PyYAML finds by itself; its guesses at scalars are not used."""
_NULL = re.compile(r"~|null|")
_BOOLEAN = re.compile(r"true|false")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_STEP = re.compile(r"[^.\[\]]+")


@dataclass
class Lines:
    """Where a value stands, and where each value inside it does."""

    line: int
    inside: dict[str, "Lines"] = field(default_factory=dict)

    def of(self, at: str) -> int:
        """The line of a place such as `questions[0].text`, or of what is nearest to it; steps it lacks are skipped."""
        here = self
        for step in _STEP.findall(at):
            here = here.inside.get(step, here)
        return here.line


class WrongNode(Exception):
    """A node that is no value of ours, and its line."""

    def __init__(self, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.line = node.start_mark.line + 1


class Reading:
    """Turns nodes into plain JSON values as YAML 1.2 means them, so that `on`, `no` and dates stay text."""

    def __init__(self) -> None:
        self._nodes = 0

    def value(self, node: yaml.Node, depth: int) -> tuple[Any, Lines]:
        """The value and its lines. Raises `WrongNode` where an alias refers to itself or multiplies without end."""
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise WrongNode(
                node, f"the document has more than {_MOST_NODES} values; aliases count each time"
            )
        if depth > _DEEPEST:
            raise WrongNode(node, f"is nested more than {_DEEPEST} levels deep")
        if node.tag not in _TAGS:
            raise WrongNode(node, f"the tag {node.tag} is not supported")
        lines = Lines(node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node), lines
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, child in enumerate(node.value):
                item, lines.inside[str(index)] = self.value(child, depth + 1)
                items.append(item)
            return items, lines
        return self._mapping(node, lines, depth), lines

    def _mapping(self, node: yaml.Node, lines: Lines, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, child in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise WrongNode(key_node, "a key must be text")
            key = key_node.value
            if key in mapping:
                raise WrongNode(
                    key_node, f"{key} stands twice, first on line {lines.inside[key].line}"
                )
            mapping[key], found = self.value(child, depth + 1)
            lines.inside[key] = Lines(key_node.start_mark.line + 1, found.inside)
        return mapping


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style in ("'", '"', "|", ">"):
        return text
    if _NULL.fullmatch(text):
        return None
    if _BOOLEAN.fullmatch(text):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and abs(float(text)) != float("inf"):
        return float(text)
    return text
