"""What a client is told about a field: the place as a path, and what would be right in words."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from shared.http.bodies import Body, field_error


class Question(Body):
    kind: Literal["nps", "text"] = "nps"
    options: Annotated[list[str], Field(min_length=2)] = ["a", "b"]
    scale: Annotated[int, Field(ge=2, le=10)] = 5


class Survey(Body):
    questions: list[Question]


@pytest.mark.parametrize(
    ("question", "at", "expected"),
    [
        ({"kind": "npz"}, "questions[0].kind", "'nps' or 'text'"),
        ({"options": ["a"]}, "questions[0].options", "min_length: 2"),
        ({"scale": 11}, "questions[0].scale", "le: 10"),
        ({"colour": 1}, "questions[0].colour", "its right name, or left out"),
        (
            {"scale": "five"},
            "questions[0].scale",
            "a valid integer",
        ),
        ({"options": "a"}, "questions[0].options", "a valid list"),
    ],
)
def test_a_field_error_names_the_place_and_what_would_be_right(
    question: dict[str, object], at: str, expected: str | None
) -> None:
    with pytest.raises(ValidationError) as raised:
        Survey.model_validate({"questions": [question]})
    error = field_error(raised.value.errors()[0])
    assert (error.at, error.expected) == (at, expected)


def test_of_a_missing_field_too() -> None:
    with pytest.raises(ValidationError) as raised:
        Survey.model_validate({})
    error = field_error(raised.value.errors()[0])
    assert (error.at, error.expected) == ("questions", "a value")
