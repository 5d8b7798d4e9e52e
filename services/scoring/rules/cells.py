"""What facts count as: the cells of the histograms, and how they change from one state to the next."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import msgspec

from services.scoring.rules.facts import Fact, Rollup
from shared.errors import AfterwordError

_encode = msgspec.json.Encoder().encode


class CountBroken(AfterwordError):
    """A cell would count less than nothing: the cells do not agree with the facts; `rebuild` mends them."""


class Cell(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that a count is keyed by within a workspace; different scales and kinds are never one cell."""

    metric: str
    survey: str
    question: str
    kind: str
    scale: str
    journey: str
    touchpoint: str
    day: date
    dimensions: tuple[tuple[str, str], ...]
    value: str

    @property
    def id(self) -> str:
        """A digest of the key, the same in every process."""
        return hashlib.blake2b(_encode(self), digest_size=16).hexdigest()


def cells_of(fact: Fact, rollup: Rollup) -> Iterator[Cell]:
    """The cells in which a fact counts, each once."""
    dimensions = tuple(sorted(_rolled_up(fact, rollup)))
    for one in fact.counted:
        yield Cell(
            one.metric, fact.survey, one.question, one.kind, one.scale,
            fact.journey, fact.touchpoint, fact.day, dimensions, one.value,
        )  # fmt: skip


def delta(old: Iterable[Fact], new: Iterable[Fact], rollup: Rollup) -> dict[Cell, int]:
    """What the cells of one workspace change by when the old facts give way to the new ones."""
    changes: Counter[Cell] = Counter()
    for fact in new:
        changes.update(cells_of(fact, rollup))
    for fact in old:
        changes.subtract(cells_of(fact, rollup))
    return {cell: change for cell, change in changes.items() if change}


def changes(
    old: Iterable[Fact], new: Iterable[Fact], rollups: Mapping[str, Rollup]
) -> dict[tuple[str, Cell], int]:
    """`delta` for a batch of several workspaces, each with its own roll-up."""
    before, after = _by_workspace(old), _by_workspace(new)
    return {
        (workspace, cell): change
        for workspace, rollup in rollups.items()
        for cell, change in delta(before[workspace], after[workspace], rollup).items()
    }


def carried_over(forgotten: Mapping[Cell, int], standing: Rollup, wanted: Rollup) -> Counter[Cell]:
    """What is counted of answers that no fact says any longer, when other dimensions are kept apart from now on: as it
    stands, in the dimensions that stay what they are; no new one tells it apart."""
    stays = {name for name, path in standing.items() if name in wanted and wanted[name] == path}
    found: Counter[Cell] = Counter()
    for cell, n in forgotten.items():
        left = tuple(pair for pair in cell.dimensions if pair[0] in stays)
        found[msgspec.structs.replace(cell, dimensions=left)] += n
    return found


@dataclass(frozen=True, slots=True)
class Drift:
    """How a cell as stored differs from what the facts say; a missing cell counts 0."""

    id: str
    stored: int
    right: int


def drifts(stored: Mapping[str, int], right: Mapping[str, int]) -> list[Drift]:
    """Every cell whose stored count is not what the facts say, in the order of ids."""
    pairs = (
        (id, stored.get(id, 0), right.get(id, 0)) for id in sorted(stored.keys() | right.keys())
    )
    return [Drift(id, had, should) for id, had, should in pairs if had != should]


def _by_workspace(facts: Iterable[Fact]) -> defaultdict[str, list[Fact]]:
    found: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        found[fact.workspace].append(fact)
    return found


def _rolled_up(fact: Fact, rollup: Rollup) -> Iterator[tuple[str, str]]:
    for name, derived_by in rollup.items():
        dimension = (fact.derived if derived_by else fact.dimensions).get(name)
        if dimension and dimension["path"]:
            yield name, dimension["path"]
