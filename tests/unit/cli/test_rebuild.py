"""What `scoring rebuild` sends and prints."""

import pytest
import typer

from services.cli.rebuild import dimensions_of, lines
from services.scoring.api.rebuild import Drifted, Rebuilt


def test_dimensions_are_names_with_paths_or_names_alone() -> None:
    assert dimensions_of(["tier=data.tier", "brand"]) == {"tier": "data.tier", "brand": None}


@pytest.mark.parametrize("said", [["=data.tier"], ["a=b", "a"], [""]])
def test_a_dimension_without_a_name_or_twice_is_refused(said: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        dimensions_of(said)


def test_the_report_says_what_drifted_and_what_is_not_shown() -> None:
    report = Rebuilt(
        dimensions={"org": None, "tier": "data.tier"},
        facts=10,
        cells=4,
        forgotten=7,
        drifted=2,
        drift=[Drifted(id="0f3a", stored=3, right=4)],
        dry_run=True,
    ).model_dump(mode="json")
    assert lines(report) == [
        "10 facts, 4 cells, 2 had drifted (would be put right)",
        "  cell 0f3a: 3, right is 4",
        "  and 1 more",
        "7 counts are of answers that are not kept any longer: taken over as they stand",
        "dimensions kept apart: org, tier=data.tier",
    ]
