"""Fixtures of the integration tests: each store test runs on both databases."""

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database URL, fresh for each test, once per kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'database'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
