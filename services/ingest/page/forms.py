"""What a browser sent back: the fields of the form, read without trusting any of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from services.ingest.rules.questions import Question, Survey
from shared.contracts.values import QuestionKind

VERSION: Final = "_version"
LANGUAGE: Final = "_lang"
SHOWN: Final = "_shown"
"""The form's own fields; every other field has the id of a question, none of which starts so."""

_MAX_FIELDS: Final = 1_000
_NUMBER = re.compile(r"[0-9]{1,9}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Unreadable(ValueError):
    """The body is no form, or one with too many fields."""


@dataclass(frozen=True)
class Form:
    """The fields by name. `version` is the survey's version that was shown, `shown` the questions that were."""

    fields: Mapping[str, tuple[str, ...]]

    @property
    def version(self) -> int | None:
        text = self.one(VERSION)
        return int(text) if _NUMBER.fullmatch(text) else None

    @property
    def shown(self) -> frozenset[str] | None:
        """None when the form does not say: a program's, which shows nothing and so needs no second look."""
        return frozenset(self.fields[SHOWN]) if SHOWN in self.fields else None

    @property
    def language(self) -> str:
        return self.one(LANGUAGE)

    def one(self, name: str) -> str:
        return self.fields.get(name, ("",))[-1]

    def typed(self, question: Question) -> tuple[str, ...]:
        """What stands in the fields of a question, as typed."""
        return tuple(text for text in self.fields.get(question.id, ()) if text)


def read_form(body: bytes) -> Form:
    """Read an urlencoded body. Raises `Unreadable`."""
    try:
        pairs = parse_qsl(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MAX_FIELDS
        )
    except ValueError as error:
        raise Unreadable from error
    fields: dict[str, tuple[str, ...]] = {}
    for name, text in pairs:
        clean = _UNSTORABLE.sub("", text).replace("\r\n", "\n")
        fields[name] = (*fields.get(name, ()), clean)
    return Form(fields)


def preselected(survey: Survey, answer: str | None) -> Form:
    """The form as a link's `?answer=9` fills it in: the first question that takes a number, if it takes this one."""
    first = next((question for question in survey.questions if question.scored), None)
    if first is None or answer is None or first.low is None or first.high is None:
        return Form({})
    fits = _NUMBER.fullmatch(answer) and first.low <= int(answer) <= first.high
    return Form({first.id: (str(int(answer)),)}) if fits else Form({})


def given(survey: Survey, form: Form) -> dict[str, Any]:
    """The answers in the form as values, for `read_answers`; fields of other names are ignored."""
    return {question.id: _value(question, form.typed(question)) for question in survey.questions}


def _value(question: Question, texts: tuple[str, ...]) -> Any:
    if not texts:
        return None
    if question.kind is QuestionKind.CHOICE:
        return list(texts)
    text = texts[-1]
    return int(text) if question.scored and _NUMBER.fullmatch(text) else text
