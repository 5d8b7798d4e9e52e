"""Writes down what the image's wheels are, as a CycloneDX bill of materials: the same wheels make the same bill."""

import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Sequence
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any

PRODUCT = "afterword"
_LONGEST_NAME = 100
"""Some packages give the whole text of their licence where its name belongs."""


def bill(wheels: Sequence[Path]) -> dict[str, Any]:
    """Our own wheel is what the bill is about, the others are its components."""
    components = sorted((_component(wheel) for wheel in wheels), key=lambda each: each["purl"])
    [product] = [each for each in components if each["name"] == PRODUCT]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": product | {"type": "application"}},
        "components": [each for each in components if each is not product],
    }


def _component(wheel: Path) -> dict[str, Any]:
    about = _metadata(wheel)
    name = re.sub(r"[-_.]+", "-", about["Name"]).lower()
    purl = f"pkg:pypi/{name}@{about['Version']}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": about["Version"],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}],
        "purl": purl,
    } | _licences(about)


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [path] = [
            name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)
        ]
        return BytesParser().parsebytes(archive.read(path))


def _licences(about: Message) -> dict[str, Any]:
    if expression := about["License-Expression"]:
        return {"licenses": [{"expression": expression}]}
    classified = [
        value.rpartition(" :: ")[2]
        for value in about.get_all("Classifier", [])
        if value.startswith("License ::")
    ]
    told = (about["License"] or "").strip()
    if told and "\n" not in told and len(told) <= _LONGEST_NAME:
        classified = [told]
    if not classified:
        return {}
    return {"licenses": [{"license": {"name": name}} for name in classified]}


def main() -> None:
    """`python -m deploy.sbom DIRECTORY-OF-WHEELS FILE`."""
    directory, target = map(Path, sys.argv[1:])
    text = json.dumps(bill(sorted(directory.glob("*.whl"))), indent=2, ensure_ascii=False)
    target.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
