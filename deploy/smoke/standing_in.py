"""Builds images that stand in for those of Kafka and PostgreSQL, under their names, where no registry has them.

They run Kafka as the jars of Maven and PostgreSQL as Debian has it, and are configured by the variables of the images they
stand for. What those images' own scripts and versions do, they cannot show.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy import programs
from deploy.local.java import find_java
from deploy.local.kafka import fetch_jars
from deploy.smoke.image import debian
from deploy.smoke.podman import Podman

_HERE = Path(__file__).parent / "standins"
_BASE = "localhost/afterword-standins"
_PACKAGES = "default-jre-headless,postgresql,gosu"


@contextmanager
def standing_in(podman: Podman, images: Iterable[str]) -> Iterator[None]:
    """Whichever image is not there has one of ours under its name, and that name no longer afterwards."""
    missing = [image for image in images if not podman.has_image(image)]
    try:
        for image in missing:
            podman.must("tag", _built(podman, dockerfile(image)), image)
        yield
    finally:
        for image in missing:
            podman.run("untag", image, image)


def dockerfile(image: str) -> Path:
    """What is built for this name, told by its last part: `kafka` of docker.io/apache/kafka:4.3.1."""
    return _HERE / f"{image.rpartition('/')[2].partition(':')[0]}.Dockerfile"


def _built(podman: Podman, file: Path) -> str:
    base = debian(podman, _BASE, _PACKAGES)
    name = f"{_BASE}:{file.stem}"
    print(f"Building {name} ...", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory, "context")
        shutil.copytree(_HERE, context)
        if file.stem == "kafka":
            shutil.copytree(fetch_jars(find_java()), context / "kafka-jars")
        programs.must(
            *("buildah", "build", "--quiet", f"--build-arg=BASE={base}", f"--tag={name}"),
            *(f"--file={file}", str(context)),
            env=podman.environment,
        )
    return name
