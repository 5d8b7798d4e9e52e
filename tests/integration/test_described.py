"""The written-down interface is the one the code has."""

from pathlib import Path

from services.cli.describe import describe

ROOT = Path(__file__).parents[2]


async def test_what_is_written_down_is_fresh() -> None:
    files = await describe()
    stale = [
        name
        for name, text in files.items()
        if not (ROOT / name).exists() or (ROOT / name).read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run `make docs`: {stale} differ from the code"
    written = [
        path
        for directory in ("docs/api", "k8s/components/monitoring/dashboards")
        for path in (ROOT / directory).glob("*.json")
    ]
    assert {str(path.relative_to(ROOT)) for path in written} <= set(files)
