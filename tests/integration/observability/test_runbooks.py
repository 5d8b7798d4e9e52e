"""The run-books, tried: their commands are ours, their queries are read, their statements run, their links lead somewhere."""

import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import typer

from deploy.local.postgres import PostgresServer
from services.cli import main
from services.cli.paths import SERVICES
from services.cli.registry import instruments
from shared.db import open_database
from tests.integration.observability.asking import ROOT, rules, series

PAGES = sorted((ROOT / "docs" / "operate").glob("*.md"))
RUNBOOKS = (ROOT / "docs" / "operate" / "runbooks.md").read_text(encoding="utf-8")
NAMES = {name for one in instruments() for name in one.series() | {one.name}}


def blocks(language: str) -> list[str]:
    """What stands in the fences of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", RUNBOOKS, re.MULTILINE | re.DOTALL)


def anchors(page: str) -> set[str]:
    """What a link may lead to, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    sections = re.findall(r"^## (Afterword\w+)$", RUNBOOKS, re.MULTILINE)
    assert len(sections) == len(set(sections))
    assert set(sections) == {rule["alert"] for rule in rules("alert")}
    linked = {rule["annotations"]["runbook"] for rule in rules("alert")}
    assert linked == {f"docs/operate/runbooks.md#{section.lower()}" for section in sections}


def test_every_section_says_what_to_do() -> None:
    for section in re.split(r"^## ", RUNBOOKS, flags=re.MULTILINE)[1:]:
        if section.startswith("Afterword"):
            assert "**Means**" in section, section
            assert "**Look**" in section or "**Do**" in section, section
            assert "**Wake somebody**" in section, section


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        there = (page.parent / path) if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_metrics_that_a_page_names_are_there(page: Path) -> None:
    named = set(re.findall(r"\bafterword_[a-z_]+[a-z]\b", page.read_text(encoding="utf-8")))
    assert named <= NAMES


def test_queries_are_read() -> None:
    queries = [line for block in blocks("promql") for line in block.splitlines()]
    assert len(queries) > 5
    for query in queries:
        assert set(series(query)) <= NAMES, query


def test_commands_are_ours() -> None:
    main._add_the_rest()
    app = typer.main.get_command(main.app)
    assert isinstance(app, typer.core.TyperGroup)
    found = re.findall(
        r"^(?:COLUMNS=\d+ )?afterword ([a-z -]+?) *(?=#|--|$|\w+\.)",
        "\n".join(blocks("bash")),
        re.MULTILINE,
    )
    assert {"doctor", "dlq list", "dlq replay", "scoring rebuild", "topics verify"} <= set(found)
    for words in found:
        command: Any = app
        for word in words.split():
            if not isinstance(command, typer.core.TyperGroup):
                break  # what follows are its arguments
            assert word in command.commands, words
            command = command.commands[word]


def test_lines_of_the_log_that_are_looked_for_are_written() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for room in ("shared", "services")
        for path in (ROOT / room).rglob("*.py")
    )
    looked_for = {
        word
        for alternatives in re.findall(r'select\(\.message \| test\("([^"]+)"\)\)', RUNBOOKS)
        for word in alternatives.split("|")
    }
    assert len(looked_for) > 5
    for word in looked_for:
        assert re.search(rf'log\.\w+\(\s*"\w*{word}', code), word


async def test_statements_run(postgres_server: PostgresServer, postgres_copy: str) -> None:
    statements = [
        statement.strip()
        for block in blocks("sql")
        for statement in block.split(";")
        if statement.strip()
    ]
    assert len(statements) > 10
    async with open_database(postgres_copy, "trigger") as database:
        database.gate = None
        for statement in statements:
            for service in SERVICES if "SERVICE" in statement else ["-"]:
                asked = statement.replace("SERVICE", service).replace("ID", "0")
                async with database.begin() as tx:
                    await tx.execute(sa.text(asked))
