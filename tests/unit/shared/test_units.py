"""What an event's store code becomes: unit, path, and itself where no unit is known."""

from shared.contracts.units import MAX_DEPTH, UnitTree

TREE = UnitTree.of(
    {
        "cn": {"name": "China"},
        "east": {"name": "East", "parent": "cn"},
        "sh-01": {"name": "Nanjing Road", "parent": "east", "aliases": ["1001", "east"]},
        "orphan": {"name": "Orphan", "parent": "gone"},
    }
)


def test_an_id_and_an_alias_name_the_same_unit_with_its_path() -> None:
    assert TREE.dimension("sh-01").path == "cn/east/sh-01"
    assert TREE.dimension("1001") == TREE.dimension("sh-01")


def test_an_id_goes_before_an_alias() -> None:
    assert TREE.dimension("east").value == "east"


def test_what_has_no_unit_is_taken_as_it_is() -> None:
    assert TREE.dimension("9999").model_dump() == {"value": "9999", "path": "9999"}


def test_a_parent_without_a_document_still_begins_the_path() -> None:
    assert TREE.dimension("orphan").path == "gone/orphan"


def test_of_two_units_with_one_alias_the_smaller_id_has_it() -> None:
    tree = UnitTree.of({"b": {"aliases": ["x"]}, "a": {"aliases": ["x"]}})
    assert tree.dimension("x").value == "a"


def test_a_circle_of_parents_ends() -> None:
    tree = UnitTree.of({"a": {"parent": "b"}, "b": {"parent": "a"}, "c": {"parent": "a"}, "d": {}})
    assert tree.dimension("a").path == "b/a"
    assert [tree.circle(unit) for unit in "abcd"] == [True, True, True, False]


def test_a_chain_deeper_than_the_bound_is_cut_at_the_top() -> None:
    tree = UnitTree.of({f"u{i}": {"parent": f"u{i + 1}"} for i in range(100)})
    assert tree.dimension("u0").path.count("/") == MAX_DEPTH - 1
