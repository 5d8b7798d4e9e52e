"""Organisational units: how the code that an event brings (a store, a branch) becomes a unit and its path."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from shared.contracts.values import Dimension, dimension_at

ORG = "org"
"""The dimension whose values are units."""

MAX_DEPTH = 16
"""Deeper trees are cut at the top; a circle of parents, which no service stores, ends here too."""


@dataclass(frozen=True)
class UnitTree:
    """The units of one workspace. Pure; whatever is wrong in a copied document shortens a path, never raises."""

    parents: Mapping[str, str | None]
    """Each unit's parent, by unit id."""
    aliases: Mapping[str, str]
    """The unit id of each alias; an id goes before an alias, and of two units the smaller id has the alias."""

    @classmethod
    def of(cls, documents: Mapping[str, Mapping[str, Any]]) -> "UnitTree":
        """Build it from the documents of the kind `unit`, by id."""
        parents: dict[str, str | None] = {}
        aliases: dict[str, str] = {}
        for id in sorted(documents):
            parent = documents[id].get("parent")
            parents[id] = parent if isinstance(parent, str) else None
            for alias in documents[id].get("aliases") or ():
                aliases.setdefault(alias, id)
        return cls(parents, aliases)

    def unit(self, value: str) -> str | None:
        """The unit that a value names, by id or alias."""
        return value if value in self.parents else self.aliases.get(value)

    def names(self) -> Set[str]:
        """All values that name a unit."""
        return self.parents.keys() | self.aliases.keys()

    def dimension(self, value: str) -> Dimension:
        """The unit that a value names, by id or alias, with its path from the root; else the value as it is."""
        unit = self.unit(value)
        if unit is None:
            return dimension_at(value, value)
        return dimension_at(unit, "/".join(self.path(unit)))

    def path(self, unit: str) -> Sequence[str]:
        """The ids from the root to a unit. A parent without a document of its own still begins the path."""
        return tuple(self._upwards(unit))[::-1]

    def circle(self, unit: str) -> bool:
        """Whether a unit is among its own ancestors, or hangs under such a circle or too deep."""
        path = self.path(unit)
        return self.parents.get(path[0]) is not None

    def _upwards(self, unit: str) -> Iterator[str]:
        seen: set[str] = set()
        at: str | None = unit
        while at is not None and at not in seen and len(seen) < MAX_DEPTH:
            seen.add(at)
            yield at
            at = self.parents.get(at)
