"""The definitions that live in ingest: surveys, journeys with their touchpoints and drivers, and units."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, StrictBool, StrictInt

from shared.conditions import ConditionError, parse
from shared.contracts.values import DefinitionState, QuestionKind
from shared.definitions import Definition, Document, Kind, Reference
from shared.definitions.documents import Identifier, Locale, Translations
from shared.http.bodies import Body
from shared.http.problems import FieldError

MAX_TEXT: Final = 2_000
SCALES: Final = {QuestionKind.NPS: (0, 10), QuestionKind.CSAT: (1, 5), QuestionKind.CES: (1, 7)}
DEFAULT_RATING: Final = (1, 5)

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""An id inside a document; without a dot, so that `answers.ID` can name it in a condition."""

_FOR_KINDS: Final = {
    "labels": (QuestionKind.NPS, QuestionKind.CSAT, QuestionKind.CES, QuestionKind.RATING),
    "scale": (QuestionKind.RATING,),
    "options": (QuestionKind.CHOICE,),
    "multiple": (QuestionKind.CHOICE,),
    "max_length": (QuestionKind.TEXT,),
}
"""Which fields of a question only some kinds have."""


class Labels(Body):
    """What the two ends of a scale mean."""

    low: Translations
    high: Translations


class Scale(Body):
    """The ends of a rating; it has 2 to 11 points."""

    low: StrictInt = Field(ge=0, le=1)
    high: StrictInt = Field(ge=1, le=11)


class Option(Body):
    """One choice."""

    id: Word
    text: Translations = Field(min_length=1)


class Question(Body):
    """One question; what it measures (`metric`) is SURVEY.QUESTION unless it says so."""

    model_config = ConfigDict(use_enum_values=False)

    id: Word
    kind: QuestionKind
    text: Translations = Field(min_length=1)
    metric: Identifier | None = None
    required: StrictBool | None = None
    show_if: dict[str, Any] | None = None
    labels: Labels | None = None
    scale: Scale | None = None
    options: tuple[Option, ...] | None = Field(None, min_length=1, max_length=100)
    multiple: StrictBool | None = None
    max_length: StrictInt | None = Field(None, ge=1, le=MAX_TEXT)

    @property
    def points(self) -> tuple[int, int] | None:
        """The ends of the scale, None where answers are no numbers."""
        if self.kind is QuestionKind.RATING:
            return (self.scale.low, self.scale.high) if self.scale else DEFAULT_RATING
        return SCALES.get(self.kind)

    @property
    def is_required(self) -> bool:
        """Whether an answer must be given when it is shown; free text need not."""
        return self.required if self.required is not None else self.kind is not QuestionKind.TEXT


class Survey(Document):
    """What is asked. A draft is only previewed; what is published stays so until another is."""

    state: Literal["published", "draft"] = "published"
    default_locale: Locale = "en"
    title: Translations = Field(min_length=1)
    intro: Translations | None = None
    thanks: Translations | None = None
    questions: tuple[Question, ...] = Field(min_length=1, max_length=50)

    def question(self, id: str) -> Question | None:
        return next((question for question in self.questions if question.id == id), None)


class Driver(Body):
    """What makes a touchpoint good or bad, e.g. waiting time."""

    id: Word
    name: Translations = Field(min_length=1)


class Touchpoint(Body):
    """One step of a journey."""

    id: Word
    name: Translations = Field(min_length=1)
    drivers: tuple[Driver, ...] = Field((), max_length=100)


class Journey(Document):
    """A way that customers go, step by step."""

    name: Translations = Field(min_length=1)
    touchpoints: tuple[Touchpoint, ...] = Field((), max_length=100)


class Unit(Document):
    """A part of the organisation; an event names it by its id or an alias, e.g. a store's code."""

    name: Translations | None = None
    aliases: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = Field(
        (), max_length=100
    )
    parent: Identifier | None = None


def check_survey(survey: Survey) -> Sequence[FieldError]:
    """What must hold beyond the shape of a survey."""
    errors = _repeated("questions", [question.id for question in survey.questions])
    earlier: set[str] = set()
    for index, question in enumerate(survey.questions):
        errors += _check_question(question, f"questions[{index}]", earlier)
        earlier.add(question.id)
    return [*errors, *_untranslated(survey)]


def _check_question(question: Question, at: str, earlier: set[str]) -> Iterator[FieldError]:
    for name, kinds in _FOR_KINDS.items():
        if getattr(question, name) is not None and question.kind not in kinds:
            wanted = " or ".join(kinds)
            yield FieldError(
                f"{at}.{name}", f"is not for the kind {question.kind}", f"the kind {wanted}"
            )
    if question.kind is QuestionKind.CHOICE and question.options is None:
        yield FieldError(f"{at}.options", "is missing", "the options to choose from")
    yield from _repeated(f"{at}.options", [option.id for option in question.options or ()])
    if question.scale and question.scale.high <= question.scale.low:
        yield FieldError(f"{at}.scale", "has one point", "2 to 11 points")
    if question.show_if is not None:
        yield from _check_show_if(question.show_if, f"{at}.show_if", earlier)


def _check_show_if(
    condition: Mapping[str, Any], at: str, earlier: set[str]
) -> Iterator[FieldError]:
    try:
        parse(condition, roots={"answers"}, at=at)
    except ConditionError as error:
        for problem in error.problems[:10]:
            yield FieldError(problem.at, problem.message, problem.expected)
        return
    known = ", ".join(sorted(earlier)) or "none, for it is the first question"
    for path in _paths(condition):
        if path.split(".")[1] not in earlier:
            yield FieldError(at, f"reads {path}", f"an earlier question: {known}")


def _paths(condition: Mapping[str, Any]) -> Iterator[str]:
    """The paths of a condition that has been parsed."""
    if "path" in condition:
        yield condition["path"]
    for word in ("all", "any"):
        for term in condition.get(word, ()):
            yield from _paths(term)
    if "not" in condition:
        yield from _paths(condition["not"])


def _texts(survey: Survey) -> Iterator[tuple[str, Translations]]:
    """Every translated text with its place."""
    for name, words in (
        ("title", survey.title),
        ("intro", survey.intro),
        ("thanks", survey.thanks),
    ):
        if words is not None:
            yield name, words
    for index, question in enumerate(survey.questions):
        at = f"questions[{index}]"
        yield f"{at}.text", question.text
        if question.labels:
            yield f"{at}.labels.low", question.labels.low
            yield f"{at}.labels.high", question.labels.high
        for place, option in enumerate(question.options or ()):
            yield f"{at}.options[{place}].text", option.text


def _untranslated(survey: Survey) -> Iterator[FieldError]:
    texts = list(_texts(survey))
    wanted = {survey.default_locale}.union(*(words for _, words in texts))
    for at, words in texts:
        if missing := sorted(wanted - words.keys()):
            everywhere = f"every text in the same languages: {', '.join(sorted(wanted))}"
            yield FieldError(at, f"has no text in {', '.join(missing)}", everywhere)


def check_journey(journey: Journey) -> Sequence[FieldError]:
    """Ids are unique where they stand."""
    errors = _repeated("touchpoints", [touchpoint.id for touchpoint in journey.touchpoints])
    for index, touchpoint in enumerate(journey.touchpoints):
        errors += _repeated(
            f"touchpoints[{index}].drivers", [driver.id for driver in touchpoint.drivers]
        )
    return errors


def check_unit(unit: Unit) -> Sequence[FieldError]:
    """An alias stands once."""
    return _repeated("aliases", unit.aliases, of="")


def _repeated(at: str, ids: Sequence[str], of: str = ".id") -> list[FieldError]:
    return [
        FieldError(f"{at}[{index}]{of}", f"{id!r} stands twice", "each id once")
        for index, id in enumerate(ids)
        if id in ids[:index]
    ]


def _survey_state(document: Mapping[str, Any]) -> DefinitionState:
    return "draft" if document["state"] == "draft" else "published"


def _draft_beside_published(stored: Definition, document: Mapping[str, Any]) -> bool:
    return stored.state == "published" and document["state"] == "draft"


def _parent(unit: Unit) -> Sequence[Reference]:
    return [Reference("unit", unit.parent, "parent")] if unit.parent else []


SURVEY: Final = Kind(
    "survey",
    "surveys",
    Survey,
    check_survey,
    state=_survey_state,
    beside=_draft_beside_published,
)
JOURNEY: Final = Kind("journey", "journeys", Journey, check_journey)
UNIT: Final = Kind("unit", "units", Unit, check_unit, references=_parent)
KINDS: Final = (SURVEY, JOURNEY, UNIT)
