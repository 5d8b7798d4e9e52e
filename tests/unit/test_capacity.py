"""The table of docs/operate/capacity.md is what the formulas on the page make of the numbers on it."""

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "capacity.md"


def test_the_table_is_what_the_formulas_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    formulas = text.partition("```python\n")[2].partition("```")[0]
    command = [sys.executable, "-c", formulas]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len(made.splitlines()) == 4
    assert made in text
