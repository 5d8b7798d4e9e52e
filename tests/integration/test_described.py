"""The written-down interface is the one the code has."""

from pathlib import Path

from services.cli.describe import describe

DIRECTORY = Path(__file__).parents[2] / "docs" / "api"


async def test_openapi_and_asyncapi_are_fresh() -> None:
    files = await describe()
    stale = [
        name
        for name, text in files.items()
        if not (DIRECTORY / name).exists() or (DIRECTORY / name).read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run `make docs`: {stale} differ from the code"
    assert {path.name for path in DIRECTORY.glob("*.json")} == set(files)
