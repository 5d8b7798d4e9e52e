"""`apply` against a running system: what it refuses, what it changes, and what it leaves alone."""

from pathlib import Path

import pytest

from tests.integration.cli.conftest import System

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart"
SURVEY = """\
kind: survey
id: {id}
title: {{en: Visit}}
questions:
  - id: recommend
    kind: nps
    text: {{en: Would you recommend us?}}
"""
TRIGGER = """\
kind: trigger
id: after-visit
on: shop.visit.ended
survey: {survey}
"""


def write(directory: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
    return directory


def ids(system: System, plural: str) -> set[str]:
    with system.client() as client:
        answer = client.get(f"/v1/{plural}", params={"limit": 500})
        answer.raise_for_status()
        return {item["id"] for item in answer.json()["items"]}


def test_the_quickstart_is_applied_and_the_second_time_nothing_changes(system: System) -> None:
    tried = system.afterword("apply", "-f", str(QUICKSTART), "--dry-run")
    assert (tried.code, tried.err) == (0, "")
    assert "+ survey purchase-nps" in tried.out
    assert "applied" not in tried.out
    assert ids(system, "surveys") == set()

    first = system.afterword("apply", "-f", str(QUICKSTART))
    assert (first.code, first.err) == (0, "")
    assert "endpoint listener signs with a secret of its own" in first.out
    assert "whsec_" not in first.out
    assert ids(system, "triggers") == {"after-purchase"}

    again = system.afterword("apply", "-f", str(QUICKSTART))
    assert again.code == 0
    assert "unchanged" in again.out
    assert "applied" not in again.out


def test_a_change_is_shown_place_by_place(system: System, tmp_path: Path) -> None:
    write(tmp_path, survey=SURVEY.format(id="visit"), trigger=TRIGGER.format(survey="visit"))
    assert system.afterword("apply", "-f", str(tmp_path)).code == 0
    write(tmp_path, trigger=TRIGGER.format(survey="visit") + "delay: 2h\n")
    shown = system.afterword("apply", "-f", str(tmp_path))
    assert "~ trigger after-visit" in shown.out
    assert 'delay: "0s" -> "2h"' in shown.out
    assert "1 to update, 1 unchanged" in shown.out


def test_errors_of_all_kinds_and_services_come_at_once_with_file_and_line(
    system: System, tmp_path: Path
) -> None:
    write(
        tmp_path,
        survey=SURVEY.format(id="new").replace("kind: nps", "kind: npz"),
        trigger=TRIGGER.format(survey="vist") + "delay: soon\n",
        rule="kind: alert-rule\nid: r\nabout: response\nwhen:\n  path: anwers.recommend\n  lte: 6\n",
    )
    refused = system.afterword("apply", "-f", str(tmp_path))
    assert refused.code == 1
    assert f"{tmp_path}/survey.yaml:6: questions[0].kind" in refused.err
    assert f"{tmp_path}/trigger.yaml:5: delay" in refused.err
    assert f"{tmp_path}/rule.yaml:5: when.path" in refused.err
    assert ids(system, "surveys") & {"new"} == set()


@pytest.mark.parametrize(
    ("extra", "line", "message"),
    [
        ("", 4, "there is no survey 'purchase-npz', neither in the files nor in the system (did you mean 'purchase-nps'?)"),
        ("journey: bye\n", 5, "there is no journey 'bye'"),
        ("journey: buy\ntouchpoint: chekout\n", 6, "there is no touchpoint 'chekout' in the journey 'buy' (did you mean 'checkout'?)"),
        ("channel: gateway\n", 5, "there is no channel 'gateway'"),
        ("contact_policy: strict\n", 5, "there is no contact-policy 'strict'"),
    ],
)  # fmt: skip
def test_a_reference_to_what_is_nowhere_is_refused_by_name(
    system: System, tmp_path: Path, extra: str, line: int, message: str
) -> None:
    assert system.afterword("apply", "-f", str(QUICKSTART)).code == 0
    survey = "purchase-nps" if extra else "purchase-npz"
    text = TRIGGER.format(survey=survey).replace("after-visit", "unresolved") + extra
    refused = system.afterword("apply", "-f", "-", stdin=text)
    assert refused.code == 1
    assert f"stdin:{line}: " in refused.err
    assert message in refused.err
    assert "unresolved" not in ids(system, "triggers")


def test_prune_deletes_only_where_files_speak_and_only_when_told(
    system: System, tmp_path: Path
) -> None:
    write(
        tmp_path,
        survey=SURVEY.format(id="kept"),
        journey="kind: journey\nid: gone\nname: {en: Gone}\n",
    )
    assert system.afterword("apply", "-f", str(tmp_path)).code == 0
    (tmp_path / "journey.yaml").unlink()
    before = ids(system, "triggers")

    asked = system.afterword("apply", "-f", str(tmp_path), "--prune", stdin="n\n")
    assert asked.code == 1
    assert "- journey gone" in asked.out
    assert "gone" in ids(system, "journeys")

    pruned = system.afterword("apply", "-f", str(tmp_path), "--prune", "--yes")
    assert pruned.code == 0
    assert ids(system, "journeys") == set()
    assert ids(system, "surveys") == {"kept"}
    assert ids(system, "triggers") == before


def test_what_prune_would_delete_cannot_be_referred_to(system: System, tmp_path: Path) -> None:
    write(tmp_path, survey=SURVEY.format(id="old"))
    assert system.afterword("apply", "-f", str(tmp_path)).code == 0
    (tmp_path / "survey.yaml").unlink()
    write(tmp_path, other=SURVEY.format(id="other"), trigger=TRIGGER.format(survey="old"))
    refused = system.afterword("apply", "-f", str(tmp_path), "--prune", "--yes")
    assert refused.code == 1
    assert "there is no survey 'old'" in refused.err
    assert "old" in ids(system, "surveys")


def test_without_a_system_or_with_a_wrong_key_it_says_what_to_do(
    system: System, tmp_path: Path
) -> None:
    nothing = System("", "", system.environment | {"AFTERWORD_CONTEXT": str(tmp_path / "none")})
    alone = nothing.afterword("apply", "-f", str(QUICKSTART))
    assert (alone.code, alone.err.count("\n")) == (1, 1)
    assert "afterword dev" in alone.err
    wrong = System("", "", system.environment | {"AFTERWORD_API_KEY": "awk_test_wrong"})
    refused = wrong.afterword("apply", "-f", str(QUICKSTART))
    assert refused.code == 1
    assert "API key" in refused.err
