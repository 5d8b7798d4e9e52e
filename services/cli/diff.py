"""Shows what applying would change: what is created, what becomes what, what goes."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from services.cli.plain import plain

_MISSING = object()
_SIGNS = {"create": ("+", "green"), "update": ("~", "yellow"), "delete": ("-", "red")}
_WORDS = {
    "create": "to create",
    "update": "to update",
    "delete": "to delete",
    "unchanged": "unchanged",
}
Pathed = tuple[str, str, str]
"""A path with its value before and after."""


def show_diff(console: Console, changes: Sequence[dict[str, Any]]) -> None:
    """A line per definition that changes, each changed value under it, and the counts."""
    for change in changes:
        if change["action"] not in _SIGNS:
            continue
        sign, style = _SIGNS[change["action"]]
        console.print(Text(f"{sign} {change['kind']} {change['id']}", style=style), soft_wrap=True)
        if change["action"] == "update":
            for line in _updated(change):
                console.print(Text(f"    {line}"), soft_wrap=True)
    counts = {action: sum(c["action"] == action for c in changes) for action in _WORDS}
    said = ", ".join(f"{count} {_WORDS[action]}" for action, count in counts.items() if count)
    console.print(f"{said or 'no definitions'}")


def _updated(change: dict[str, Any]) -> list[str]:
    before, after = change["before"], change["after"]
    beside = (before.get("state"), after.get("state")) == ("published", "draft")
    if beside:
        after = after | {"state": "published"}
    found = [f"{at}: {old} -> {new}" for at, old, new in differences(before, after)]
    if beside:
        return ["a draft, beside what is published and stays so", *found]
    return found or ["the same words, as a new version"]  # a draft of it stands, and goes


def differences(before: Any, after: Any) -> list[Pathed]:
    """Every place where two documents differ, as `questions[0].text.en`, with both values as JSON."""
    return list(_walk(before, after, ""))


def _walk(before: Any, after: Any, at: str) -> Iterator[Pathed]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            inner = f"{at}.{key}" if at else key
            yield from _walk(before.get(key, _MISSING), after.get(key, _MISSING), inner)
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old, new = (side[index] if index < len(side) else _MISSING for side in (before, after))
            yield from _walk(old, new, f"{at}[{index}]")
    elif before != after or type(before) is not type(after):
        yield at, _shown(before), _shown(after)


def _shown(value: Any) -> str:
    return "nothing" if value is _MISSING else plain(json.dumps(value, ensure_ascii=False))
