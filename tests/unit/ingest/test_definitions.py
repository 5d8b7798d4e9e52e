"""What a survey, a journey or a unit must hold, and where an error says that it does not."""

from typing import Any

import pytest

from services.ingest.definitions import JOURNEY, SURVEY, UNIT, Survey
from services.ingest.rules.versions import Newest, next_versions, shown_versions
from shared.contracts.values import QuestionKind
from shared.definitions.documents import Kind, Reference, read_document

EN = {"en": "Why?"}
NPS = {"id": "recommend", "kind": "nps", "text": EN}
TEXT = {"id": "why", "kind": "text", "text": EN}
OPTION = {"id": "a", "text": EN}
CHOICE = {"id": "what", "kind": "choice", "text": EN, "options": [OPTION]}


def survey(*questions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"title": EN, "questions": list(questions)} | fields


def places(kind: Kind, document: dict[str, Any]) -> list[str]:
    wish, errors = read_document(kind, "x", document)
    assert (wish is None) is bool(errors)
    return [error.at for error in errors]


GOOD = [
    survey(NPS, TEXT, CHOICE, state="draft"),
    survey(NPS, TEXT | {"show_if": {"path": "answers.recommend", "lte": 8}, "max_length": 500}),
    survey(NPS, TEXT | {"show_if": {"not": {"any": [{"path": "answers.recommend", "gt": 8}]}}}),
    survey(
        {
            **NPS,
            "kind": "rating",
            "scale": {"low": 0, "high": 10},
            "labels": {"low": EN, "high": EN},
        }
    ),
    survey({**NPS, "metric": "loyalty.shop", "required": False}, intro=EN, thanks=EN),
    {"title": {"zh": "题"}, "default_locale": "zh", "questions": [{**NPS, "text": {"zh": "问"}}]},
]


@pytest.mark.parametrize("document", GOOD)
def test_good_surveys_are_taken(document: dict[str, Any]) -> None:
    assert places(SURVEY, document) == []


@pytest.mark.parametrize(
    ("document", "at"),
    [
        (survey(), "questions"),
        (survey(*[NPS | {"id": f"q{n}"} for n in range(51)]), "questions"),
        (survey(NPS, NPS), "questions[1].id"),
        (survey(NPS | {"id": "a.b"}), "questions[0].id"),
        (survey(NPS | {"kind": "stars"}), "questions[0].kind"),
        (survey(NPS | {"scale": {"low": 1, "high": 5}}), "questions[0].scale"),
        (survey(NPS | {"required": "yes"}), "questions[0].required"),
        (survey(NPS | {"max_length": 5}), "questions[0].max_length"),
        (survey(TEXT | {"max_length": 2_001}), "questions[0].max_length"),
        (survey(TEXT | {"labels": {"low": EN, "high": EN}}), "questions[0].labels"),
        (survey(NPS | {"kind": "choice"}), "questions[0].options"),
        (survey(CHOICE | {"options": []}), "questions[0].options"),
        (survey(CHOICE | {"options": [OPTION, OPTION]}), "questions[0].options[1].id"),
        (survey(NPS | {"kind": "rating", "scale": {"low": 1, "high": 1}}), "questions[0].scale"),
        (
            survey(NPS | {"kind": "rating", "scale": {"low": 1, "high": 12}}),
            "questions[0].scale.high",
        ),
        (
            survey(NPS | {"kind": "rating", "scale": {"low": True, "high": 5}}),
            "questions[0].scale.low",
        ),
        (survey(NPS, colour="red"), "colour"),
        (survey(NPS, state="live"), "state"),
        (survey(NPS, title={}), "title"),
        (survey(TEXT | {"show_if": {"path": "answers.why", "eq": "x"}}), "questions[0].show_if"),
        (
            survey(TEXT | {"show_if": {"path": "answers.recommend", "lte": 8}}, NPS),
            "questions[0].show_if",
        ),
        (
            survey(NPS, TEXT | {"show_if": {"path": "data.amount", "gt": 1}}),
            "questions[1].show_if.path",
        ),
        (survey(NPS, TEXT | {"show_if": {"all": []}}), "questions[1].show_if.all"),
        (survey(NPS | {"text": {"zh": "问"}}, title={"en": "x", "zh": "题"}), "questions[0].text"),
        (survey(NPS, intro={"en": "x", "zh": "引"}), "title"),
        ({"title": {"zh": "题"}, "questions": [NPS | {"text": {"zh": "问"}}]}, "title"),
    ],
)
def test_a_wrong_survey_is_refused_at_the_place(document: dict[str, Any], at: str) -> None:
    assert places(SURVEY, document)[0] == at


def test_a_missing_language_is_named() -> None:
    _, errors = read_document(SURVEY, "x", survey(NPS | {"text": {"en": "a", "zh": "b"}}))
    assert "zh" in errors[0].message


def test_what_a_question_means_by_itself() -> None:
    rating = NPS | {"id": "stars", "kind": "rating"}
    parsed = Survey.model_validate(survey(NPS, rating, TEXT))
    questions = [parsed.question(id) for id in ("recommend", "stars", "why", "none")]
    assert [q and q.points for q in questions] == [(0, 10), (1, 5), None, None]
    assert [q and q.is_required for q in questions] == [True, True, False, None]
    assert questions[0] is not None
    assert questions[0].kind is QuestionKind.NPS


def test_journeys_and_units() -> None:
    driver = {"id": "speed", "name": EN}
    step = {"id": "checkout", "name": EN, "drivers": [driver, driver]}
    assert places(JOURNEY, {"name": EN, "touchpoints": [step]}) == ["touchpoints[0].drivers[1].id"]
    assert places(JOURNEY, {"name": EN}) == []
    assert places(UNIT, {"aliases": ["a", "a"]}) == ["aliases[1]"]
    wish, _ = read_document(UNIT, "shop", {"parent": "east"})
    assert wish is not None
    assert wish.references == (Reference("unit", "east", "parent"),)


D1, D2 = {"state": "published", "n": 1}, {"state": "draft", "n": 2}
D3 = {"state": "published", "n": 2}
V1, V2 = Newest("s", "published", 1, D1), Newest("s", "draft", 2, D2)


@pytest.mark.parametrize(
    ("document", "stored", "made"),
    [
        (D1, [], 1),
        (D1, [V1], None),
        (D2, [V1], 2),
        (D2, [V1, V2], None),
        (D1, [V1, V2], None),
        (D3, [V1, V2], 3),
        (D2 | {"n": 9}, [V1, V2], 3),
        (D1, [Newest("other", "published", 7, D1)], 1),
    ],
)
def test_a_version_is_made_when_the_document_is_new(
    document: dict[str, Any], stored: list[Newest], made: int | None
) -> None:
    found = next_versions({"s": document}, stored)
    assert [each.version for each in found] == ([made] if made else [])
    assert all((each.state, each.document) == (document["state"], document) for each in found)


def test_which_versions_are_shown() -> None:
    assert shown_versions("s", "published", [V1, V2]) == {"version": 1, "draft": 2}
    assert shown_versions("s", "published", [V2, Newest("s", "published", 3, D3)]) == {
        "version": 3,
        "draft": None,
    }
    assert shown_versions("s", "draft", [V2]) == {"version": 2, "draft": None}
