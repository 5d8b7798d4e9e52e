"""A survey as its template shows it: the questions that apply, what was typed, and what is wrong with it."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Any, Literal

from services.ingest.page.forms import Form, given
from services.ingest.page.languages import Words, words
from services.ingest.page.phrases import PHRASES
from services.ingest.rules.answers import AnswerError, Reading, read_answers
from services.ingest.rules.questions import Question, Survey, Texts
from shared.contracts.values import QuestionKind


@dataclass(frozen=True)
class OptionView:
    """One thing to choose."""

    value: str
    words: Words
    checked: bool


@dataclass(frozen=True)
class QuestionView:
    """One question; `key` is its id in the page."""

    id: str
    key: str
    words: Words
    style: Literal["scale", "stars", "options", "text"]
    required: bool
    many: bool
    options: tuple[OptionView, ...]
    low: Words | None
    high: Words | None
    max_length: int
    typed: str
    error: str | None
    described_by: str


@dataclass(frozen=True)
class ErrorView:
    """One line of the summary: the question to look at again, linked."""

    key: str
    words: Words


def reading_of(survey: Survey, form: Form) -> Reading:
    """The form's answers, read by the rules."""
    return read_answers(survey, given(survey, form))


def newly_applicable(reading: Reading, form: Form) -> bool:
    """Whether the answers made questions apply that the customer has not been shown."""
    return form.shown is not None and bool(set(reading.shown) - form.shown)


def survey_view(
    survey: Survey, form: Form, reading: Reading, judged: Set[str], language: str
) -> dict[str, Any]:
    """What the template needs of the survey; only the `judged` questions show what is wrong with them."""
    errors = {id: error for id, error in reading.error_of.items() if id in judged}
    asked = [(index, q) for index, q in enumerate(survey.questions) if q.id in reading.shown]
    questions = [
        _question(index, question, form, errors.get(question.id), language)
        for index, question in asked
    ]
    say = PHRASES[language]
    return {
        "title": words(survey.title, language),
        "intro": words(survey.intro, language) if survey.intro and not judged else None,
        "version": survey.version,
        "questions": questions,
        "errors": [
            ErrorView(question.key, question.words) for question in questions if question.error
        ],
        "more": bool(judged),
        "button": say["send"] if len(questions) == len(survey.questions) else say["continue"],
    }


def _question(
    index: int, question: Question, form: Form, error: AnswerError | None, language: str
) -> QuestionView:
    key = f"q{index + 1}"
    style = _style(question)
    typed = form.typed(question)
    described = [f"{key}-ends"] if style in ("scale", "stars") else []
    if error:
        described.insert(0, f"{key}-error")
    return QuestionView(
        id=question.id,
        key=key,
        words=words(question.text, language),
        style=style,
        required=question.required,
        many=question.many,
        options=_options(question, typed, language),
        low=_end(question.low_label, "low", question, language),
        high=_end(question.high_label, "high", question, language),
        max_length=question.max_length,
        typed=typed[-1] if typed else "",
        error=_sentence(question, error, language) if error else None,
        described_by=" ".join(described),
    )


def _style(question: Question) -> Literal["scale", "stars", "options", "text"]:
    if question.kind is QuestionKind.TEXT:
        return "text"
    if question.kind is QuestionKind.CHOICE:
        return "options"
    return "stars" if question.kind is QuestionKind.RATING else "scale"


def _options(question: Question, typed: tuple[str, ...], language: str) -> tuple[OptionView, ...]:
    if question.low is not None and question.high is not None:
        numbers = [str(number) for number in range(question.low, question.high + 1)]
        return tuple(OptionView(number, Words(number, ""), number in typed) for number in numbers)
    return tuple(
        OptionView(option.id, words(option.text, language), option.id in typed)
        for option in question.options
    )


def _end(label: Texts | None, end: str, question: Question, language: str) -> Words | None:
    if not question.scored:
        return None
    return words(label or {language: PHRASES[language][f"{end}_{question.kind.value}"]}, language)


def _sentence(question: Question, error: AnswerError, language: str) -> str:
    sentence = PHRASES[language][f"error_{error.code}"]
    return sentence.format(low=question.low, high=question.high, count=question.max_length)
