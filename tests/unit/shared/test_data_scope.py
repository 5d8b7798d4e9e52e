"""What a data scope lets see, and what the access file may not say of it."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.contracts.units import UnitTree
from shared.contracts.values import Dimension
from shared.data_scope import EVERYTHING, DataScope

EAST = DataScope.model_validate({"org": ["cn/east"]})
NOW = UnitTree.of(
    {
        "cn": {},
        "east": {"parent": "cn"},
        "west": {"parent": "cn"},
        "s12": {"parent": "east", "aliases": ["S12"]},
        "s13": {"parent": "west"},
    }
)


def at(path: str, value: str | None = None, **others: str) -> dict[str, Dimension]:
    """The dimensions of a row in a place; the others have no path of their own."""
    org = Dimension(value=value or path.rpartition("/")[2], path=path)
    return {"org": org} | {name: Dimension(value=v, path=v) for name, v in others.items()}


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("cn/east", True),
        ("cn/east/shanghai/store-12", True),
        ("cn/eastern", False),
        ("cn/eas", False),
        ("cn", False),
        ("CN/EAST", False),
        ("x/cn/east", False),
        ("", False),
    ],
)
def test_an_org_path_is_seen_below_a_prefix_segment_by_segment(path: str, seen: bool) -> None:
    assert EAST.view().allows(at(path)) is seen


def test_other_dimensions_are_seen_by_their_exact_value() -> None:
    view = DataScope.model_validate({"brand": ["acme", "acme/pro"]}).view()
    assert view.allows(at("anywhere", brand="acme"))
    assert view.allows(at("anywhere", brand="acme/pro"))
    assert not view.allows(at("anywhere", brand="acme/lite"))
    assert not view.allows(at("anywhere", brand="Acme"))


def test_every_limited_dimension_must_be_there_and_fit() -> None:
    view = DataScope.model_validate({"org": ["cn/east", "de"], "brand": ["acme"]}).view()
    assert view.allows(at("cn/east/s1", brand="acme"))
    assert view.allows(at("de/berlin", brand="acme", product="cd"))
    assert not view.allows(at("cn/east/s1", brand="other"))
    assert not view.allows(at("cn/east/s1"))
    assert not view.allows({})


def test_without_a_data_scope_everything_is_seen() -> None:
    assert EVERYTHING.view().allows({})
    assert not EVERYTHING.limited
    assert not EVERYTHING.needs_units


@pytest.mark.parametrize(
    ("path", "value", "seen"),
    [
        ("cn/west/s12", "s12", True),  # moved to the east since
        ("S12", "S12", True),  # had no unit then; its alias has one now
        ("cn/east/s13", "s13", False),  # moved to the west since
        ("cn/east/s99", "s99", True),  # no unit any more: where it was
        ("cn/west/s99", "s99", False),
    ],
)
def test_rights_go_by_where_a_unit_stands_now(path: str, value: str, seen: bool) -> None:
    assert EAST.view(NOW).allows(at(path, value)) is seen


WRONG: list[tuple[Any, str, str]] = [
    (None, "", "dictionary"),
    ([], "", "dictionary"),
    ({}, "", "1 to 20 dimensions"),
    ({f"d{n}": ["x"] for n in range(21)}, "", "1 to 20 dimensions"),
    ({"org": None}, "org", "list"),
    ({"org": []}, "org", "at least 1"),
    ({"org": "cn/east"}, "org", "list"),
    ({"org": [f"cn/{n}" for n in range(101)]}, "org", "at most 100"),
    ({"org": ["cn/east", "/cn"]}, "org.1", "is no path"),
    ({"org": ["cn/east/"]}, "org.0", "is no path"),
    ({"org": ["cn//east"]}, "org.0", "is no path"),
    ({"org": [""]}, "org.0", "at least 1"),
    ({"brand": []}, "brand", "at least 1"),
    ({"brand": ["acme", 7]}, "brand.1", "string"),
    ({"brand": [False]}, "brand.0", "string"),
    ({"brand": [""]}, "brand.0", "at least 1"),
    ({"brand": ["a\x00"]}, "brand.0", "control character"),
    ({"brand": {"is": "acme"}}, "brand", "list"),
    ({"b d": ["acme"]}, "b d", "pattern"),
    ({7: ["acme"]}, "7", "string"),
]


@pytest.mark.parametrize(("document", "at", "words"), WRONG)
def test_what_limits_nothing_or_is_misspelt_is_refused_where_it_stands(
    document: Any, at: str, words: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        DataScope.model_validate(document)
    first = caught.value.errors()[0]
    assert ".".join(str(part) for part in first["loc"]) == at
    assert words in first["msg"]
