"""Versions of surveys: when a put makes a new one, and which are shown."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Newest(NamedTuple):
    """The newest version of a survey in one state, `draft` or `published`."""

    survey: str
    state: str
    version: int
    document: dict[str, Any]


def next_versions(
    documents: Mapping[str, dict[str, Any]], newest: Sequence[Newest]
) -> list[Newest]:
    """The versions that putting these documents makes.

    What is published is compared with what was last published, a draft with whatever came last.
    """
    made = []
    for survey, document in sorted(documents.items()):
        stored = sorted(each.version for each in newest if each.survey == survey)
        number = stored[-1] + 1 if stored else 1
        latest = _latest(survey, newest, {"draft", "published"})
        if document["state"] == "published":
            latest = _latest(survey, newest, {"published"})
        if latest is None or latest.document != document:
            made.append(Newest(survey, document["state"], number, document))
    return made


def shown_versions(survey: str, state: str, newest: Sequence[Newest]) -> dict[str, Any]:
    """`version` is that of the document as stored, `draft` that of a newer draft, if there is one."""
    published = _latest(survey, newest, {"published"}) if state == "published" else None
    draft = _latest(survey, newest, {"draft"})
    if published is None:
        return {"version": draft.version if draft else None, "draft": None}
    newer = draft is not None and draft.version > published.version
    return {"version": published.version, "draft": draft.version if draft and newer else None}


def _latest(survey: str, newest: Sequence[Newest], states: set[str]) -> Newest | None:
    mine = [each for each in newest if each.survey == survey and each.state in states]
    return max(mine, key=lambda each: each.version, default=None)
