"""What a diff names: the places that differ, and both values."""

from services.cli.diff import differences


def test_equal_documents_differ_nowhere() -> None:
    assert differences({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}) == []


def test_each_place_that_differs_is_named_with_both_values() -> None:
    before = {"delay": "0s", "on": ["a", "b"], "when": {"path": "x", "gt": 0}}
    after = {"delay": "1d", "on": ["a"], "when": {"path": "x", "lt": 0}, "sample": 0.5}
    assert differences(before, after) == [
        ("delay", '"0s"', '"1d"'),
        ("on[1]", '"b"', "nothing"),
        ("when.gt", "0", "nothing"),
        ("when.lt", "nothing", "0"),
        ("sample", "nothing", "0.5"),
    ]


def test_true_is_not_one_and_null_is_not_nothing() -> None:
    assert differences({"a": 1, "b": None}, {"a": True}) == [
        ("a", "1", "true"),
        ("b", "null", "nothing"),
    ]


def test_chinese_is_shown_and_control_characters_are_not() -> None:
    [(_, before, after)] = differences("购买", "\x1b[2J‮")
    assert before == '"购买"'
    assert "\x1b" not in after
    assert "‮" not in after
