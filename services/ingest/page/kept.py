"""Things that were made from what never changes, kept for the next who needs them, the least used given up first."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

V = TypeVar("V")


@dataclass
class Kept(Generic[V]):
    """Holds at most `most` characters, by what each thing is said to have."""

    most: int
    _things: OrderedDict[Hashable, tuple[V, int]] = field(default_factory=OrderedDict, init=False)
    _held: int = field(default=0, init=False)

    def get(self, key: Hashable) -> V | None:
        """The thing, None when it was never put or is given up."""
        found = self._things.get(key)
        if found is None:
            return None
        self._things.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, thing: V, characters: int) -> None:
        """Keep it, and give up what was not needed for the longest time until all fits."""
        _, before = self._things.pop(key, (None, 0))
        self._things[key] = (thing, characters)
        self._held += characters - before
        while self._held > self.most:
            _, (_, given_up) = self._things.popitem(last=False)
            self._held -= given_up
