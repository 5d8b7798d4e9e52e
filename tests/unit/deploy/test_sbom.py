"""The bill of materials: each wheel by name, version, hash and licence, and the same bill for the same wheels."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from deploy.sbom import bill


def wheel(directory: Path, name: str, *about: str) -> Path:
    path = directory / f"{name}-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        lines = (f"Name: {name}", "Version: 1.2", *about)
        archive.writestr(f"{name}-1.2.dist-info/METADATA", "\n".join(lines) + "\n\nText\n")
        archive.writestr(f"vendored/{name}-0.1.dist-info/METADATA", "Name: other\n")
    return path


def test_components_are_what_the_product_comes_with(tmp_path: Path) -> None:
    wheels = [wheel(tmp_path, name) for name in ("Some_Package", "afterword")]
    made = bill(wheels)
    assert made["metadata"]["component"]["purl"] == "pkg:pypi/afterword@1.2"
    [component] = made["components"]
    assert component["purl"] == component["bom-ref"] == "pkg:pypi/some-package@1.2"
    expected = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    assert component["hashes"] == [{"alg": "SHA-256", "content": expected}]
    assert bill(wheels[::-1]) == made


@pytest.mark.parametrize(
    ("about", "licences"),
    [
        (["License-Expression: MIT OR Apache-2.0", "License: no"], [{"expression": "MIT OR Apache-2.0"}]),
        (["License: BSD"], [{"license": {"name": "BSD"}}]),
        (
            ["License: Copyright\n    all of it", "Classifier: License :: OSI Approved :: MIT License"],
            [{"license": {"name": "MIT License"}}],
        ),
        (["Classifier: Typing :: Typed"], None),
    ],
)  # fmt: skip
def test_a_licence_is_named_and_never_quoted_whole(
    tmp_path: Path, about: list[str], licences: object
) -> None:
    made = bill([wheel(tmp_path, "afterword", *about)])
    assert made["metadata"]["component"].get("licenses") == licences
