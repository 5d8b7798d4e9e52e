"""What a diff names: the places that differ, and both values."""

from io import StringIO

from rich.console import Console

from services.cli.diff import differences, show_diff


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


def test_a_draft_beside_a_published_survey_is_not_shown_as_its_end() -> None:
    before = {"state": "published", "title": {"en": "Visit"}}
    after = {"state": "draft", "title": {"en": "Your visit"}}
    shown = StringIO()
    change = {"kind": "survey", "id": "visit", "before": before, "after": after}
    show_diff(Console(file=shown), [change | {"action": "update"}])
    assert shown.getvalue().splitlines() == [
        "~ survey visit",
        "    a draft, beside what is published and stays so",
        '    title.en: "Visit" -> "Your visit"',
        "1 to update",
    ]
