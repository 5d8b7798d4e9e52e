"""Which answers to a survey are right: strict about types, scales and options, whichever door they came by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.ingest.rules.questions import Question, Survey
from shared.contracts.values import Answer, QuestionKind, answer_facts

SHOWN: Final = 20
"""How many option ids an error names at most."""


@dataclass(frozen=True)
class AnswerError:
    """What is wrong with the answer to one question; `code` picks the page's own sentence for it."""

    question: str
    code: str
    message: str
    expected: str


@dataclass(frozen=True)
class Reading:
    """What a set of given answers comes to: the right ones, the wrong ones, and which questions apply."""

    answers: tuple[Answer, ...]
    errors: tuple[AnswerError, ...]
    shown: tuple[str, ...]

    @property
    def error_of(self) -> dict[str, AnswerError]:
        return {error.question: error for error in self.errors}


@dataclass
class _Draft:
    answers: list[Answer] = field(default_factory=list)
    errors: list[AnswerError] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)


def read_answers(survey: Survey, given: Mapping[str, Any]) -> Reading:
    """Read the given answers in the survey's order.

    A question applies when its `show_if` matches the right answers before it; answers to questions that do not
    apply are dropped, so a changed mind leaves nothing behind. Never raises, whatever is given.
    """
    draft = _Draft()
    for question in survey.questions:
        facts = {"answers": answer_facts(draft.answers)}
        if question.show_if is not None and question.show_if.matches(facts) is not True:
            continue
        draft.shown.append(question.id)
        _read_one(draft, question, given.get(question.id))
    known = {question.id for question in survey.questions}
    for unknown in sorted(set(given) - known):
        expected = ", ".join(question.id for question in survey.questions[:SHOWN])
        draft.errors.append(
            AnswerError(unknown, "unknown", "is no question of this survey", expected)
        )
    return Reading(tuple(draft.answers), tuple(draft.errors), tuple(draft.shown))


def _read_one(draft: _Draft, question: Question, given: Any) -> None:
    if _empty(given):
        if question.required:
            error = AnswerError(
                question.id, "required", "an answer is required", _expected(question)
            )
            draft.errors.append(error)
        return
    value = _value(question, given)
    if isinstance(value, AnswerError):
        draft.errors.append(value)
        return
    answer = Answer(
        question=question.id,
        kind=question.kind,
        metric=question.metric,
        scale=question.scale,
        value=value,
    )
    draft.answers.append(answer)


def _empty(given: Any) -> bool:
    return given is None or given == [] or (isinstance(given, str) and not given.strip())


def _value(question: Question, given: Any) -> int | tuple[str, ...] | str | AnswerError:
    if question.kind is QuestionKind.TEXT:
        return _text(question, given)
    if question.kind is QuestionKind.CHOICE:
        return _choice(question, given)
    return _number(question, given)


def _number(question: Question, given: Any) -> int | AnswerError:
    if type(given) is not int:
        return _wrong(question, "number", f"is {_brief(given)}")
    if question.low is None or question.high is None or not question.low <= given <= question.high:
        return _wrong(question, "number", f"is {_brief(given)}, off the scale")
    return given


def _choice(question: Question, given: Any) -> tuple[str, ...] | AnswerError:
    chosen = [given] if isinstance(given, str) else given
    if not isinstance(chosen, list) or not all(isinstance(item, str) for item in chosen):
        return _wrong(question, "choice", f"is {_brief(given)}")
    options = [option.id for option in question.options]
    if strange := [item for item in chosen if item not in options]:
        return _wrong(question, "choice", f"{_brief(strange[0])} is no option")
    if len(set(chosen)) > 1 and not question.many:
        return _wrong(question, "one", f"has {len(set(chosen))} options")
    return tuple(option for option in options if option in chosen)


def _text(question: Question, given: Any) -> str | AnswerError:
    if not isinstance(given, str):
        return _wrong(question, "text", f"is {_brief(given)}")
    text = given.strip()
    if len(text) > question.max_length:
        return _wrong(question, "long", f"has {len(text)} characters")
    return text


def _wrong(question: Question, code: str, message: str) -> AnswerError:
    return AnswerError(question.id, code, message, _expected(question))


def _expected(question: Question) -> str:
    if question.kind is QuestionKind.TEXT:
        return f"a text of at most {question.max_length} characters"
    if question.kind is QuestionKind.CHOICE:
        options = ", ".join(option.id for option in question.options[:SHOWN])
        return f"{'a list of' if question.many else 'one of'} {options}"
    return f"a whole number from {question.low} to {question.high}"


def _brief(given: Any) -> str:
    if isinstance(given, str | int | float | bool):
        return repr(given)[:60]
    return "a list" if isinstance(given, list) else "an object"
