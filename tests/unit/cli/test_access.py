"""Keys as the command line mints them: what is printed works, and what is refused says why."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from services.cli.access import access
from shared.auth import Access, Scope
from shared.errors import StartupError
from shared.tokens import KeyRing


def run(*arguments: str) -> str:
    result = CliRunner().invoke(access, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_minted_key_opens_what_its_entry_says(tmp_path: Path) -> None:
    said = run("key", "shop", "--workspace", "acme", "--scope", "events:write")
    minted = next(line.strip() for line in said.splitlines() if "awk_" in line)
    entry = yaml.safe_load(said.partition("`keys:`:\n")[2])
    file = tmp_path / "access.yaml"
    file.write_text(yaml.safe_dump({"workspaces": [{"id": "acme"}], "keys": entry}))
    principal = Access.load(file).authenticate(minted)
    assert principal is not None
    assert (principal.id, principal.workspace) == ("shop", "acme")
    assert principal.scopes == {Scope.EVENTS_WRITE}
    assert minted not in file.read_text()
    assert "1 workspace and 1 key" in " ".join(run("check", str(file)).split())


def test_a_token_key_is_one_of_a_ring() -> None:
    KeyRing.parse(",".join(run("token-key", name).strip() for name in ("2026-11", "2026-10")))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["key", "a b", "--workspace", "acme"], "is no key id"),
        (["key", "a", "--workspace", "acme", "--scope", "everything"], "there is no scope"),
        (["token-key", "a:b"], "is no name"),
        (["check", "nowhere.yaml"], "cannot read the access file"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], said: str) -> None:
    with pytest.raises(StartupError, match=said):
        run(*arguments)


@pytest.mark.parametrize("what", ["workspaces", "keys"])
def test_nothing_stands_twice(tmp_path: Path, what: str) -> None:
    key = {"id": "k", "workspace": "acme", "hash": "sha256:" + "0" * 64, "scopes": ["*"]}
    document: dict[str, list[object]] = {"workspaces": [{"id": "acme"}], "keys": [key]}
    document[what] *= 2
    file = tmp_path / "access.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(StartupError, match="stands twice"):
        Access.load(file)
