"""The access file: who a key belongs to, what it may do, and edits that come while the process runs."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared import auth, watched
from shared.auth import WITHIN_DATA_SCOPE, Access, Scope, authorised, mint_key
from shared.errors import StartupError
from shared.http.problems import Problem
from tests.support import write_access


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "LOOK_SECONDS", 0.0)


def test_a_key_belongs_to_its_workspace(tmp_path: Path) -> None:
    keys = write_access(tmp_path / "access.yaml")
    access = Access.load(tmp_path / "access.yaml")
    principal = access.authenticate(keys["acme"])
    assert principal is not None
    assert (principal.workspace, principal.scopes) == ("acme", frozenset(Scope))


@pytest.mark.parametrize(
    "presented",
    [None, "", "awk", "awk_", "awk_key-acme_", "awk_key-acme_wrong", "awk_nobody_x", "é_\ud800_x"],
)
def test_any_other_key_is_nobody(tmp_path: Path, presented: str | None) -> None:
    write_access(tmp_path / "access.yaml")
    assert Access.load(tmp_path / "access.yaml").authenticate(presented) is None


def test_a_missing_scope_is_403_and_no_key_401(tmp_path: Path) -> None:
    key, hashed = mint_key("reader")
    document = {
        "workspaces": [{"id": "acme"}],
        "keys": [{"id": "reader", "workspace": "acme", "hash": hashed, "scopes": ["scores:read"]}],
    }
    (tmp_path / "access.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    access = Access.load(tmp_path / "access.yaml")
    assert authorised(access, f"Bearer {key}", Scope.SCORES_READ).id == "reader"
    with pytest.raises(Problem) as forbidden:
        authorised(access, f"Bearer {key}", Scope.EVENTS_WRITE)
    with pytest.raises(Problem) as unknown:
        authorised(access, None, Scope.SCORES_READ)
    assert (forbidden.value.status, unknown.value.status) == (403, 401)


def key_entry(hashed: str = "sha256:" + "0" * 64, **fields: Any) -> dict[str, Any]:
    return {"id": "east", "workspace": "a", "hash": hashed, "scopes": ["*"]} | fields


def test_a_key_with_a_data_scope_reads_what_can_be_limited_and_nothing_else(tmp_path: Path) -> None:
    key, hashed = mint_key("east")
    entry = key_entry(hashed, data={"org": ["cn/east"], "brand": ["acme"]})
    document = {"workspaces": [{"id": "a"}], "keys": [entry]}
    (tmp_path / "access.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    access = Access.load(tmp_path / "access.yaml")
    for scope in Scope:
        if scope in WITHIN_DATA_SCOPE:
            allowed = authorised(access, f"Bearer {key}", scope).data.allowed
            assert allowed == {"org": ["cn/east"], "brand": ["acme"]}
            continue
        with pytest.raises(Problem, match=r"data scope \(brand, org\)") as refused:
            authorised(access, f"Bearer {key}", scope)
        assert (refused.value.status, refused.value.kind) == (403, "data-scope")
        assert scope.value in refused.value.detail


def test_a_key_without_a_data_scope_is_not_limited(tmp_path: Path) -> None:
    keys = write_access(tmp_path / "access.yaml")
    principal = Access.load(tmp_path / "access.yaml").authenticate(keys["acme"])
    assert principal is not None
    assert not principal.data.limited


def test_an_edit_is_noticed_and_a_broken_one_leaves_the_last_good_state(tmp_path: Path) -> None:
    path = tmp_path / "access.yaml"
    old = write_access(path)
    access = Access.load(path)
    new = write_access(path)
    os.utime(path, ns=(1, 1))
    assert access.authenticate(old["acme"]) is None
    assert access.authenticate(new["acme"]) is not None
    for broken in (b"workspaces: [", b"\xff\xfe", b"since: 2026-13-45"):
        path.write_bytes(broken)
        assert access.authenticate(new["acme"]) is not None


def test_whoever_was_recognised_is_forgotten_when_the_file_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "access.yaml"
    old = write_access(path)
    access = Access.load(path)
    for _ in range(2):
        assert authorised(access, f"Bearer {old['acme']}", Scope.EVENTS_WRITE).workspace == "acme"
        assert access.recognise(f"Bearer {old['acme']}x") is None
        assert access.recognise(f"Basic {old['acme']}") is None
        assert access.recognise("é \ud800") is None
    write_access(path)
    os.utime(path, ns=(1, 1))
    assert access.recognise(f"Bearer {old['acme']}") is None


def test_one_key_written_in_many_ways_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "_MOST_RECOGNISED", 10)
    keys = write_access(tmp_path / "access.yaml")
    access = Access.load(tmp_path / "access.yaml")
    for n in range(100):
        assert access.recognise(f"Bearer {' ' * n}{keys['acme']}") is not None
        assert access.recognise(f"Bearer {n}") is None
    assert len(access._file.value.recognised) <= 10


BAD: list[tuple[Any, str]] = [
    ("workspaces: [", "not YAML"),
    ({"workspaces": [{"id": "A B"}]}, "workspaces.0.id"),
    ({"workspaces": [{"id": "a", "time_zone": "Mars/Olympus"}]}, "time_zone"),
    ({"workspaces": [{"id": "a", "typo": 1}]}, "typo"),
    (
        {
            "workspaces": [{"id": "a"}],
            "keys": [{"id": "k", "workspace": "b", "hash": "sha256:" + "0" * 64, "scopes": []}],
        },
        "unknown workspace 'b'",
    ),
    (
        {
            "workspaces": [{"id": "a"}],
            "keys": [{"id": "k", "workspace": "a", "hash": "x", "scopes": []}],
        },
        "hash",
    ),
    (
        {"workspaces": [{"id": "a", "inlets": ["in"]}, {"id": "b", "inlets": ["in"]}]},
        "'in' belongs to two",
    ),
    ({"workspaces": [{"id": "a", "inlets": ["events"]}]}, "'events' cannot be an inlet"),
    ({"workspaces": [{"id": "a", "inlets": ["x.ingest.dlq"]}]}, "cannot be an inlet"),
    ({"workspaces": [{"id": "a", "time_zone": "America"}]}, "IANA time zone"),
    ({"workspaces": [{"id": "a"}], "keys": [key_entry(data=None)]}, r"keys\.0\.data: "),
    ({"workspaces": [{"id": "a"}], "keys": [key_entry(data={})]}, r"keys\.0\.data: .*dimensions"),
    (
        {"workspaces": [{"id": "a"}], "keys": [key_entry(data={"brand": []})]},
        r"keys\.0\.data\.brand: ",
    ),
    (
        {"workspaces": [{"id": "a"}], "keys": [key_entry(data={"org": ["cn", "de/"]})]},
        r"keys\.0\.data\.org\.1: .*is no path",
    ),
]


@pytest.mark.parametrize(("document", "words"), BAD)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, document: Any, words: str) -> None:
    path = tmp_path / "access.yaml"
    path.write_text(
        document if isinstance(document, str) else yaml.safe_dump(document), encoding="utf-8"
    )
    with pytest.raises(StartupError, match=words) as caught:
        Access.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot read the access file"):
        Access.load(tmp_path / "none.yaml")
