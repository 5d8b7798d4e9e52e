"""What is kept is bounded by what it holds, and what was least used goes first."""

from services.ingest.page.kept import Kept


def test_the_least_used_is_given_up_first() -> None:
    kept = Kept[str](10)
    kept.put("a", "A", 4)
    kept.put("b", "B", 4)
    assert kept.get("a") == "A"
    kept.put("c", "C", 4)
    assert [kept.get(key) for key in "abc"] == ["A", None, "C"]


def test_what_is_put_again_counts_once() -> None:
    kept = Kept[str](10)
    for _ in range(9):
        kept.put("a", "A", 6)
    kept.put("b", "B", 4)
    assert [kept.get(key) for key in "ab"] == ["A", "B"]


def test_what_is_larger_than_all_is_not_kept() -> None:
    kept = Kept[str](10)
    kept.put("a", "A", 11)
    assert kept.get("a") is None
    kept.put("b", "B", 10)
    assert kept.get("b") == "B"
