"""A survey as it is asked: its questions, compiled once from the stored document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from shared.conditions import Condition, parse
from shared.contracts.values import QuestionKind

LANGUAGES: Final = ("en", "zh")
"""The languages that the page itself speaks."""

MAX_TEXT: Final = 2_000
_SCALES: Final = {QuestionKind.NPS: (0, 10), QuestionKind.CSAT: (1, 5), QuestionKind.CES: (1, 7)}
_RATING: Final = {"low": 1, "high": 5}

Texts = Mapping[str, str]


@dataclass(frozen=True)
class Option:
    """One choice."""

    id: str
    text: Texts


@dataclass(frozen=True)
class Question:
    """One question; `low` and `high` bound a number, `options` and `many` make a choice."""

    id: str
    kind: QuestionKind
    text: Texts
    metric: str
    required: bool
    show_if: Condition | None = None
    low: int | None = None
    high: int | None = None
    low_label: Texts | None = None
    high_label: Texts | None = None
    options: tuple[Option, ...] = ()
    many: bool = False
    max_length: int = MAX_TEXT

    @property
    def scored(self) -> bool:
        return self.low is not None

    @property
    def scale(self) -> str | None:
        """As messages name it: "0-10", "one", "many", None for text."""
        if self.scored:
            return f"{self.low}-{self.high}"
        if self.kind is QuestionKind.CHOICE:
            return "many" if self.many else "one"
        return None


@dataclass(frozen=True)
class Survey:
    """One version of a survey, ready to be shown and answered."""

    id: str
    version: int
    title: Texts
    questions: tuple[Question, ...]

    default: str
    """The language of whoever asks for none."""
    intro: Texts | None = None
    thanks: Texts | None = None

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The page's languages that the survey is written in, its default first; all of them when it is in none."""
        written = {language.partition("-")[0] for language in self.title}
        offered = [language for language in LANGUAGES if language in written]
        first = self.default.partition("-")[0]
        return tuple(sorted(offered, key=lambda language: language != first)) or LANGUAGES


def read_survey(id: str, version: int, document: Mapping[str, Any]) -> Survey:
    """Compile a stored document, which was validated when it was put."""
    return Survey(
        id=id,
        version=version,
        title=document["title"],
        questions=tuple(_question(id, raw) for raw in document["questions"]),
        default=document.get("default_locale", "en"),
        intro=document.get("intro"),
        thanks=document.get("thanks"),
    )


def _question(survey: str, raw: Mapping[str, Any]) -> Question:
    kind = QuestionKind(raw["kind"])
    low, high = _bounds(kind, raw)
    labels = raw.get("labels") or {}
    return Question(
        id=raw["id"],
        kind=kind,
        text=raw["text"],
        metric=raw.get("metric") or f"{survey}.{raw['id']}",
        required=raw.get("required", kind is not QuestionKind.TEXT),
        show_if=parse(raw["show_if"], roots={"answers"}, at="show_if")
        if raw.get("show_if")
        else None,
        low=low,
        high=high,
        low_label=labels.get("low"),
        high_label=labels.get("high"),
        options=_options(raw.get("options") or ()),
        many=bool(raw.get("multiple")),
        max_length=raw.get("max_length") or MAX_TEXT,
    )


def _bounds(kind: QuestionKind, raw: Mapping[str, Any]) -> tuple[int | None, int | None]:
    if kind is QuestionKind.RATING:
        scale = raw.get("scale") or _RATING
        return scale["low"], scale["high"]
    return _SCALES.get(kind, (None, None))


def _options(raw: Sequence[Mapping[str, Any]]) -> tuple[Option, ...]:
    return tuple(Option(option["id"], option["text"]) for option in raw)
